"""ASGIResource: an application with its Server, from the reactor's start to its end."""

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


class ResourceStage(enum.Enum):
    """Stages of the application."""

    STARTING = enum.auto()  # requests wait
    SERVING = enum.auto()
    ENDED = enum.auto()  # stopped, or the start failed: requests get 503


@implementer(IStreamedResource)
class ASGIResource:
    """An ASGI application as a leaf of a twisted.web resource tree, like WSGIResource for WSGI.

    The application serves every path below the resource's place in the tree, which is the scope's
    `root_path`. Its lifespan starts when the reactor runs; requests that come earlier wait. It ends
    before the reactor stops, when the requests in flight have been answered.

    In a Site with `requestFactory=StreamingRequest` the application receives request bodies while
    they arrive; in any other Site, when they are complete.

    Args:
        application: ASGI 3, ASGI 2 or WSGI; or anything else that Server accepts.
        options: the server's options. Those about connections have no effect, because twisted.web
            serves the connections; `max_connections` limits requests in flight.
        reactor: the process's reactor by default; if none is installed, the native one is.
    Raises:
        ConfigurationError: the reactor does not run on an asyncio event loop.

    Attributes:
        asgi_server: the Server, without ports. (twisted.web's Resource.putChild sets the attribute
            `server` of its children.)
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
        self._stage = ResourceStage.STARTING
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
            if self._stage is ResourceStage.SERVING:
                carrier.start()
            elif self._stage is ResourceStage.STARTING:
                self._waiting.append(carrier)
            else:
                carrier.refuse(UNAVAILABLE)
        return NOT_DONE_YET

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        """Raise: a leaf has no children."""
        raise RuntimeError("Cannot get IResource children from ASGIResource")

    def putChild(self, path: bytes, child: IResource) -> None:
        """Raise: the application serves everything below this resource."""
        raise RuntimeError("Cannot put IResource children under ASGIResource")

    # The application's life.

    def stop(self) -> Deferred[None]:
        """Stop in bounded time: finish requests in flight, then shut the lifespan down.

        The reactor calls this before it stops; call it to end this application earlier. From then
        on requests get 503.

        Returns:
            A Deferred that fires when the stop is complete.
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
            log.critical("%s; the resource returns 503", error, exc_info=not expected)
            self._change(ResourceStage.ENDED)
            await self.asgi_server.end_lifespan()
        else:
            self._change(ResourceStage.SERVING)

    def _change(self, stage: ResourceStage) -> None:
        self._stage = stage
        waiting, self._waiting = self._waiting, []
        for carrier in waiting:
            if stage is ResourceStage.SERVING:
                carrier.start()
            else:
                carrier.refuse(UNAVAILABLE)

    async def _stop(self) -> None:
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait((self._starting,))
        self._change(ResourceStage.ENDED)
        await self.asgi_server.drain()
