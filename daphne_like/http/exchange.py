"""One request and its response in terms of ASGI, independent of the HTTP version."""

from __future__ import annotations

import logging
from asyncio import Event, Lock
from collections.abc import Awaitable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from daphne_like.asgi.queue import HIGH_WATER, MAX_EVENTS, InputQueue
from daphne_like.asgi.response_fields import (
    CONNECTION,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    known_lines,
    to_field_line,
)
from daphne_like.exceptions import ApplicationError, ConnectionClosed, PeerError
from daphne_like.http.response_state import (
    AWAITING_START,
    BODY,
    BODY_BLOCKED,
    CLOSED,
    COMPLETE,
    HEAD_BUFFERED,
    SENDING_BODY,
    START,
    check_message,
)
from daphne_like.wording import counted

if TYPE_CHECKING:
    from daphne_like.observe.request_identity import Identity
    from daphne_like.runtime.context import ServerContext

log = logging.getLogger("daphne_like.http")

DISCONNECT: dict[str, Any] = {"type": "http.disconnect"}

BODILESS = (204, 304)
EVENT_STREAM = b"content-type: text/event-stream"
"""The beginning of the field line of a response without an end (Server-Sent Events)."""
MAX_PARTS = 32
"""Parts of a body that are stored unchanged until they form an event. Further parts are copied into
one bytearray, because a part of an octet or two takes fifty bytes of memory."""
STATUSES = frozenset(range(200, 1000))


class Carrier(Protocol):
    """The interface of a connection or stream that an exchange uses."""

    @property
    def client(self) -> list[Any] | None:
        """Host and port of the peer; None on a UNIX socket."""

    def log_label(self, client: Any = None) -> str:
        """Return how log lines about the connection or stream begin."""

    def respond(self, exchange: Exchange, body: bytes, more: bool) -> Awaitable[None] | None:
        """Write the buffered head and the first part of the body."""

    def write_body(self, exchange: Exchange, body: bytes, more: bool) -> Awaitable[None] | None:
        """Write a further part of the body; return an awaitable if the application must wait."""

    def send_error(self, exchange: Exchange, error: PeerError) -> None:
        """Send an error response; nothing of the application's response has been sent."""

    def abort(self, exchange: Exchange) -> None:
        """End the exchange so that the peer notices an incomplete response."""

    def close_without_response(self, exchange: Exchange) -> None:
        """End the exchange without a response; nothing has been sent, and the peer has gone."""

    def body_requested(self, exchange: Exchange) -> None:
        """Send 100 (Continue): the application receives a body that the peer holds back."""

    def body_consumed(self) -> None:
        """Resume reading: the application has received the available body."""

    def upgrade(self, exchange: Exchange, lines: list[bytes], protocol: Any) -> None:
        """Accept an upgrade, and hand the connection over to another protocol.

        Args:
            exchange: the exchange of the request to upgrade.
            lines: field lines of the response.
            protocol: receives the transport, and the octets that the peer has sent already.
        """


class BlockedPart:
    """A context manager for the time in which a part of a body is written piece by piece.

    The exchange is in BODY_BLOCKED until then. If the body of the `with` statement raises (the
    sender was cancelled, or a file cannot be read), the part is taken back as long as nothing of
    it is written; otherwise nothing can complete it, and the response is aborted.

    Args:
        exchange: the response.
        size: octets of the part.

    Attributes:
        begun: octets of the part may have been written.
    """

    __slots__ = ("_exchange", "_size", "begun")

    def __init__(self, exchange: Exchange, size: int) -> None:
        self._exchange = exchange
        self._size = size
        self.begun = False

    def check(self) -> None:
        """Go on only if the response was not closed meanwhile.

        Raises:
            ConnectionClosed: it was.
        """
        if self._exchange.state is not BODY_BLOCKED:
            raise ConnectionClosed("The connection was closed while a body was written")

    def __enter__(self) -> BlockedPart:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        exchange = self._exchange
        if failed is not None and not self.begun:
            exchange.body_octets_sent -= self._size
        if exchange.state is BODY_BLOCKED:
            if failed is not None and self.begun:
                exchange.carrier.abort(exchange)
            else:
                exchange.state = SENDING_BODY
        assert exchange.body_unblocked is not None
        exchange.body_unblocked.set()


