"""One request and its response as ASGI has them; does not know which HTTP version carries it."""

from __future__ import annotations

import logging
from asyncio import Event, Lock
from collections.abc import Awaitable, Iterable
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

if TYPE_CHECKING:
    from daphne_like.http.file_range import FileRange
    from daphne_like.runtime.context import ServerContext

log = logging.getLogger("daphne_like.http")

DISCONNECT: dict[str, Any] = {"type": "http.disconnect"}


BODILESS = (204, 304)
EVENT_STREAM = b"content-type: text/event-stream"
"""The beginning of the field line of a response that has no end (Server-Sent Events)."""
MAX_PARTS = 32
"""Parts of a body that are kept as they came until they make an event. Further ones are copied into
one bytearray, because a part of an octet or two takes fifty octets of memory."""
STATUSES = frozenset(range(200, 1000))


class Carrier(Protocol):
    """The connection, of whatever HTTP version, as an exchange sees it."""

    @property
    def client(self) -> list[Any] | None:
        """Host and port of the peer; None on a UNIX socket."""

    def respond(self, exchange: Exchange, body: bytes, more: bool) -> Awaitable[None] | None:
        """Write the head that the exchange holds, and the first of its body."""

    def write_body(self, exchange: Exchange, body: bytes, more: bool) -> Awaitable[None] | None:
        """Write a further part of the body; something to await where the application must wait."""

    def write_file(self, exchange: Exchange, part: FileRange, more: bool) -> Awaitable[None]:
        """Write a stretch of a file as a part of the body, the head before it if it is held.

        Args:
            exchange: whose body may have octets; its length is checked.
            part: not empty; closed when it is out, or cannot be.
            more: another part of the body, or trailers, follow.
        """

    def write_informational(
        self, exchange: Exchange, status: int, lines: list[bytes]
    ) -> Awaitable[None] | None:
        """Write a head that is not the final one (RFC 9110, 15.2); the peer knows such."""

    def write_trailers(self, exchange: Exchange, lines: list[bytes]) -> Awaitable[None] | None:
        """End a response whose body is whole, with these field lines where its framing allows."""

    def send_error(self, exchange: Exchange, error: PeerError) -> None:
        """Answer in the application's place; nothing of its answer is out."""

    def abort(self, exchange: Exchange) -> None:
        """End the exchange so that the peer sees its answer is not whole."""

    def close_without_response(self, exchange: Exchange) -> None:
        """End the exchange without an answer: nothing of one is out, and nobody waits for it."""

    def body_requested(self, exchange: Exchange) -> None:
        """The application asks for the body: send 100 (Continue) if the peer waits for it."""

    def body_consumed(self) -> None:
        """The application has caught up with the body: the peer may be read again."""

    def upgrade(self, exchange: Exchange, lines: list[bytes], protocol: Any) -> None:
        """Say that the connection changes to another protocol, and hand it over.

        Args:
            exchange: the one that asks for it.
            lines: field lines of the answer.
            protocol: takes the transport, and what the peer has sent already.
        """


