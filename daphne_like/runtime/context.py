"""The part of the server that connections may use."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from daphne_like.bounded_cache import BoundedCache
from daphne_like.observe import refusals
from daphne_like.runtime.proxy_headers import ProxyHeaders
from daphne_like.runtime.timer_wheel import TimerWheel
from daphne_like.runtime.write_batch import WriteBatch

if TYPE_CHECKING:
    from daphne_like.asgi.queue import InputQueue
    from daphne_like.exceptions import PeerError
    from daphne_like.observe.observer import Observer
    from daphne_like.options import Options
    from daphne_like.runtime.applications import Applications

FAST_PATH_HEAD = 16384
"""Maximum size in octets of a request head that HTTP/1.1 parses in one piece."""
MAX_SECTIONS = 128
"""Number of cached field sections, taken from the first requests of connections."""


class ServerContext:
    """The state that all connections of a server share. The server fills it before it listens.

    Attributes:
        options: the options of the server.
        loop: the event loop of the reactor.
        clock: returns monotonic seconds.
        timers: the timer wheel for all deadlines.
        writes: the batch of writes of the current iteration of the event loop.
        applications: the running application instances.
        observer: is told what happens; None if nobody listens.
        exchange_opened: the observer's method of that name; None if it does nothing, because every
            request passes it.
        websockets: the server's WebSocketFactory.
        http2: creates the protocol of a connection whose peer speaks HTTP/2.
        create_application: runs an application instance; the method of the server where a
            subclass overrides it.
        connected: registers a connection; returns False when the limit is exceeded.
        disconnected: removes a connection.
        switched: replaces the protocol of a connection after an upgrade.
        default_fields: Date and Server lines, keyed by the bits of those that an application sets.
        proxy_headers: applied to each scope; None when scopes stay as they are.
        lifespan_state: the state that the application's lifespan passes to instances (ASGI L11).
        sections: cache of field sections from the first requests of HTTP/1.1 connections.
        fast_path_head: maximum size in octets of a request head on the fast path.
        accepting: False between binding and serving.
        draining: a stop has begun; requests on their way are still served.
        idle_grace_over: the stop no longer waits for idle connections.
    """

    __slots__ = (
        "accepting",
        "applications",
        "clock",
        "connected",
        "create_application",
        "default_fields",
        "disconnected",
        "draining",
        "exchange_opened",
        "fast_path_head",
        "http2",
        "idle_grace_over",
        "lifespan_state",
        "loop",
        "observer",
        "options",
        "proxy_headers",
        "sections",
        "switched",
        "timers",
        "websockets",
        "writes",
    )

    applications: Applications
    clock: Callable[[], float]
    connected: Callable[[Any], bool]
    create_application: Callable[..., InputQueue]
    disconnected: Callable[[Any], None]
    http2: Callable[[ServerContext], Any]
    loop: AbstractEventLoop
    switched: Callable[[Any, Any], None]
    timers: TimerWheel
    websockets: Any
    writes: WriteBatch

    def __init__(self, options: Options) -> None:
        self.options = options
        self.observer: Observer | None = None
        self.exchange_opened: Callable[[Any], None] | None = None
        self.default_fields: dict[int, bytes] = {}
        self.proxy_headers = ProxyHeaders.from_options(options)
        self.lifespan_state: dict[str, Any] = {}
        self.sections: BoundedCache[bytes, Any] = BoundedCache(MAX_SECTIONS)
        self.fast_path_head = min(
            FAST_PATH_HEAD, options.max_request_line, options.max_field_section
        )
        self.accepting = True
        self.draining = False
        self.idle_grace_over = False

    def use_loop(self, loop: AbstractEventLoop, clock: Callable[[], float]) -> None:
        """Set the event loop and the clock, and create the objects that need them."""
        self.loop = loop
        self.clock = clock
        self.timers = TimerWheel(clock)
        self.writes = WriteBatch(loop, self.applications.running)

    def tell_refused(self, reason: str) -> None:
        """Tell the observer that a request or a connection was refused."""
        if self.observer is not None:
            self.observer.refused(reason)

    def refused(self, label: str, error: PeerError) -> None:
        """Log that a request was refused, and tell the observer.

        Args:
            label: how the lines of the connection or stream begin.
            error: the error that the client receives.
        """
        self.tell_refused(error.reason)
        refusals.refused(label, error)

    def refused_connection(self, label: str, code: str, reason: object) -> None:
        """Log that a connection or an HTTP/2 stream was refused, and tell the observer.

        Args:
            label: see `refused`.
            code: name of the HTTP/2 error code.
            reason: description of the error.
        """
        self.tell_refused(code.lower())
        refusals.refused_connection(label, code, reason)

    def refused_handshake(self, label: str, reason: object, word: str) -> None:
        """Log that a handshake of Twisted's TLS failed, and tell the observer.

        Args:
            label: see `refused`.
            reason: description of the error.
            word: see Observer.handshake_failed.
        """
        if self.observer is not None:
            self.observer.handshake_failed(word)
        refusals.refused_handshake(label, reason)

    def sibling(self, **changed: Any) -> ServerContext:
        """Return a copy of this context with some attributes changed.

        The copy has its own lifecycle flags, so they must be changed in both contexts.
        """
        other = object.__new__(ServerContext)
        for name in self.__slots__:
            setattr(other, name, changed.get(name, getattr(self, name, None)))
        return other
