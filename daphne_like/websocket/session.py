"""One WebSocket in terms of ASGI: the response to the opening handshake, then events both ways.

protocol.py handles frames. Until it is accepted, a session is an HTTP exchange, so that refusals,
denial responses, lost peers and slow applications are handled by the same code.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Iterable
from functools import partial
from typing import Any, ClassVar, Protocol

from daphne_like.asgi.queue import MessageQueue
from daphne_like.asgi.response_fields import DATE, PLAIN, SERVER, to_field_line
from daphne_like.exceptions import ApplicationError, ConnectionClosed, PeerError
from daphne_like.http.exchange import Exchange
from daphne_like.http.response_state import AWAITING_START, CLOSED, COMPLETE
from daphne_like.observe.connection_log import ConnectionLog
from daphne_like.websocket.deflate import Deflate, accept_offer
from daphne_like.websocket.frames import BINARY, TEXT
from daphne_like.websocket.handshake import OpeningHandshake, accept_value
from daphne_like.websocket.observed_input import ObservedQueue

log = ConnectionLog("daphne_like.websocket")
errors = logging.getLogger("daphne_like.websocket")

ACCEPT, SEND, CLOSE = "websocket.accept", "websocket.send", "websocket.close"
DENIAL = "websocket.http.response."
SCHEMES = {"http": "ws", "https": "wss"}
SERVER_FIELDS = re.compile(
    rb"(?i:sec-websocket-(?:accept|extensions|key|protocol|version)|upgrade)"
)
FORBIDDEN_IN_REASON = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
CLOSE_CODES = frozenset((*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)))
"""The codes that a close frame may carry (RFC 6455, 7.4, and its IANA registry)."""


class Engine(Protocol):
    """The interface of an open WebSocket's protocol that its session uses.

    The carrier that hands the connection over uses it as a Twisted protocol, and the drain uses it
    as a Connection.
    """

    @property
    def can_send(self) -> bool:
        """True while messages may be sent, until one side starts to close."""

    def send_message(self, payload: bytes, opcode: int) -> Awaitable[None] | None:
        """Send a message, now or when the peer has read enough of the earlier messages."""

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake."""

    def resume_reading(self) -> None:
        """Resume reading; the application has received the queued messages."""


class Engines(Protocol):
    """A factory for the engines of accepted WebSockets."""

    def open(self, session: Session, deflate: Deflate | None) -> Engine:
        """Return an engine; deflate is None if compression was not negotiated."""


