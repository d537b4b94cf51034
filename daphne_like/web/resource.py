"""The resource: an application with its Server, from the reactor's start to its end."""

from __future__ import annotations

import asyncio
import enum
import logging
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from daphne_like import reactor as reactors
from daphne_like.exceptions import ConfigurationError, PeerError
from daphne_like.options import Options
from daphne_like.server import Server
from daphne_like.web.carrier import WebCarrier
from daphne_like.web.intake import ArrivingBody, CollectedBody
from daphne_like.web.streaming import IStreamedResource, StreamingRequest

log = logging.getLogger("daphne_like.server")

UNAVAILABLE = PeerError(503, "Service unavailable.")


class Stage(enum.Enum):
    """Where the application's life stands."""

    STARTING = enum.auto()  # requests wait
    SERVING = enum.auto()
    ENDED = enum.auto()  # or not started: requests get 503


@implementer(IStreamedResource)
class ASGIResource:
    """An ASGI application as a leaf of a twisted.web resource tree, as WSGIResource is for WSGI.

    Everything below its place is the application's, with the place as `root_path`. The
    application's lifespan begins when the reactor runs and ends before it has stopped, when
    requests in flight are answered; requests that come earlier wait.

    In a Site with `requestFactory=StreamingRequest` the application has request bodies while
    they arrive; in any other when they are whole.

    Args:
        application: ASGI 3, ASGI 2 or WSGI; or other things that Server takes.
        options: everything that can be chosen. Those of connections are twisted.web's, and
            `max_connections` counts requests in flight.
        reactor: the process's by default, which is the native one unless it has one.
    Raises:
        ConfigurationError: the reactor does not run on an asyncio event loop.

    Attributes:
        asgi_server: the Server, without ports. (`server` is what twisted.web's Resource.putChild
            sets of its children.)
    """

    isLeaf = True  # noqa: N815 # IResource's name

    def __init__(
        self, application: Any, options: Options | None = None, *, reactor: Any = None
    ) -> None:
        if reactor is None:
            reactors.require()
            from twisted.internet import reactor
        self.asgi_server = server = Server(application, signal_handlers=False, options=options)
        server.attach(reactor)
        self._stage = Stage.STARTING
        self._waiting: list[WebCarrier] = []
        self._starting: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        reactor.callWhenRunning(self._begin)
        reactor.addSystemEventTrigger("before", "shutdown", self.stop)

    # IResource.

    def render(self, request: Request) -> int:
        """Run the application for a request."""
        carrier: WebCarrier
        if isinstance(request, StreamingRequest) and not request.body_is_whole:
            request.consumer = carrier = ArrivingBody(self.asgi_server.context, request)
        else:
            carrier = CollectedBody(self.asgi_server.context, request)
        if carrier.open():
            if self._stage is Stage.SERVING:
                carrier.start()
            elif self._stage is Stage.STARTING:
                self._waiting.append(carrier)
            else:
                carrier.refuse(UNAVAILABLE)
        return NOT_DONE_YET

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        """Not to be called: what is below a leaf is the leaf's."""
        raise RuntimeError("Cannot get IResource children from ASGIResource")

    def putChild(self, path: bytes, child: IResource) -> None:
        """Not to be called: everything below this resource is the application's."""
        raise RuntimeError("Cannot put IResource children under ASGIResource")

    # The application's life.

    def stop(self) -> Deferred[None]:
        """End in order: finish requests in flight, then lifespan shutdown, in a bounded time.

        The reactor does it before it stops; call it to end this application earlier. From then
        on requests get 503.

        Returns:
            Fires when all is over.
        """
        if self._stopping is None:
            self._stopping = self.asgi_server.loop.create_task(self._stop())
        return Deferred.fromFuture(asyncio.shield(self._stopping))

    def _begin(self) -> None:
        if self._stopping is None:
            self._starting = self.asgi_server.loop.create_task(self._start())

    async def _start(self) -> None:
        try:
            await self.asgi_server.startup()
        except Exception as error:
            expected = isinstance(error, ConfigurationError)
            log.critical("%s; its resource answers 503", error, exc_info=not expected)
            self._change(Stage.ENDED)
            await self.asgi_server.end_lifespan()
        else:
            self._change(Stage.SERVING)

    def _change(self, stage: Stage) -> None:
        self._stage = stage
        waiting, self._waiting = self._waiting, []
        for carrier in waiting:
            if stage is Stage.SERVING:
                carrier.start()
            else:
                carrier.refuse(UNAVAILABLE)

    async def _stop(self) -> None:
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait((self._starting,))
        self._change(Stage.ENDED)
        await self.asgi_server.drain()
