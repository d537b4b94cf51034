"""The sending half of an HTTP/1.1 connection: frames responses and paces them (RFC 9112, 6)."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import closing
from typing import TYPE_CHECKING

from twisted.internet.interfaces import ISSLTransport

from daphne_like.exceptions import PeerError
from daphne_like.http.exchange import BODILESS, BlockedPart, Exchange
from daphne_like.http.file_range import MAX_SENDFILE_SIZE, FileRange
from daphne_like.http.h1.status_lines import (
    CHUNKED,
    CLOSE,
    KEEP_ALIVE,
    STATUS_LINES,
    error_response,
    status_line,
)
from daphne_like.http.request_body import CONTINUE
from daphne_like.http.response_state import (
    AWAITING_START,
    HEAD_BUFFERED,
)
from daphne_like.observe.connection_log import ConnectionLog
from daphne_like.runtime.send_pacing import YIELD, SendPacing
from daphne_like.runtime.write_batch import MAX_WRITE_SIZE, WRITTEN_ALONE
from daphne_like.transport_interfaces import IMemoryviewTransport, ISendfileTransport

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext

log = ConnectionLog("daphne_like.http")

known_status_line = STATUS_LINES.get

LAST_CHUNK = b"0\r\n\r\n"


class ResponseWriter(SendPacing):
    """Writes the responses of exchanges; `response_complete` informs the reading half.

    Args:
        context: provides the default fields and the options.
    """

    __slots__ = ("_out", "_out_size")

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context)
        self._out: list[bytes | memoryview] | None = None
        self._out_size = 0

    def response_complete(self, exchange: Exchange) -> None:
        """Handle the end of a response."""
        raise NotImplementedError

    def may_keep_alive(self, exchange: Exchange) -> bool:
        """Tell whether the rest of the request and the server allow another request."""
        raise NotImplementedError

    # Carrier.

    def respond(self, exchange: Exchange, body: bytes, more: bool) -> Awaitable[None] | None:
        """Write the head and the first part of the body; a small response is one write.

        Raises:
            ApplicationError: the body is longer or shorter than its Content-Length.
        """
        status = exchange.status
        length = exchange.content_length
        size = len(body)
        if size >= WRITTEN_ALONE:
            return self._respond_large(exchange, body, more)
        lines = exchange.field_lines
        context = self.context
        if context.draining or not (more or exchange.request_complete):
            exchange.keep_alive = exchange.keep_alive and self.may_keep_alive(exchange)
        framing = b""
        if exchange.is_bodiless:
            exchange.frame_bodiless(size, more)
            lines = exchange.field_lines
            body = b""
            size = 0
        elif length is None:
            if not more:
                framing = b"Content-Length: %d\r\n" % size
            elif exchange.http_10:
                exchange.keep_alive = False
            else:
                exchange.chunked = True
                framing = CHUNKED
                body = b"%x\r\n%b\r\n" % (size, body) if size else b""
        elif length != size or more:
            exchange.check_length(size, more)
        if not exchange.keep_alive:
            framing += CLOSE
        elif exchange.http_10:
            framing += KEEP_ALIVE
        octets = b"".join(
            (
                known_status_line(status) or status_line(status),
                context.default_fields[exchange.own_defaults],
                *lines,
                framing,
                b"\r\n",
                body,
            )
        )
        exchange.body_octets_sent = size
        if more:
            exchange.begin_body()
            return self._write_soon(octets)
        context.writes.write(self.transport, octets)
        exchange.complete()
        self.response_complete(exchange)
        return self._drain_waiter() if self._paused else None

    def _respond_large(self, exchange: Exchange, body: bytes, more: bool) -> Awaitable[None] | None:
        """Write the head, then the body as a further part."""
        if exchange.content_length is not None:
            if not exchange.is_bodiless:
                exchange.check_length(len(body), more)
        elif not more and exchange.status not in BODILESS:
            exchange.declare_length(len(body))
        if not more:
            exchange.keep_alive = exchange.keep_alive and self.may_keep_alive(exchange)
        self.respond(exchange, b"", True)
        return self.write_body(exchange, body, more)

    def write_body(self, exchange: Exchange, body: bytes, more: bool) -> Awaitable[None] | None:
        """Write a further part of the body.

        Raises:
            ApplicationError: the body is longer or shorter than its Content-Length.
        """
        size = len(body)
        before = after = b""
        if exchange.is_bodiless:
            body = b""
            size = 0
        elif exchange.chunked:
            if size:  # an empty chunk would end the body
                before, after = b"%x\r\n" % size, b"\r\n"
            if not more:
                after += LAST_CHUNK
        elif exchange.content_length is not None:
            exchange.check_length(size, more)
        exchange.body_octets_sent += size
        if size > MAX_WRITE_SIZE:
            part = exchange.block_body(size)
            return self._write_large(exchange, part, before, body, after, more)
        octets = b"%b%b%b" % (before, body, after) if before or after else body
        if more and self._paused:
            return self._write_when_room(exchange.block_body(size), octets)
        return self._write_part(exchange, octets, more)

    async def _write_when_room(self, part: BlockedPart, octets: bytes) -> None:
        """Write a further part when the transport has room.

        Args:
            part: the part.
            octets: its octets, with framing.
        """
        with part:
            await self._room_for(part)
        waiting = self._write_soon(octets)
        if waiting is not None:
            await waiting

    async def _room_for(self, part: BlockedPart) -> None:
        """Wait until the transport has room.

        Raises:
            ConnectionClosed: the connection is lost.
        """
        if self._paused:
            await self._drain_waiter()
        part.check()

    def _write_part(self, exchange: Exchange, octets: bytes, more: bool) -> Awaitable[None] | None:
        if more:
            return self._write_soon(octets)
        self._write_last(octets)
        if exchange.disconnect_sent:
            # The client of an event stream that a stop has ended must reach the next server.
            exchange.keep_alive = exchange.keep_alive and self.may_keep_alive(exchange)
        exchange.complete()
        self.response_complete(exchange)
        return self._drain_waiter() if self._paused else None

    async def _write_large(
        self,
        exchange: Exchange,
        part: BlockedPart,
        before: bytes,
        body: bytes,
        after: bytes,
        more: bool,
    ) -> None:
        """Write a large part piece by piece as the peer reads, so that its progress is visible."""
        with part:
            await self._room_for(part)
            part.begun = True
            self._write_now(before)
            for start in range(0, len(body), MAX_WRITE_SIZE):
                self._write_now(body[start : start + MAX_WRITE_SIZE])
                await self._drain(part)
        waiting = self._write_part(exchange, after, more)
        if waiting is not None:
            await waiting

    def write_file(self, exchange: Exchange, file: FileRange, more: bool) -> Awaitable[None]:
        """See Carrier; a part of a chunked body is one chunk."""
        if exchange.state is HEAD_BUFFERED:
            if not more:
                exchange.keep_alive = exchange.keep_alive and self.may_keep_alive(exchange)
            self.respond(exchange, b"", True)
        before = after = b""
        if exchange.chunked:
            before, after = b"%x\r\n" % file.remaining, b"\r\n" if more else b"\r\n" + LAST_CHUNK
        exchange.body_octets_sent += file.remaining
        part = exchange.block_body(file.remaining)
        return self._write_file(exchange, part, before, file, after, more)

    async def _write_file(
        self,
        exchange: Exchange,
        part: BlockedPart,
        before: bytes,
        file: FileRange,
        after: bytes,
        more: bool,
    ) -> None:
        with part, closing(file):
            part.begun = True
            self._write_now(before)
            if ISendfileTransport.implementedBy(type(self.transport)):
                await self._send_stretch(part, file)
            takes_views = IMemoryviewTransport.implementedBy(type(self.transport))
            peer_keeps_up = True
            while file.remaining:
                octets = await file.read(self.context.loop, peer_keeps_up)
                part.check()
                self._write_now(octets if takes_views else bytes(octets))
                peer_keeps_up = not self._paused
                await self._drain(part)
        waiting = self._write_part(exchange, after, more)
        if waiting is not None:
            await waiting

    async def _send_stretch(self, part: BlockedPart, file: FileRange) -> None:
        """Let the kernel send a range; the remaining part, if any, must be read."""
        transport = self.transport
        if ISSLTransport.providedBy(transport):
            return
        while file.remaining:
            if self._paused:
                await self._drain(part)
            try:
                sent = transport.send_file(
                    file.descriptor, file.offset, min(file.remaining, MAX_SENDFILE_SIZE)
                )
            except OSError as problem:  # a file system without support for sendfile
                log.state(self, "a file is read, not sent: %s", problem)
                return
            if sent is not None:
                file.advance(sent)
            await self._drain(part)

    async def _drain(self, part: BlockedPart) -> None:
        """Wait until the transport has room, or for one iteration of the event loop."""
        await self.drain()
        part.check()

    def write_informational(
        self, exchange: Exchange, status: int, lines: list[bytes]
    ) -> Awaitable[None] | None:
        """See Carrier."""
        octets = b"".join((status_line(status), *lines, b"\r\n"))
        if self._paused:
            return self._inform_when_room(exchange, octets)
        self._write_now(octets)
        return self.drain()

    async def _inform_when_room(self, exchange: Exchange, octets: bytes) -> None:
        """Write an informational response when the transport has room."""
        while self._paused:
            await self._drain_waiter()
        if (
            exchange.state is AWAITING_START or exchange.state is HEAD_BUFFERED
        ):  # the final head has not been sent
            self._write_now(octets)

    def write_trailers(self, exchange: Exchange, lines: list[bytes]) -> Awaitable[None] | None:
        """See Carrier; only a chunked body can have trailers (RFC 9112, 7.1.2)."""
        octets = b"".join((b"0\r\n", *lines, b"\r\n")) if exchange.chunked else b""
        return self._write_part(exchange, octets, False)

    def send_error(self, exchange: Exchange, error: PeerError) -> None:
        """Send an error response instead of the application's, and close after it."""
        error = exchange.end_with_error(error)
        self._out = None
        exchange.keep_alive = False
        defaults = self.context.default_fields[0]
        head_only, http_10 = exchange.head_only, exchange.http_10
        self._write_now(error_response(error, defaults, head_only=head_only, http_10=http_10))
        self.response_complete(exchange)

    def abort(self, exchange: Exchange) -> None:
        """Abort the connection, so that the peer cannot mistake the body for a complete one."""
        exchange.close()
        self._flush()  # first send the octets that the application has written
        self.transport.abortConnection()

    def close_without_response(self, exchange: Exchange) -> None:
        """See Carrier; responses to earlier requests are still sent."""
        exchange.close()
        exchange.keep_alive = False
        self.response_complete(exchange)

    def body_requested(self, exchange: Exchange) -> None:
        """Send 100 (Continue) when the application first requests the body (RFC 9110, 10.1.1)."""
        self._write_now(CONTINUE)

    # Writing.

    def _write_soon(self, octets: bytes) -> Awaitable[None] | None:
        """Write at the end of this iteration of the event loop, together with further octets.

        An application that sends ten chunks without waiting costs one system call instead of ten.
        If it waits for anything, its chunk is sent before it continues.

        Returns:
            An awaitable for `send` if the peer does not read; otherwise a yield to the event loop
            after each WRITTEN_ALONE octets. An application that never waits would block the loop,
            which could not serve others or notice that the peer has gone.
        """
        out = self._out
        size = len(octets)
        enough = False
        if out is not None:
            out.append(octets)
            self._out_size += size
            enough = self._out_size >= WRITTEN_ALONE
            if enough:
                self._flush()
        elif self._paused or size >= WRITTEN_ALONE:
            self._write_now(octets)
            enough = True
        elif octets:
            self._out = [octets]
            self._out_size = size
            self.context.loop.call_soon(self._flush)
        if self._paused:
            return self._drain_waiter()
        return YIELD if enough else None

    def _write_last(self, octets: bytes) -> None:
        """Write the last part of a body, after pending octets."""
        out = self._out
        if out is None:
            if octets:
                self.context.writes.write(self.transport, octets)
            return
        self._out = None
        out.append(octets)
        is_large = len(octets) >= WRITTEN_ALONE
        self.context.writes.write(self.transport, out if is_large else b"".join(out))

    def _write_now(self, octets: bytes | memoryview) -> None:
        self.context.writes.flush()
        out = self._out
        if out is not None:
            self._out = None
            out.append(octets)
            if len(octets) >= WRITTEN_ALONE:
                self.transport.writeSequence(out)
                return
            octets = b"".join(out)
        if octets:
            self.transport.write(octets)

    def _flush(self) -> None:
        self.context.writes.flush()
        out = self._out
        if out is not None:
            self._out = None
            self.transport.writeSequence(out)