class Session(Exchange):
    """One WebSocket with one application instance.

    Args:
        engines: creates the engine when the application accepts.
        request: the exchange that the session replaces.
        opening: the content of the opening handshake.
    """

    disconnect: ClassVar[dict[str, Any]] = {
        "type": "websocket.disconnect",
        "code": 1006,
        "reason": "",
    }
    max_dropped_sends = 1024  # a full channel layer may send so many before the consumer knows
    max_informed_sends = 16  # Channels calls `disconnect`, which may send, after the event
    request_complete = True
    is_upgrade = True
    protocol: Engine | None = None

    def __init__(self, engines: Engines, request: Exchange, opening: OpeningHandshake) -> None:
        scope = {
            **request.scope,
            "type": "websocket",
            "scheme": SCHEMES[request.scope["scheme"]],
            "subprotocols": opening.subprotocols[:],
            "extensions": {"websocket.http.response": {}},
        }
        if "tls" in request.scope["extensions"]:  # the other extensions are for HTTP only
            scope["extensions"]["tls"] = request.scope["extensions"]["tls"]
        del scope["method"]
        super().__init__(request.context, request.carrier, scope, keep_alive=False)
        self.engines = engines
        self.opening = opening
        self.method = request.method
        self.client = request.client
        self.target = request.target
        self.fields = request.fields
        self.scheme = request.scheme
        self.version = request.version
        self.started = request.started
        self.queue_time = request.queue_time

    @property
    def time_limit(self) -> float | None:
        """Seconds for the application to accept or deny; None for no limit."""
        options = self.context.options
        limits = (options.websocket_connect_timeout, options.websocket_handshake_timeout)
        return min((limit for limit in limits if limit is not None), default=None)

    def start(self) -> None:
        """Run the application; its first event is websocket.connect (ASGI W20)."""
        # A handshake on its way is served during a drain, as a request is: the client may have
        # connected before the stop. The WebSocket is soon closed with 1012.
        if self.context.idle_grace_over:
            self.server_stops()
            return
        observer = self.context.observer
        kind = MessageQueue if observer is None else ObservedQueue
        self.queue = queue = self.context.create_application(self, self.scope, kind)
        queue.reader = self
        queue.put_nowait({"type": "websocket.connect"})
        if observer is not None:
            queue.observer = observer  # type: ignore[attr-defined] # an ObservedQueue
            observer.session_opening(self)

    def body_consumed(self) -> None:
        """Resume reading: the application has received the queued messages."""
        if self.protocol is not None:
            self.protocol.resume_reading()

    # Messages of the application.

    def handle_reply(self, message: dict[str, Any]) -> Awaitable[None] | None:
        """Handle one message of the application.

        Returns:
            An awaitable if the peer does not read fast enough (ASGI C09), else None.
        Raises:
            ApplicationError: ASGI does not allow the message here; nothing was sent.
            ConnectionClosed: the WebSocket is closed (ASGI W40).
        """
        try:
            kind = message["type"]
        except (KeyError, TypeError):
            raise ApplicationError(f"send: expected a dict with 'type', got {message!r:.80}")
        protocol = self.protocol
        if protocol is None:
            return self._respond_to_handshake(kind, message)
        if kind == SEND:
            text = message.get("text")
            octets = message.get("bytes")
            if octets is None and isinstance(text, str):
                try:
                    return protocol.send_message(text.encode(), TEXT)
                except UnicodeEncodeError:
                    raise ApplicationError(f"{SEND}: the text has half of a surrogate pair")
            if text is None and octets.__class__ is bytes:
                return protocol.send_message(octets, BINARY)
            raise ApplicationError(
                f"{SEND}: expected either str as text or bytes as bytes, got "
                f"{type(text).__name__} and {type(octets).__name__}"
            )
        if kind == CLOSE:
            code, reason = parse_close(message)
            if not protocol.can_send:
                raise ConnectionClosed("The WebSocket is closed")
            self.start_close(code, reason, "application")
            return None
        if kind == ACCEPT:
            raise ApplicationError(f"{ACCEPT}: expected once, got a second one")
        raise ApplicationError(f"send: expected {SEND} or {CLOSE}, got {kind!r:.80}")

    def _respond_to_handshake(self, kind: Any, message: dict[str, Any]) -> Awaitable[None] | None:
        """Handle the application's response to the opening handshake."""
        if isinstance(kind, str) and kind.startswith(DENIAL):
            try:
                return super().handle_reply({**message, "type": kind.partition(".")[2]})
            except ApplicationError as error:
                raise ApplicationError(str(error).replace("http.", "websocket.http.")) from None
        if self.state is CLOSED or self.state is COMPLETE:
            raise ConnectionClosed("The WebSocket was closed before it was open")
        if self.state is not AWAITING_START:
            raise ApplicationError(f"send: expected {DENIAL}body, got {kind!r:.80}")
        if kind == ACCEPT:
            self._accept(message)
        elif kind == CLOSE:  # code and reason are not sent, so they are not checked
            self.carrier.send_error(self, PeerError(403, "The application refused the WebSocket."))
        else:
            raise ApplicationError(
                f"send: expected {ACCEPT}, {CLOSE} or {DENIAL}start, got {kind!r:.80}"
            )
        return None

    def _accept(self, message: dict[str, Any]) -> None:
        opening = self.opening
        options = self.context.options
        lines, self.own_defaults = accept_lines(message.get("headers", ()))
        subprotocol = message.get("subprotocol")
        if subprotocol is not None:
            if subprotocol not in opening.subprotocols:
                raise ApplicationError(
                    f"{ACCEPT}: expected one of the subprotocols that the client offers "
                    f"({', '.join(opening.subprotocols) or 'none'}), got {subprotocol!r:.80}"
                )
            lines.append(b"Sec-WebSocket-Protocol: %b\r\n" % subprotocol.encode("ascii"))
        deflate = None
        if opening.extensions and options.websocket_deflate:
            accepted = accept_offer(
                opening.extensions,
                options.websocket_deflate_window,
                options.websocket_deflate_memory,
                options.websocket_max_message_size,
                partial(log.error, self, "offer of compression declined: %s"),
            )
            if accepted is not None:
                deflate = Deflate.create_from_offer_accept(True, accepted)
                extension = accepted.get_extension_string().encode("ascii")
                lines.append(b"Sec-WebSocket-Extensions: %b\r\n" % extension)
        if opening.key:
            lines.append(
                b"Upgrade: websocket\r\nSec-WebSocket-Accept: %b\r\n" % accept_value(opening.key)
            )
        self.state = COMPLETE
        self.protocol = protocol = self.engines.open(self, deflate)
        if self.context.observer is not None:
            self.context.observer.session_opened(self)
        self.carrier.upgrade(self, lines, protocol)

    # The end of the WebSocket.

    def start_close(self, code: int, reason: str, by: str = "server") -> None:
        """Start the closing handshake (RFC 6455, 7.1.2), unless the WebSocket is closed."""
        if self.protocol is not None and self.protocol.can_send:
            self.protocol.close(code, reason)
            self.closed(code, reason, by)

    def closed(self, code: int, reason: str, by: str) -> None:
        """Send websocket.disconnect to the application; either side has started to close.

        Args:
            code: the close code.
            reason: the reason of the close frame.
            by: who closes, see Observer.session_closed.
        """
        queue, self.queue = self.queue, None
        if queue is not None:
            self.ended_queue = queue
            self.disconnect_sent = True
            # The application may still receive earlier messages of the peer.
            queue.end(
                {"type": "websocket.disconnect", "code": code, "reason": reason}, keep_unread=True
            )
            self.is_over = True
            if self.context.observer is not None:
                self.context.observer.session_closed(self, code, by)
            self.peer_gone()

    def close(self) -> None:
        """End the session before it was open; websocket.connect is still the first event."""
        if self.queue is not None:
            self.ended_queue = self.queue
            self.queue.end(self.disconnect, keep_unread=True)
            self.queue = None
        super().close()

    def connection_lost(self) -> None:
        """End the session with the connection; the code is 1006 without a close frame (W28)."""
        self.closed(1006, "", "lost")
        super().connection_lost()
        self.protocol = None

    @property
    def is_endless(self) -> bool:
        """True for an open WebSocket; a handshake is refused at once."""
        return self.protocol is not None and self.protocol.can_send

    def server_stops(self) -> None:
        """Refuse or close the WebSocket, so that the client connects again (RFC 6455, 7.4.1)."""
        if self.protocol is None and self.state is AWAITING_START:
            error = PeerError(503, "The server is stopping; try again.", reason="server_stopping")
            self.context.refused(self.log_label(), error)
            self.carrier.send_error(self, error)
        else:
            self.start_close(self.context.options.websocket_stop_code, "The server is stopping")

    def application_returned(self) -> None:
        """Close the WebSocket when the application returns (ASGI W09)."""
        if self.protocol is None:
            super().application_returned()
        else:
            self.start_close(1000, "", "application")

    def application_failed(self, exception: BaseException) -> None:
        """Close the WebSocket with 1011; the exception is logged and not sent (C12)."""
        super().application_failed(exception)
        self.start_close(1011, "Internal error")

    def application_cancelled(self) -> None:
        if self.protocol is not None and self.protocol.can_send:
            logging.getLogger("daphne_like.websocket").error(
                "%s was cancelled before it was closed", self
            )
        super().application_cancelled()
        self.start_close(1011, "")

    def __str__(self) -> str:
        """Return a description for log lines, with control characters escaped (S06)."""
        path = f"{self.scope.get('path')!r:.200}"
        return f"{self.log_label()} Application for WebSocket {path}{self._id_text()}"

    @property
    def progress(self) -> str:
        """The end of a log line: how far the WebSocket has come."""
        if self.protocol is not None:
            is_open = self.protocol.can_send
            return "while its WebSocket was open" if is_open else "after its WebSocket was closed"
        if self.state is AWAITING_START:
            return "before its WebSocket was accepted"
        return super().progress if self.status else "after its WebSocket was closed"


