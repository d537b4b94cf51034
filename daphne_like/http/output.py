"""The writing half of an HTTP/1.1 connection: frames responses (RFC 9112, 6) and paces them."""

from __future__ import annotations

from asyncio import Future
from typing import TYPE_CHECKING, Any

from daphne_like.exceptions import ApplicationError, PeerError
from daphne_like.http.answers import (
    CHUNKED,
    CLOSE,
    CONTINUE,
    KEEP_ALIVE,
    STATUS_LINES,
    short_answer,
    status_line,
)
from daphne_like.http.exchange import BODILESS, BODY, STREAMING, Exchange
from daphne_like.http.waits import Wait, Waits

if TYPE_CHECKING:
    from daphne_like.server import Server

LAST_CHUNK = b"0\r\n\r\n"
WRITTEN_ALONE = 16384
"""From this size on a body is handed over beside its head instead of copied behind it."""


class HTTP1Output(Waits):
    """What an exchange calls to be written; `exchange_over` tells the reading half.

    Args:
        server: for the default fields and options.
    """

    __slots__ = ("_out", "_paused", "_writers", "server", "transport")

    transport: Any

    def __init__(self, server: Server) -> None:
        super().__init__(server.deadlines)
        self.server = server
        self.transport = None
        self._paused = False
        self._writers: list[Future[None]] | None = None
        self._out: list[bytes] | None = None

    def exchange_over(self, exchange: Exchange) -> None:
        """The response is whole."""
        raise NotImplementedError

    def may_keep_alive(self, exchange: Exchange) -> bool:
        """Whether what is left of the request allows another one."""
        raise NotImplementedError

    # Carrier.

    def respond(self, exchange: Exchange, body: bytes, more: bool) -> Future[None] | None:
        """Write the head and the first of the body; a whole small answer is one write.

        Raises:
            ApplicationError: the body is longer or shorter than its Content-Length.
        """
        status = exchange.status
        length = exchange.length
        size = len(body)
        lines = exchange.lines
        server = self.server
        if server.stopping or not (more or exchange.request_complete):
            exchange.keep_alive = exchange.keep_alive and self.may_keep_alive(exchange)
        framing = b""
        if exchange.head_only or status in BODILESS:
            framing = self._frame_nothing(exchange, size, more)
            lines = exchange.lines
            body = b""
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
            self._check_length(exchange, size, more)
        exchange.written = size
        if not exchange.keep_alive:
            framing += CLOSE
        elif exchange.http_10:
            framing += KEEP_ALIVE
        parts = [
            STATUS_LINES.get(status) or status_line(status),
            server.default_fields[exchange.specials],
            *lines,
            framing,
            b"\r\n",
        ]
        if size < WRITTEN_ALONE:
            parts.append(body)
            head = b"".join(parts)
            if more:
                exchange.state = STREAMING
                self._write_soon(head)
                return self._writer() if self._paused else None
            self.transport.write(head)
        else:
            self.transport.writeSequence((b"".join(parts), body))
            if more:
                exchange.state = STREAMING
                return self._writer() if self._paused else None
        exchange.complete()
        self.exchange_over(exchange)
        return self._writer() if self._paused else None

    def write_body(self, exchange: Exchange, body: bytes, more: bool) -> Future[None] | None:
        """Write a further part of the body.

        Raises:
            ApplicationError: the body is longer or shorter than its Content-Length.
        """
        size = len(body)
        if exchange.head_only or exchange.status in BODILESS:
            body = b""
        elif exchange.chunked:
            # A chunk of no octets would be the last one.
            body = b"%x\r\n%b\r\n" % (size, body) if size else b""
            if not more:
                body += LAST_CHUNK
        elif exchange.length is not None:
            self._check_length(exchange, size, more)
        exchange.written += size
        if more:
            if body:
                self._write_soon(body)
        else:
            self._write_now(body)
            exchange.complete()
            self.exchange_over(exchange)
        return self._writer() if self._paused else None

    def answer(self, exchange: Exchange, error: PeerError) -> None:
        """Answer in the application's place, and close after it."""
        exchange.close()
        self._out = None
        exchange.keep_alive = False
        exchange.status = error.status
        self._write_answer(error, head_only=exchange.head_only)
        self.exchange_over(exchange)

    def abort(self, exchange: Exchange) -> None:
        """Cut the connection: no end of a body goes out that a peer could take for one."""
        exchange.close()
        self._out = None
        self.transport.abortConnection()

    def input_wanted(self, exchange: Exchange) -> None:
        """100 (Continue), when the application first asks for the body (RFC 9110, 10.1.1)."""
        self._write_now(CONTINUE)

    # Framing.

    def _check_length(self, exchange: Exchange, size: int, more: bool) -> None:
        """Hold the body to its Content-Length (ASGI H33)."""
        length = exchange.length
        assert length is not None
        total = exchange.written + size
        if total > length:
            raise ApplicationError(
                f"{BODY}: expected {length} octets as Content-Length says, got {total}"
            )
        if not more and total < length:
            self.abort(exchange)
            raise ApplicationError(
                f"{BODY}: expected {length} octets as Content-Length says, got only {total}"
            )

    def _frame_nothing(self, exchange: Exchange, size: int, more: bool) -> bytes:
        """HEAD, 204 and 304: no octet of body, whatever the application sends (ASGI H32)."""
        if exchange.status == 204:  # RFC 9110, 8.6: no Content-Length either
            exchange.lines = [
                line for line in exchange.lines if line[:15].lower() != b"content-length:"
            ]
        elif exchange.head_only and exchange.length is None and size and not more:
            return b"Content-Length: %d\r\n" % size
        return b""

    # Writing.

    def _write_soon(self, octets: bytes) -> None:
        """Write once this turn of the event loop is over, with what else comes until then.

        An application that sends ten chunks without waiting costs one system call instead of
        ten; one that waits for anything has its chunk on the wire before it goes on.
        """
        out = self._out
        if out is None:
            if self._paused:
                self.transport.write(octets)
                return
            self._out = [octets]
            self.server.loop.call_soon(self._flush)
        else:
            out.append(octets)
        if len(octets) > WRITTEN_ALONE:
            self._flush()

    def _write_now(self, octets: bytes) -> None:
        out = self._out
        if out is not None:
            self._out = None
            out.append(octets)
            octets = b"".join(out)
        if octets:
            self.transport.write(octets)

    def _flush(self) -> None:
        out = self._out
        if out is not None:
            self._out = None
            self.transport.writeSequence(out)

    def _write_answer(self, error: PeerError, *, head_only: bool = False) -> None:
        fields = self.server.default_fields[0]
        self._write_now(short_answer(error, fields, head_only=head_only))

    def _writer(self) -> Future[None]:
        """A future for one `send` that must wait until the peer has read."""
        writer: Future[None] = self.server.loop.create_future()
        if self._writers is None:
            self._writers = []
        self._writers.append(writer)
        return writer

    def _release_writers(self) -> None:
        writers, self._writers = self._writers, None
        for writer in writers or ():
            if not writer.done():
                writer.set_result(None)

    # IPushProducer, towards the transport.

    def pauseProducing(self) -> None:
        """The transport holds as much as it wants to."""
        self._paused = True
        self.wait(Wait.WRITE, self.server.options.write_timeout)

    def resumeProducing(self) -> None:
        """The peer has read what the transport held."""
        self._paused = False
        self.arrived(Wait.WRITE)
        self._release_writers()

    def stopProducing(self) -> None:
        """The connection is lost: connectionLost tells it."""
