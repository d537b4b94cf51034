"""What a connection may know of its server."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from daphne_like.bounded_cache import BoundedCache
from daphne_like.runtime.timer_wheel import TimerWheel
from daphne_like.runtime.write_batch import WriteBatch

if TYPE_CHECKING:
    from daphne_like.asgi.queue import InputQueue
    from daphne_like.exceptions import PeerError
    from daphne_like.observe.actions import Actions
    from daphne_like.options import Options
    from daphne_like.runtime.applications import Applications
    from daphne_like.runtime.trusted_proxies import TrustedProxies

FAST_PATH_HEAD = 16384
"""Octets of the largest request head that HTTP/1.1 parses in one piece."""
MAX_SECTIONS = 128
"""Field sections of connections' first requests that are known to other connections."""


class ServerContext:
    """The part of a server that its connections share. The server fills it before it listens.

    Attributes:
        options: everything that can be chosen.
        loop: the event loop of the reactor.
        clock: seconds, monotonic.
        timers: the wheel of all deadlines.
        writes: the writes of one turn of the event loop.
        applications: the running application instances.
        actions: told when an exchange or session begins and ends; None when nobody listens.
        websockets: the server's WebSocketFactory.
        http2: makes the protocol of a connection whose peer speaks HTTP/2.
        create_application: runs an application instance: the server's own method where a subclass
            overrides it.
        connected: registers a connection; False when there is no room for it.
        disconnected: forgets a connection.
        switched: puts one connection in the place of another.
        refused: logs that a request was refused, by its client and the error.
        refused_connection: logs that a connection or stream of HTTP/2 was refused.
        refused_handshake: logs that a TLS handshake of Twisted's did not come to its end.
        default_fields: Date and Server lines, by the set of the two that an application sets.
        trusted_proxies: applied to each scope; None when no proxy is trusted.
        lifespan_state: what the application's lifespan has left for its instances (ASGI L11).
        sections: field sections of HTTP/1.1 that other connections began with.
        fast_path_head: octets of the largest request head on the fast path.
        accepting: False between binding and serving.
        draining: a stop has begun; requests on their way are still served.
        idle_grace_over: the stop waits no longer for idle connections.
    """

    __slots__ = (
        "accepting",
        "actions",
        "applications",
        "clock",
        "connected",
        "create_application",
        "default_fields",
        "disconnected",
        "draining",
        "fast_path_head",
        "http2",
        "idle_grace_over",
        "lifespan_state",
        "loop",
        "options",
        "refused",
        "refused_connection",
        "refused_handshake",
        "sections",
        "switched",
        "timers",
        "trusted_proxies",
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
    refused: Callable[[Any, PeerError], None]
    refused_connection: Callable[[Any, str, object], None]
    refused_handshake: Callable[[Any, object], None]
    switched: Callable[[Any, Any], None]
    timers: TimerWheel
    websockets: Any
    writes: WriteBatch

    def __init__(self, options: Options) -> None:
        self.options = options
        self.actions: Actions | None = None
        self.default_fields: dict[int, bytes] = {}
        self.trusted_proxies: TrustedProxies | None = None
        self.lifespan_state: dict[str, Any] = {}
        self.sections: BoundedCache[bytes, Any] = BoundedCache(MAX_SECTIONS)
        self.fast_path_head = min(
            FAST_PATH_HEAD, options.max_request_line, options.max_field_section
        )
        self.accepting = True
        self.draining = False
        self.idle_grace_over = False

    def use_loop(self, loop: AbstractEventLoop, clock: Callable[[], float]) -> None:
        """Take the event loop and the clock, and what depends on them."""
        self.loop = loop
        self.clock = clock
        self.timers = TimerWheel(clock)
        self.writes = WriteBatch(loop, self.applications.running)

    def sibling(self, **changed: Any) -> ServerContext:
        """Return a context that shares everything with this one but what is given.

        The state of the server's life is copied: whoever changes it changes it in both.
        """
        other = object.__new__(ServerContext)
        for name in self.__slots__:
            setattr(other, name, changed.get(name, getattr(self, name, None)))
        return other