class Exchange:
    """One request, one response, one application instance.

    Args:
        context: provides the application and the options.
        carrier: the connection or stream.
        scope: the scope of the request.
        keep_alive: the peer allows another request on the connection.

    Attributes:
        status, field_lines, own_defaults, content_length: the head of the response, from
            HEAD_BUFFERED on. The checked field lines do not include framing; `own_defaults` has
            the bits of default fields that the application sets; the length is as declared.
        body_octets_sent: octets of body written so far.
        request_complete: the whole request body has arrived.
        trailers: field lines for the trailers; None unless the start has announced trailers.
        head_only: the method is HEAD.
        is_bodiless: no body is sent, whatever the application sends (HEAD, 204, 304; ASGI H32);
            known from HEAD_BUFFERED on.
        http_10: the request is HTTP/1.0, which has no chunked coding.
        method, client, target, scheme, version, started, ended: for the observer, if there is one;
            times by the context's clock. The scope is the application's to change.
        fields: the request's fields, if the access log shows some of them.
        identity: ids of the request and of its trace, if they are wanted.
        sends_request_id: the response has the id.
        queue_time: seconds that the request waited before it reached this server, by a trusted
            proxy's X-Request-Start, for the observer; None if that is unknown.
        disconnect_sent: http.disconnect has been queued.
        peer_half_closed: the peer sends no more; it may still read.
        is_over: the observer has been told the end of the exchange.
        head_sent: time when the head of a response in several parts was sent, for the observer;
            None for other responses.
        error_sent: the server has sent an error response instead of the application.
        body_unblocked: set at the end of the state BODY_BLOCKED.
        received, received_at_check, received_at_end: octets of the request body: so far, at the
            last check of the rate, and at the end of the response.
        disconnect: the event that ends the application's input.
        is_upgrade: the octets from the peer belong to another protocol.
        max_dropped_sends: messages that are dropped without an error after a disconnect.
        max_informed_sends: the same, after the application has received the disconnect event.
        ended_queue: the application's input, after the connection is lost.
    """

    disconnect: ClassVar[dict[str, Any]] = DISCONNECT
    is_upgrade = False
    max_dropped_sends = 16
    max_informed_sends = 0
    ended_queue: InputQueue | None = None
    status = 0
    content_length: int | None = None
    is_bodiless = False
    own_defaults = 0
    body_octets_sent = 0
    request_complete = False
    expects_continue = False
    received = 0
    received_at_check = 0
    received_at_end = 0
    queue: InputQueue | None = None
    disconnect_sent = False
    peer_half_closed = False
    is_over = False
    head_sent: float | None = None
    error_sent = False
    _parts_size = 0
    method = ""
    client: Sequence[Any] | None = None
    target = b""
    scheme = ""
    version = ""
    fields: Sequence[tuple[bytes, bytes]] = ()
    identity: Identity | None = None
    sends_request_id = False
    started = 0.0
    ended = 0.0
    queue_time: float | None = None
    chunked = False
    body_unblocked: Event | None = None
    _queued = 0  # messages in `_send_in_turn`, including the one that is being sent
    _turnstile: Lock | None = None
    field_lines: list[bytes]

    def __init__(
        self, context: ServerContext, carrier: Carrier, scope: dict[str, Any], keep_alive: bool
    ) -> None:
        self.context = context
        self.carrier = carrier
        self.scope = scope
        self.keep_alive = keep_alive
        self.state = AWAITING_START
        # Instance attributes, because every response reads them, and class attributes are slower.
        self.head_only = False
        self.http_10 = False
        self.trailers: list[bytes] | None = None
        self._parts: list[Any] | None = None  # bytes; after MAX_PARTS of them, one bytearray

    # The request.

    def start(self) -> None:
        """Run the application; the received part of the body is its first event."""
        self.queue = queue = self.context.create_application(self, self.scope)
        if not self.request_complete:
            queue.reader = self
            self.flush_body()
        elif self._parts is None:
            queue.bodiless = True
        else:
            self.flush_body()

    def body_received(self, data: bytes) -> None:
        """Store octets of the request body until the next `flush_body`."""
        self._parts_size += len(data)
        parts = self._parts
        if parts is None:
            self._parts = [data]
        elif len(parts) < MAX_PARTS:
            parts.append(data)
        elif len(parts) == MAX_PARTS:
            parts.append(bytearray(data))
        else:
            parts[MAX_PARTS] += data

    def flush_body(self) -> None:
        """Queue the stored octets for the application as one event."""
        queue = self.queue
        parts = self._parts
        if queue is None or (parts is None and not self.request_complete):
            return
        body: Any = b"" if parts is None else parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = None
        self._parts_size = 0
        size = self.context.options.request_buffer_size
        if size and len(body) > size:
            last = (len(body) - 1) // size * size
            for start in range(0, last, size):
                part = body[start : start + size]
                queue.put_nowait({"type": "http.request", "body": part, "more_body": True})
            body = body[last:]
        queue.put_nowait(
            {"type": "http.request", "body": body, "more_body": not self.request_complete}
        )

    @property
    def unread(self) -> int:
        """Octets of the request body that the application has not received."""
        waiting = self._parts_size
        return waiting if self.queue is None else waiting + self.queue.unread

    @property
    def has_many_events(self) -> bool:
        """True while the queue has the maximum number of events."""
        queue = self.queue
        return queue is not None and queue.qsize() >= MAX_EVENTS

    @property
    def is_full(self) -> bool:
        """True while so much of the body is unread that reading must pause."""
        size, queue = self._parts_size, self.queue
        if queue is not None:
            size += queue.unread
        return (
            size >= HIGH_WATER or (queue is not None and queue.qsize() >= MAX_EVENTS)
        ) and self.state is not COMPLETE

    def body_requested(self) -> None:
        """See Carrier; after a final status, a 100 would be a second response (RFC 9110, 15.2)."""
        if self.expects_continue and (self.state is AWAITING_START or self.state is HEAD_BUFFERED):
            self.expects_continue = False
            self.carrier.body_requested(self)

    def body_consumed(self) -> None:
        """See Carrier."""
        self.carrier.body_consumed()

    # The response.

    def handle_reply(self, message: dict[str, Any]) -> Awaitable[None] | None:
        """Handle one message of the application.

        Returns:
            An awaitable if the peer does not read fast enough (ASGI C09), else None.
        Raises:
            ApplicationError: ASGI does not allow the message here; nothing was sent.
            ConnectionClosed: the connection is lost (ASGI H30).
        """
        try:
            kind = message["type"]
        except (KeyError, TypeError):
            raise ApplicationError(f"send: expected a dict with 'type', got {message!r:.80}")
        state = self.state
        if kind == BODY:
            body = message.get("body", b"")
            more = message.get("more_body", False)
            # Flat on purpose: this code runs for every response.
            if body.__class__ is not bytes:  # cheaper than type(), measured
                raise ApplicationError(
                    f"{BODY}: expected bytes as body, got {type(body).__name__} {body!r:.80}"
                )
            if (
                not more
                and self.trailers is not None
                and state in (HEAD_BUFFERED, SENDING_BODY)
                and not self._queued
            ):
                return self.end_body_before_trailers(body)
            if state is HEAD_BUFFERED:
                return self.carrier.respond(self, body, more)
            if state is SENDING_BODY and not self._queued:
                return self.carrier.write_body(self, body, more)
        elif kind == START and state is AWAITING_START:
            self._take_head(message)
            return None
        if state is COMPLETE:
            return None
        if state is CLOSED:
            raise ConnectionClosed("The connection was closed before the response was complete")
        if kind == START:
            check_message(START, state)
        if state is BODY_BLOCKED or self._queued:
            return self._send_in_turn(message)
        if kind == BODY:
            check_message(BODY, state)
        return self.take_extension(kind, message)

    def take_extension(self, kind: Any, message: dict[str, Any]) -> Awaitable[None] | None:
        """Handle a message that is neither start nor body."""
        raise ApplicationError(f"send: expected {START} or {BODY}, got {kind!r:.80}")

    def promise_trailers(self) -> None:
        """Expect trailers after the body; do nothing where trailers are not supported."""

    def end_body_before_trailers(self, body: bytes) -> Awaitable[None] | None:
        """Send the last part of a body that precedes trailers."""
        raise NotImplementedError

    async def _send_in_turn(self, message: dict[str, Any]) -> None:
        """Send a message after the messages that other tasks have sent earlier.

        Messages are sent one at a time, in the order of the calls. A waiting message stays with its
        caller, so it takes no additional memory. A sender that is cancelled while it waits sends
        nothing, and the others keep their order.
        """
        if self._turnstile is None:
            self._turnstile = Lock()  # first come, first served
        self._queued += 1
        try:
            async with self._turnstile:
                while self.state is BODY_BLOCKED:
                    assert self.body_unblocked is not None
                    await self.body_unblocked.wait()
                queued, self._queued = self._queued, 0  # the others come after this message
                try:
                    waiting = self.handle_reply(message)
                finally:
                    self._queued = queued
                if waiting is not None:
                    await waiting
        finally:
            self._queued -= 1

    def block_body(self, size: int) -> BlockedPart:
        """Begin a part of the body that cannot be written at once; other messages wait for it.

        Args:
            size: octets of the part, which `body_octets_sent` includes.
        """
        self.state = BODY_BLOCKED
        self.body_unblocked = Event()
        return BlockedPart(self, size)

    def check_length(self, size: int, more: bool) -> None:
        """Check the body against its Content-Length, before a part is sent (ASGI H33).

        Args:
            size: octets of the next part.
            more: further parts follow.
        Raises:
            ApplicationError: the body is too long or too short. If it is too short and the head
                has been sent, the exchange is aborted, because it stays incomplete.
        """
        length = self.content_length
        assert length is not None
        total = self.body_octets_sent + size
        if total > length:
            raise ApplicationError(
                f"{BODY}: expected {length} octets as Content-Length says, got {total}"
            )
        if not more and total < length:
            if self.state is SENDING_BODY:
                self.carrier.abort(self)
            raise ApplicationError(
                f"{BODY}: expected {length} octets as Content-Length says, got only {total}"
            )

    def _take_head(self, message: dict[str, Any]) -> None:
        status = message.get("status")
        if status.__class__ is not int or status not in STATUSES:
            if not isinstance(status, int) or int(status) not in STATUSES:
                raise ApplicationError(
                    f"{START}: expected an int from 200 to 999 as status, got {status!r:.80}"
                )
            status = int(status)  # an http.HTTPStatus
        known = known_lines
        lines: list[bytes] = []
        length: int | None = None
        own_defaults = 0
        headers = message.get("headers", ())
        try:
            # Flat on purpose: this loop runs for every field of every response.
            for pair in headers:
                try:
                    octets, special, value = known[pair]
                    name, text = pair
                    if name.__class__ is not bytes or text.__class__ is not bytes:
                        raise KeyError  # a memoryview equals the octets that it shows
                except (KeyError, TypeError) as miss:
                    try:
                        octets, special, value = to_field_line(pair, len(lines), START)
                    except ApplicationError as error:
                        error.__context__ = miss.__context__  # hide the miss in the cache
                        raise
                if special:
                    if special == CONTENT_LENGTH:
                        if length is None:
                            length = value
                        elif length == value:
                            octets = b""
                        else:
                            raise ApplicationError(f"{START}: two different Content-Lengths")
                    elif special == CONNECTION:
                        # `close` is obeyed; the server controls the rest (RFC 9110, 7.6.1).
                        if b"close" in value.lower():
                            self.keep_alive = False
                        octets = b""
                    elif special == TRANSFER_ENCODING:  # ASGI H22
                        octets = b""
                    else:
                        own_defaults |= 1 << special
                lines.append(octets)
        except TypeError:
            if isinstance(headers, Iterable):  # raised by a generator of the application
                raise
            raise ApplicationError(f"{START}: expected an iterable of headers, got {headers!r:.80}")
        self.status = status
        self.field_lines = lines
        self.content_length = length
        self.own_defaults = own_defaults
        self.is_bodiless = self.head_only or status in BODILESS
        self.state = HEAD_BUFFERED
        if message.get("trailers"):
            self.promise_trailers()

    def declare_length(self, size: int) -> None:
        """Add a Content-Length to the head, for a response whose whole body is known."""
        self.content_length = size
        self.field_lines.append(b"Content-Length: %d\r\n" % size)

    def frame_bodiless(self, size: int, more: bool) -> None:
        """Give a response without a body its Content-Length.

        204 has none (RFC 9110, 8.6). HEAD has the one that GET would have, if that is known.

        Args:
            size: octets of the part of the body that the application sends with the head.
            more: it is not the last.
        """
        if self.status == 204:
            self.field_lines = [
                line for line in self.field_lines if line[:15].lower() != b"content-length:"
            ]
        elif self.content_length is None and size and not more and self.status not in BODILESS:
            self.declare_length(size)

    def complete(self) -> None:
        """Complete the response; the next event of the application is the end (ASGI H28)."""
        self.state = COMPLETE
        queue = self.queue
        if queue is not None:
            # Without this reference, exchange, queue and task do not form a cycle.
            self.queue = None
            queue.end(self.disconnect)
        context = self.context
        if context.observer is not None and not self.is_over:  # as `finish`, without the call
            self.is_over = True
            self.ended = context.clock()
            context.observer.exchange_ended(self)

    def begin_body(self) -> None:
        """Enter SENDING_BODY: the carrier writes the head of a response in several parts."""
        self.state = SENDING_BODY
        if self.context.observer is not None:
            self.head_sent = self.context.clock()

    def end_with_error(self, error: PeerError) -> PeerError:
        """End the exchange with an error response of the server.

        Returns:
            The error, with the id of the request if the response has it.
        """
        self.error_sent = True
        self.status = error.status
        self.body_octets_sent = 0 if self.head_only else len(error.text) + 1  # a line feed
        if self.sends_request_id and self.identity is not None:
            request_id = self.identity.request_id.encode("ascii")
            error = error.with_line(b"X-Request-ID: %b\r\n" % request_id)
        self.close()
        return error

    def refuse(self, error: PeerError) -> None:
        """Send an error response if nothing has been written, otherwise abort the response."""
        if self.state is AWAITING_START or self.state is HEAD_BUFFERED:
            self.carrier.send_error(self, error)
        else:
            self.carrier.abort(self)

    def response_timed_out(self) -> None:
        """End a response that the application has not completed within `time_limit`."""
        self.context.applications.response_too_slow(self)
        self.refuse(PeerError(503, "Application failed to respond within time limit."))

    @property
    def is_waiting_for_response(self) -> bool:
        """True until the response is complete or was given up."""
        return self.state is not COMPLETE and self.state is not CLOSED

    @property
    def is_cut(self) -> bool:
        """True if the response was cut off after a part of it was sent."""
        return self.state is CLOSED and bool(self.status) and not self.error_sent

    def close(self) -> None:
        """Close the exchange before its response is complete."""
        if self.state is HEAD_BUFFERED and not self.error_sent:
            self.status = 0  # nothing has been sent
        if self.state is not COMPLETE:
            self.state = CLOSED
        self.disconnect_sent = True
        self._parts = None
        self._parts_size = 0
        queue, self.queue = self.queue, None
        if queue is not None:
            self.ended_queue = queue
            queue.end(self.disconnect)
        self.finish()

    def finish(self) -> None:
        """Tell the observer the end of the exchange once, if there is one."""
        context = self.context
        if context.observer is not None and not self.is_over:
            self.is_over = True
            self.ended = context.clock()
            context.observer.exchange_ended(self)

    def connection_lost(self) -> None:
        """End the exchange with its connection."""
        self.close()
        self.peer_gone()

    def peer_gone(self) -> None:
        """Start the grace period after which the application is cancelled."""
        self.context.applications.peer_gone(self)

    @property
    def disconnect_received(self) -> bool:
        """True after the application has received the disconnect event."""
        queue = self.ended_queue
        return queue is not None and queue.application_knows_end

    def end_input(self, peer_half_closed: bool = False) -> None:
        """Queue `http.disconnect` after the received part of the body.

        Args:
            peer_half_closed: the peer has closed its side; otherwise the server is stopping.
        """
        self.disconnect_sent = True
        self.peer_half_closed = peer_half_closed
        if self.queue is not None:
            self.queue.end(self.disconnect, keep_unread=True)
        if peer_half_closed:
            self.peer_gone()

    def server_stops(self) -> None:
        """End a stream of events, because the server is stopping; other requests are finished.

        The application of a stream of events (`text/event-stream`) gets the disconnect event; the
        client reconnects to the next server. It may be called several times.
        """
        if self.is_endless and not self.disconnect_sent:
            self.end_input()

    @property
    def is_endless(self) -> bool:
        """True for a response without an end of its own, which a stop must end: event streams.

        A download is not ended: an application that listens for its client's end, such as
        Starlette's StreamingResponse, would cut it.
        """
        return self.state is SENDING_BODY and self._is_event_stream()

    def _is_event_stream(self) -> bool:
        return any(line.lower().startswith(EVENT_STREAM) for line in self.field_lines)

    @property
    def time_limit(self) -> float | None:
        """Seconds for the application to complete the response."""
        return self.context.options.http_timeout

    # The end of the application instance.

    def application_returned(self) -> None:
        state = self.state
        if state is COMPLETE or state is CLOSED:
            return
        if not self.disconnect_sent:  # otherwise the application was right to return
            log.error("%s returned without completing its response", self)
        self._fail(excused=True)

    def application_failed(self, exception: BaseException) -> None:
        name = type(exception).__name__
        log.error("%s raised %s %s", self, name, self.progress, exc_info=exception)
        self._fail()

    def application_cancelled(self) -> None:
        if self.state is not COMPLETE and self.state is not CLOSED:
            if not self.disconnect_sent:
                log.error("%s was cancelled before its response was complete", self)
            self._fail(excused=True)

    def _fail(self, excused: bool = False) -> None:
        """End an exchange that the application has not finished (C12).

        Args:
            excused: the application did not fail, if its peer has gone.
        """
        if self.state is COMPLETE or self.state is CLOSED:
            return
        head_waits = self.state is AWAITING_START or self.state is HEAD_BUFFERED
        if head_waits and excused and self.peer_half_closed:
            self.carrier.close_without_response(self)
        elif excused and self._ends_anywhere():
            # This cannot raise, and need not wait: the transport buffers the last octets.
            self.carrier.write_body(self, b"", False)
        else:
            self.refuse(PeerError(500, "Internal Server Error"))

    def _ends_anywhere(self) -> bool:
        """Tell whether the response may end anywhere: a stream of events at a stop."""
        return (
            self.context.draining
            and self.state is SENDING_BODY
            and self.disconnect_sent
            and self.content_length is None
            and self.trailers is None
            and self._is_event_stream()
        )

    def log_label(self) -> str:
        """Return how log lines about the request begin: with its client, where it is known."""
        return self.carrier.log_label(self.client)

    def __str__(self) -> str:
        """Return a description for log lines, with control characters escaped (S06)."""
        scope = self.scope  # the application may have changed it
        request = f"{scope.get('method')!s:.20} {scope.get('path')!r:.200}"
        return f"{self.log_label()} Application for {request}{self._id_text()}"

    def _id_text(self) -> str:
        return f" (request {self.identity.request_id})" if self.identity is not None else ""

    @property
    def progress(self) -> str:
        """The end of a log line: how far the response has come."""
        state, size = self.state, counted(self.body_octets_sent, "byte", "d")
        if state is AWAITING_START:
            return "before its response began"
        if state is HEAD_BUFFERED:
            return f"before anything of its response {self.status} was sent"
        if state is COMPLETE:
            return f"after its complete response {self.status}"
        if state is not CLOSED:
            return f"after {size} of its response {self.status}"
        if self.error_sent:
            return f"after the server had sent {self.status}"
        return f"after its connection was closed; {size} of its response were sent"
