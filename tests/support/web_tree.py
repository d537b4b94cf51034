"""A tree of twisted.web resources in memory: a reactor that a test runs, wires, a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.web.pages import notFound
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from zope.interface import implementer

from daphne_like.options import Options
from daphne_like.web import ASGIResource
from tests.support.memory import Loop, Memory, Wire


class Root(Resource):
    """Has nothing but its children; Resource's own way to say so is deprecated."""

    def getChild(self, path: bytes, request: Any) -> Any:
        return notFound()


class Reactor:
    """What a resource wants of a reactor on an asyncio event loop."""

    def __init__(self, loop: Any) -> None:
        self._asyncioEventloop = loop
        self.started: list[Callable[[], Any]] = []
        self.triggers: list[Callable[[], Any]] = []

    def callWhenRunning(self, function: Callable[[], Any]) -> None:
        self.started.append(function)

    def addSystemEventTrigger(self, phase: str, event: str, function: Any) -> None:
        assert (phase, event) == ("before", "shutdown")
        self.triggers.append(function)


@implementer(IPushProducer)
class WebWire(Wire):
    """A connection to a Site."""

    def __init__(self, tree: Tree) -> None:
        self.site = tree.site
        super().__init__(tree)
        assert self.producer is not None

    @property
    def protocol(self) -> Any:
        return self._channel

    @protocol.setter
    def protocol(self, _h1: Any) -> None:
        self._channel = self.site.buildProtocol(None)

    @property
    def disconnecting(self) -> bool:
        return self.closing and not self.half_closed

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def _write_side_closed(self) -> None:
        """HTTPChannel is not told."""


class Tree(Memory):
    """A site with an application at /app/.

    Args:
        application: ASGI.
        request: the site's request factory.
        run: let the reactor run.
        options: of the application's resource.
    """

    def __init__(
        self,
        application: Any,
        request: type[Request] = Request,
        run: bool = True,
        **options: Any,
    ) -> None:
        self.loop = Loop()
        self.clock = Clock()
        self.reactor = Reactor(self.loop)
        self.root = Root()
        self.resource = self.add(b"app", application, **options)
        self.server = self.resource.asgi_server
        self.site = Site(self.root, requestFactory=request, reactor=self.clock)
        self.site.logFile = None
        if run:
            self.run()

    def add(self, name: bytes, application: Any, **options: Any) -> ASGIResource:
        """An application as a child of the root."""
        options = {"stall_warning": None, "lifespan": "off", **options}
        resource = ASGIResource(application, Options(**options), reactor=self.reactor)
        resource.asgi_server.use_loop(self.loop, self.clock.seconds)
        self.root.putChild(name, resource)
        return resource

    def run(self) -> None:
        started, self.reactor.started = self.reactor.started, []
        for function in started:
            function()
        self.settle()

    def stops(self) -> list[Any]:
        """The reactor stops: what it waits for."""
        return [trigger() for trigger in self.reactor.triggers]

    def connect(self) -> WebWire:
        return WebWire(self)

    def settle(self) -> None:
        super().settle()
        self.clock.advance(0)
        super().settle()

    def passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.server.timeout_checker()
        self.server.application_checker()
        self.settle()