def accept_lines(headers: Any) -> tuple[list[bytes], int]:
    """Return the field lines that an application adds to the response (ASGI W23).

    Returns:
        The lines, and the bits of the default fields among them, as Exchange.own_defaults.
    Raises:
        ApplicationError: an entry is not a field, or is a field that only the server may send.
    """
    if not isinstance(headers, Iterable):
        raise ApplicationError(f"{ACCEPT}: expected an iterable of headers, got {headers!r:.80}")
    lines: list[bytes] = []
    own_defaults = 0
    for index, pair in enumerate(headers):
        line = to_field_line(pair, index, ACCEPT)
        name = line.octets.partition(b":")[0]
        if SERVER_FIELDS.fullmatch(name):
            raise ApplicationError(f"{ACCEPT}: {name.decode()} is the server's to send")
        if line.kind in (PLAIN, DATE, SERVER):  # no framing in a 101 (RFC 9110, 8.6)
            lines.append(line.octets)
            own_defaults |= line.kind and 1 << line.kind
    return lines, own_defaults


def parse_close(message: dict[str, Any]) -> tuple[int, str]:
    """Return code and reason of a websocket.close message (ASGI W32, W33).

    Raises:
        ApplicationError: a close frame may not carry the code, or the reason is not valid text.
    """
    code = message.get("code")
    if code is None:
        code = 1000
    if not isinstance(code, int) or code not in CLOSE_CODES:
        raise ApplicationError(
            f"{CLOSE}: expected a code that a close frame may carry (1000 to 1003, 1007 to 1014, "
            f"3000 to 4999), got {code!r:.80}"
        )
    reason = message.get("reason")
    if reason is None:
        reason = ""
    if not isinstance(reason, str) or FORBIDDEN_IN_REASON.search(reason):
        raise ApplicationError(
            f"{CLOSE}: expected text without control characters as reason, got {reason!r:.80}"
        )
    return int(code), str(reason)