class Exchange:
    """One request, one response, one application instance.

    Args:
        context: runs the application.
        carrier: the connection.
        scope: of the request.
        keep_alive: the peer allows another request on the connection.

    Attributes:
        status, field_lines, own_defaults, content_length: the response's head, from HEAD_BUFFERED
            on: checked field lines without those of framing; which default fields the application
            sets itself; the declared length, or None.
        body_octets_sent: octets of body written so far.
        request_complete: the whole request body has arrived.
        trailers: field lines for behind the body; None unless they were promised.
        head_only: the method is HEAD: no octet of a body goes out (ASGI H32).
        http_10: the peer knows no chunked coding.
        method, client, target, started: for the access log, if there is one.
        disconnect_sent: the application's input says that the peer is gone.
        peer_half_closed: and so it is, or has closed its own side and reads on.
        logged: the access log has been told of the end.
        head_sent: when the head of a response in parts went out, for the access log, if there is
            one; None for a response that goes out as a whole.
        answered: the response is the server's own, in the application's place.
        body_unblocked: set when a state of WRITING is over.
        received, received_at_look, received_at_end: octets of the request body: so far, when
            their rate was looked at last, when the response was complete.
        disconnect: the event that ends the application's input.
        action: protocol and action in the access log.
        is_upgrade: what the peer sends is another protocol's.
        max_dropped_sends: messages that are dropped, without an error, once the connection is gone.
        max_informed_late: the same, once the application has received the disconnect event.
        ended_queue: the application's input, after the connection is gone.
    """

    disconnect: ClassVar[dict[str, Any]] = DISCONNECT
    action = ("http", "complete")
    is_upgrade = False
    max_dropped_sends = 16
    max_informed_late = 0
    ended_queue: InputQueue | None = None
    status = 0
    content_length: int | None = None
    own_defaults = 0
    body_octets_sent = 0
    request_complete = False
    expects_continue = False
    received = 0
    received_at_look = 0
    received_at_end = 0
    queue: InputQueue | None = None
    disconnect_sent = False
    peer_half_closed = False
    logged = False
    head_sent: float | None = None
    answered = False
    _parts_size = 0
    method = ""
    client: tuple[Any, ...] | None = None
    target = b""
    started = 0.0
    chunked = False
    body_unblocked: Event | None = None
    _queued = 0  # messages that wait in `_send_in_turn`, the one that is being sent included
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
        # What every response looks at: found in the class it would be slower to read.
        self.head_only = False
        self.http_10 = False
        self.trailers: list[bytes] | None = None
        self._parts: list[Any] | None = None  # bytes; a bytearray behind MAX_PARTS of them

    # The request.

    def start(self) -> None:
        """Run the application; what has arrived of the body is its first event."""
        self.queue = queue = self.context.create_application(self, self.scope)
        if not self.request_complete:
            queue.reader = self
            self.flush_body()
        elif self._parts is None:
            queue.bodiless = True
        else:
            self.flush_body()

    def body_received(self, data: bytes) -> None:
        """Octets of the request body; the application gets them at the next `flush_body`."""
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
        """Give the application what has arrived since the last time, as one event."""
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
        """Octets of the request body that the application has not taken."""
        waiting = self._parts_size
        return waiting if self.queue is None else waiting + self.queue.unread

    @property
    def has_many_events(self) -> bool:
        """Whether the application has not read so many events that no more are to be made."""
        queue = self.queue
        return queue is not None and queue.qsize() >= MAX_EVENTS

    @property
    def is_full(self) -> bool:
        """Whether the peer is read no further for now."""
        size, queue = self._parts_size, self.queue
        if queue is not None:
            size += queue.unread
        return (
            size >= HIGH_WATER or (queue is not None and queue.qsize() >= MAX_EVENTS)
        ) and self.state is not COMPLETE

    def body_requested(self) -> None:
        """See Carrier; behind a final status a 100 would be a second answer (RFC 9110, 15.2)."""
        if self.expects_continue and (self.state is AWAITING_START or self.state is HEAD_BUFFERED):
            self.expects_continue = False
            self.carrier.body_requested(self)

    def body_consumed(self) -> None:
        """See Carrier."""
        self.carrier.body_consumed()

    # The response.

    def handle_reply(self, message: dict[str, Any]) -> Awaitable[None] | None:
        """Take one message of the application.

        Returns:
            What to wait for when the peer does not read fast enough (ASGI C09), else None.
        Raises:
            ApplicationError: the message is none that ASGI allows here; nothing of it is out.
            ConnectionClosed: the connection is gone (ASGI H30).
        """
        try:
            kind = message["type"]
        except (KeyError, TypeError):
            raise ApplicationError(f"send: expected a dict with 'type', got {message!r:.80}")
        state = self.state
        if kind == BODY:
            body = message.get("body", b"")
            more = message.get("more_body", False)
            # Flat on purpose: this is the way of every response.
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
        """A message that is neither start nor body."""
        raise ApplicationError(f"send: expected {START} or {BODY}, got {kind!r:.80}")

    def promise_trailers(self) -> None:
        """The start says that trailers follow the body; nothing, where they are not served."""

    def end_body_before_trailers(self, body: bytes) -> Awaitable[None] | None:
        """The last of a body that trailers follow."""
        raise NotImplementedError

    async def _send_in_turn(self, message: dict[str, Any]) -> None:
        """Send a message behind those that other tasks have sent before it.

        Messages go out in the order in which they were sent, one at a time: none of them takes
        memory beside the application's own as long as the peer does not read. A sender that is
        cancelled while it waits sends nothing, and the others keep their order.
        """
        if self._turnstile is None:
            self._turnstile = Lock()  # first come, first served
        self._queued += 1
        try:
            async with self._turnstile:
                while self.state is BODY_BLOCKED:
                    assert self.body_unblocked is not None
                    await self.body_unblocked.wait()
                queued, self._queued = self._queued, 0  # those are behind this message
                try:
                    waiting = self.handle_reply(message)
                finally:
                    self._queued = queued
                if waiting is not None:
                    await waiting
        finally:
            self._queued -= 1

    def check_length(self, size: int, more: bool) -> None:
        """Hold the body to its Content-Length, before an octet of the part goes out (ASGI H33).

        Args:
            size: octets of the part to be written next.
            more: it is not the last.
        Raises:
            ApplicationError: too long or too short; when the head is out and the body too short,
                the exchange is aborted, because nothing can make it whole.
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
                        error.__context__ = miss.__context__  # looking in vain says nothing
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
                        # `close` is heeded; the rest is the server's to say (RFC 9110, 7.6.1).
                        if b"close" in value.lower():
                            self.keep_alive = False
                        octets = b""
                    elif special == TRANSFER_ENCODING:  # ASGI H22
                        octets = b""
                    else:
                        own_defaults |= 1 << special
                lines.append(octets)
        except TypeError:
            if isinstance(headers, Iterable):  # a generator of the application's own
                raise
            raise ApplicationError(f"{START}: expected an iterable of headers, got {headers!r:.80}")
        self.status = status
        self.field_lines = lines
        self.content_length = length
        self.own_defaults = own_defaults
        self.state = HEAD_BUFFERED
        if message.get("trailers"):
            self.promise_trailers()

    def complete(self) -> None:
        """The response is whole: from now on the application's input says so (ASGI H28)."""
        self.state = COMPLETE
        queue = self.queue
        if queue is not None:
            # Letting go of the queue keeps exchange, queue and task from forming a cycle.
            self.queue = None
            queue.end(self.disconnect)
        if self.context.actions is not None:
            self.finish()

    def begin_body(self) -> None:
        """Go on to the body: the carrier writes the head of a response in parts."""
        self.state = SENDING_BODY
        if self.context.actions is not None:
            self.head_sent = self.context.clock()

    def answered_with(self, error: PeerError) -> None:
        """End the exchange: the server answers in the application's place."""
        self.answered = True
        self.status = error.status
        self.body_octets_sent = 0 if self.head_only else len(error.text) + 1  # a line feed
        self.close()

    def refuse(self, error: PeerError) -> None:
        """Answer with an error if nothing of the response is written, else abort the response."""
        if self.state is AWAITING_START or self.state is HEAD_BUFFERED:
            self.carrier.send_error(self, error)
        else:
            self.carrier.abort(self)

    def response_timed_out(self) -> None:
        """End a response that the application has not completed within `time_limit`."""
        self.context.applications.response_too_slow(self)
        self.refuse(PeerError(503, "Application failed to respond within time limit."))

    @property
    def is_cut(self) -> bool:
        """Whether a part of the response is out and the rest never comes."""
        return self.state is CLOSED and bool(self.status) and not self.answered

    def close(self) -> None:
        """The connection is gone, or given up, before the response was complete."""
        if self.state is HEAD_BUFFERED and not self.answered:
            self.status = 0  # no octet of it is out
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
        """Tell the access log, if there is one, that the exchange has ended; once."""
        actions = self.context.actions
        if actions is not None and not self.logged:
            actions.finished(self)

    def connection_lost(self) -> None:
        """End the exchange with its connection."""
        self.close()
        self.peer_gone()

    def peer_gone(self) -> None:
        """Start the grace period after which the application is cancelled."""
        self.context.applications.peer_gone(self)

    @property
    def disconnect_received(self) -> bool:
        """Whether the connection is gone, and the application has received the event saying so."""
        queue = self.ended_queue
        return queue is not None and queue.application_knows_end

    def end_input(self, peer_half_closed: bool = False) -> None:
        """What the peer sent stays readable, then comes `http.disconnect`.

        Args:
            peer_half_closed: it has closed its side; else the server wants the application to end.
        """
        self.disconnect_sent = True
        self.peer_half_closed = peer_half_closed
        if self.queue is not None:
            self.queue.end(self.disconnect, keep_unread=True)
        if peer_half_closed:
            self.peer_gone()

    def server_stops(self) -> None:
        """The server begins to stop: a request in flight is finished, unless it has no end.

        Tell the application of a stream of events (`text/event-stream`) that the client is gone:
        the client reconnects to the next server. May be called several times.
        """
        if self.state is SENDING_BODY and not self.disconnect_sent and self._is_event_stream():
            self.end_input()

    def _is_event_stream(self) -> bool:
        return any(line.lower().startswith(EVENT_STREAM) for line in self.field_lines)

    @property
    def time_limit(self) -> float | None:
        """Seconds for the application to complete the response."""
        return self.context.options.http_timeout

    # How the application instance ended.

    def application_returned(self) -> None:
        state = self.state
        if state is COMPLETE or state is CLOSED:
            return
        if not self.disconnect_sent:  # else it rightly saw no use in going on
            log.error("%s returned without completing its response", self)
        self._fail(excused=True)

    def application_failed(self, exception: BaseException) -> None:
        log.error("%s raised %s", self, type(exception).__name__, exc_info=exception)
        self._fail()

    def application_cancelled(self) -> None:
        if self.state is not COMPLETE and self.state is not CLOSED:
            if not self.disconnect_sent:
                log.error("%s was cancelled before its response was complete", self)
            self._fail(excused=True)

    def _fail(self, excused: bool = False) -> None:
        """C12: whatever the application did not finish ends now.

        Args:
            excused: no failure of the application's, if its peer is done.
        """
        if self.state is COMPLETE or self.state is CLOSED:
            return
        head_waits = self.state is AWAITING_START or self.state is HEAD_BUFFERED
        if head_waits and excused and self.peer_half_closed:
            self.carrier.close_without_response(self)
        elif excused and self._ends_anywhere():
            # It must not raise, and does not wait: the transport holds what the peer has not read.
            self.carrier.write_body(self, b"", False)
        else:
            self.refuse(PeerError(500, "Internal Server Error"))

    def _ends_anywhere(self) -> bool:
        """Whether the response is whole wherever it ends: a stream of events at a stop."""
        return (
            self.context.draining
            and self.state is SENDING_BODY
            and self.disconnect_sent
            and self.content_length is None
            and self.trailers is None
            and self._is_event_stream()
        )

    def __str__(self) -> str:
        """For log lines: never an octet that a terminal would obey (S06)."""
        scope = self.scope  # the application's to change, by now
        return f"Application for {scope.get('method')!s:.20} {scope.get('path')!r:.200}"
