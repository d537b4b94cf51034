"""The factory of WebSockets: the settings they share, and their sessions and protocols."""

from __future__ import annotations

import random
from functools import cached_property
from typing import TYPE_CHECKING, Any

from autobahn.twisted.websocket import WebSocketServerFactory
from autobahn.websocket import protocol as autobahn

from daphne_like.http.exchange import Exchange
from daphne_like.websocket.handshake import asks_for_websocket, check_opening
from daphne_like.websocket.observed_protocol import ObservedProtocol
from daphne_like.websocket.output import OPEN
from daphne_like.websocket.protocol import WebSocketProtocol
from daphne_like.websocket.session import Session
from daphne_like.websocket.timers import Timers

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext

CLOSING_SECONDS = 5
"""Seconds for the peer to respond to a close frame."""


class WebSocketFactory(WebSocketServerFactory):  # type: ignore[misc] # untyped base
    """Creates a session for an opening handshake, and a protocol for an accepted session.

    Args:
        context: provides the application and the options.
    """

    noisy = False

    def __init__(self, context: ServerContext) -> None:
        # The constructor of autobahn's Twisted factory would import the reactor. The constructor
        # of its base class seeds Python's random numbers, which the application may have seeded.
        state = random.getstate()
        autobahn.WebSocketServerFactory.__init__(self)
        random.setstate(state)
        self.context = context
        options = context.options
        self.setProtocolOptions(
            failByDrop=False,  # an error has a close code (ASGI W42)
            echoCloseCodeReason=True,
            openHandshakeTimeout=0,  # the handshake is HTTP's
            closeHandshakeTimeout=CLOSING_SECONDS,
            maxFramePayloadSize=options.websocket_max_frame_size or 0,
            maxMessagePayloadSize=options.websocket_max_message_size or 0,
            autoPingInterval=options.ping_interval or 0,
            autoPingTimeout=options.ping_timeout or 0,
        )
        # autobahn (26.10) has no public parameter for a clock; its default needs the global
        # reactor.
        self._batched_timer = Timers(context)

    @cached_property
    def protocol(self) -> type[WebSocketProtocol]:
        """The class of the connections; made for the first one, as many servers have none."""
        return make_protocol_class(self)

    def session_for(self, request: Exchange, *, has_body: bool) -> Session | None:
        """Return a session that replaces the request's exchange; None if it is no handshake.

        Raises:
            PeerError: the opening handshake violates RFC 6455.
        """
        scope = request.scope
        if not asks_for_websocket(scope["headers"]):
            return None
        return self.session(request, has_body=has_body)

    def session(self, request: Exchange, *, has_body: bool) -> Session:
        """Return the session for an opening handshake.

        Raises:
            PeerError: the opening handshake violates RFC 6455 or RFC 8441.
        """
        scope = request.scope
        opening = check_opening(
            scope["method"],
            scope["http_version"],
            scope["headers"],
            has_body=has_body,
            origins=self.context.options.websocket_origins,
        )
        return Session(self, request, opening)

    def open(self, session: Session, deflate: Any) -> WebSocketProtocol:
        """Return a protocol for a session that the application has accepted."""
        protocol: WebSocketProtocol = self.protocol(session, deflate)
        protocol.factory = self
        return protocol


def make_protocol_class(factory: WebSocketFactory) -> type[WebSocketProtocol]:
    """Return a protocol class with the attributes that autobahn sets on each connection.

    autobahn's set-up of one connection (`_connectionMade`, 26.10) copies the factory's options and
    sets about sixty attributes. That takes as much time as the rest of a handshake, and 3 KiB
    (measured). The values are the same for all connections: numbers, None and False, statistics
    that nobody reads, and a queue for chopped writes, which are never made. A connection creates
    its own text validator when it needs one.
    """
    pattern = WebSocketProtocol.__new__(WebSocketProtocol)
    pattern.factory = factory
    autobahn.WebSocketProtocol._connectionMade(pattern)
    attributes = {
        **vars(pattern),
        # The attributes that autobahn's own handshake would set.
        "state": OPEN,
        "websocket_version": 13,
        "inside_message": False,
        "current_frame": None,
    }
    for own in ("utf8validator", "factory"):
        attributes.pop(own, None)
    sizes = (factory.maxFramePayloadSize, factory.maxMessagePayloadSize)
    attributes["largest_frame"] = min((size for size in sizes if size), default=float("inf"))
    base = WebSocketProtocol if factory.context.observer is None else ObservedProtocol
    return type("WebSocketProtocol", (base,), attributes)
