"""The factory of WebSockets: what all of them have in common."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from autobahn.twisted.websocket import WebSocketServerFactory
from autobahn.websocket import protocol as autobahn

from daphne_like.http.exchange import Exchange
from daphne_like.websocket.handshake import asks_for_websocket, check_opening
from daphne_like.websocket.output import OPEN
from daphne_like.websocket.protocol import WebSocketProtocol
from daphne_like.websocket.session import Session
from daphne_like.websocket.timers import Timers

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext

CLOSING_SECONDS = 5
"""For the peer to answer a close frame."""


class WebSocketFactory(WebSocketServerFactory):  # type: ignore[misc] # untyped base
    """Makes a session of a request that asks for one, and a protocol of an accepted session.

    Args:
        context: whose application the sessions serve.
    """

    noisy = False

    def __init__(self, context: ServerContext) -> None:
        # Not the constructor of autobahn's Twisted factory, which imports the reactor. Its base
        # seeds the process's random numbers, which are the application's.
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
        # autobahn (26.10) has no public way to give it a clock; with its own it would need the
        # process's reactor.
        self._batched_timer = Timers(context)
        self.protocol = make_protocol_class(self)

    def session_for(self, request: Exchange, *, has_body: bool) -> Session | None:
        """A session in the place of a request's exchange; None if it asks for no WebSocket.

        Raises:
            PeerError: it asks for one as RFC 6455 does not allow.
        """
        scope = request.scope
        if not asks_for_websocket(scope["headers"]):
            return None
        return self.session(request, has_body=has_body)

    def session(self, request: Exchange, *, has_body: bool) -> Session:
        """The session of a request that asks for one.

        Raises:
            PeerError: it does so as RFC 6455 or RFC 8441 does not allow.
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
        """A protocol for a session that the application has accepted."""
        protocol: WebSocketProtocol = self.protocol(session, deflate)
        protocol.factory = self
        return protocol


def make_protocol_class(factory: WebSocketFactory) -> type[WebSocketProtocol]:
    """A protocol class that has what autobahn sets for each connection as its own attributes.

    autobahn's set-up of one connection (`_connectionMade`, 26.10) copies the factory's options and
    sets some sixty attributes: as much time as all the rest of a handshake, and 3 KiB (measured).
    What it sets is the same for all: numbers, None, False, and three objects that are shared on
    purpose: statistics that nobody reads, a queue for chopped writes, which are never made, and
    the validator of text, of which each connection makes its own when it needs one.
    """
    pattern = WebSocketProtocol.__new__(WebSocketProtocol)
    pattern.factory = factory
    autobahn.WebSocketProtocol._connectionMade(pattern)
    attributes = {
        **vars(pattern),
        # What autobahn's own handshake would set.
        "state": OPEN,
        "websocket_version": 13,
        "inside_message": False,
        "current_frame": None,
    }
    for own in ("utf8validator", "factory"):
        attributes.pop(own, None)
    sizes = (factory.maxFramePayloadSize, factory.maxMessagePayloadSize)
    attributes["largest_frame"] = min((size for size in sizes if size), default=float("inf"))
    return type("WebSocketProtocol", (WebSocketProtocol,), attributes)
