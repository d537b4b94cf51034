"""A request of twisted.web as the carrier of an exchange: scope, response, end.

twisted.web does framing, keep-alive and HTTP/2. intake.py reads the request body.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from twisted.web.http import HTTPChannel
from twisted.web.server import Request
from zope.interface import implementer

from daphne_like.exceptions import PeerError, too_many_connections
from daphne_like.http.addresses import ConnectionEnds, describe_ends
from daphne_like.http.exchange import BlockedPart, Exchange
from daphne_like.http.extensions import Supported
from daphne_like.http.response_state import (
    SENDING_BODY,
)
from daphne_like.http.tls_info import read_tls_extension
from daphne_like.observe.connection_log import ConnectionLog
from daphne_like.runtime.send_pacing import YIELD, SendPacing
from daphne_like.runtime.timeouts import Timeout
from daphne_like.runtime.write_batch import MAX_WRITE_SIZE, WRITTEN_ALONE
from daphne_like.web.scope import open_web_exchange

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext

log = ConnectionLog("daphne_like.http")

NO_ERROR, INTERNAL_ERROR = 0, 2
"""Error codes of HTTP/2 (RFC 9113, 7)."""


@implementer(IPushProducer)
class WebCarrier(SendPacing):
    """One request of twisted.web; the Server treats it as a connection.

    Args:
        context: the server's context; it runs the application.
        request: a request whose head has arrived and whose response has not begun.

    Attributes:
        transport: the connection or the HTTP/2 stream; its `abortConnection` ends the request.
        addresses: scheme, both addresses and extensions, for the exchange.
    """

    protocol_name = "twisted.web"

    def __init__(self, context: ServerContext, request: Request) -> None:
        super().__init__(context)
        channel: Any = request.channel
        self.request = request
        self.channel = channel
        self.is_stream = not isinstance(channel, HTTPChannel)
        self.transport = channel if self.is_stream else channel.transport
        self.addresses = self.describe_ends()
        self.exchange: Exchange | None = None
        self._responded = False  # the response is complete, or the peer is gone
        self._gone = False  # twisted.web has finished the request
        self._ending = False  # the last octets were written; wait until the peer has read
        self._written_since_yield = 0  # octets since the last yield to the event loop

    # The request.

    def open(self) -> bool:
        """Create the exchange; return False if the request was refused."""
        self.request.notifyFinish().addCallbacks(self._finished, self.connection_lost)
        has_room = self.context.connected(self)
        try:
            if not has_room:
                raise too_many_connections()
            self.exchange = open_web_exchange(self)
            self._check_body()
        except PeerError as error:
            self.refuse(error)
            return False
        return True

    def start(self) -> None:
        """Run the application."""
        exchange = self.exchange
        if exchange is None or self._responded:  # ended while the application was starting
            return
        exchange.scope["state"] = self.context.lifespan_state.copy()
        self.request.registerProducer(self, True)
        # HTTPChannel.registerProducer does not tell a new producer that the transport is full
        # already, because the peer does not read the response before this one (twisted 26.10).
        if getattr(self.channel, "_waitingForTransport", False):
            self.pauseProducing()
        self.set_timeout(Timeout.RESPONSE, exchange.time_limit)
        self._start(exchange)

    def describe_ends(self) -> ConnectionEnds:
        """See RequestOrigin."""
        scheme = "https" if self.request.isSecure() else "http"
        ends = describe_ends(self.channel)
        # An HTTP/2 stream of twisted.web (26.10) has its connection in a private attribute.
        below = getattr(self.channel, "_conn", self.channel) if self.is_stream else self.channel
        tls = read_tls_extension(getattr(below, "transport", None))
        # twisted.web cannot carry the extensions of a response.
        extensions = {} if tls is None else {"tls": Supported(tls)}
        return dataclasses.replace(ends, scheme=scheme, extensions=extensions)

    def _check_body(self) -> None:
        """Refuse a body that is too large."""

    def _start(self, exchange: Exchange) -> None:
        raise NotImplementedError

    def body_requested(self, exchange: Exchange) -> None:
        """See Carrier."""

    def body_consumed(self) -> None:
        """See Carrier."""

    def upgrade(self, exchange: Exchange, lines: list[bytes], protocol: Any) -> None:
        """See Carrier; never called, because a request of twisted.web is no upgrade here."""
        raise NotImplementedError

    # The response.

    def respond(self, exchange: Exchange, body: bytes, more: bool) -> Awaitable[None] | None:
        """Write the head and the first part of the body.

        Raises:
            ApplicationError: the body is longer or shorter than its Content-Length.
        """
        self._check_length(exchange, len(body), more)
        exchange.keep_alive = exchange.keep_alive and (more or self._may_keep_alive())
        if not exchange.keep_alive:
            self._close_after()
        self._set_head(exchange, len(body), more)
        if more:
            exchange.begin_body()
        else:
            exchange.state = SENDING_BODY
        return self._write(exchange, body, more)

    def write_body(self, exchange: Exchange, body: bytes, more: bool) -> Awaitable[None] | None:
        """Write a further part of the body.

        Raises:
            ApplicationError: the body is longer or shorter than its Content-Length.
        """
        self._check_length(exchange, len(body), more)
        return self._write(exchange, body, more, must_wait=self._paused and more)

    def _may_keep_alive(self) -> bool:
        return not self.context.draining

    def _check_length(self, exchange: Exchange, size: int, more: bool) -> None:
        if exchange.content_length is not None and not exchange.is_bodiless:
            exchange.check_length(size, more)

    def _set_head(self, exchange: Exchange, size: int, more: bool) -> None:
        """Pass the head to twisted.web, which sends it with the first part of the body."""
        request = self.request
        if exchange.is_bodiless:
            exchange.frame_bodiless(size, more)
        elif exchange.content_length is None and not more:
            exchange.declare_length(size)
        fields: dict[bytes, list[bytes]] = {}
        for line in exchange.field_lines:
            if line:
                name, _, value = line[:-2].partition(b": ")
                fields.setdefault(name.lower(), []).append(value)
        if self.is_stream:
            fields.pop(b"upgrade", None)  # RFC 9113, 8.2.2
        # These replace fields of the same names that resources higher in the tree have set; their
        # cookies stay.
        request.cookies.extend(fields.pop(b"set-cookie", ()))
        for name, values in fields.items():
            request.responseHeaders.setRawHeaders(name, values)
        request.defaultContentType = None
        request.setResponseCode(exchange.status)

    def _write(
        self, exchange: Exchange, body: bytes, more: bool, *, must_wait: bool = False
    ) -> Awaitable[None] | None:
        if exchange.is_bodiless:
            body = b""
        exchange.body_octets_sent += len(body)
        if must_wait or len(body) > MAX_WRITE_SIZE:
            return self._write_large(exchange, exchange.block_body(len(body)), body, more)
        return self._write_part(exchange, body, more)

    def _write_part(self, exchange: Exchange, octets: bytes, more: bool) -> Awaitable[None] | None:
        self.request.write(octets)
        if more:
            self._written_since_yield += len(octets) + 1
            if self._paused:
                return self._drain_waiter()
            if self._written_since_yield < WRITTEN_ALONE:
                return None
            self._written_since_yield = 0
            return YIELD
        exchange.complete()
        self.clear_timeout(Timeout.RESPONSE)
        if self._paused:
            self._ending = True
            return self._drain_waiter()
        self._finish()
        return None

    async def _write_large(
        self, exchange: Exchange, part: BlockedPart, body: bytes, more: bool
    ) -> None:
        """Write a large part piece by piece, as the peer reads; twisted.web would buffer it all."""
        last = max(0, len(body) - 1) // MAX_WRITE_SIZE * MAX_WRITE_SIZE
        with part:
            if self._paused:
                await self._drain_waiter()
            part.check()
            part.begun = True
            for start in range(0, last, MAX_WRITE_SIZE):
                self.request.write(body[start : start + MAX_WRITE_SIZE])
                await (self._drain_waiter() if self._paused else YIELD)
                part.check()
        waiting = self._write_part(exchange, body[last:], more)
        if waiting is not None:
            await waiting

    def send_error(self, exchange: Exchange, error: PeerError) -> None:
        """See Carrier; the connection closes after it."""
        error = exchange.end_with_error(error)
        exchange.keep_alive = False
        self._respond_with_error(error)

    def refuse(self, error: PeerError) -> None:
        """Answer a request that the application never sees."""
        self.context.refused(self.log_label(self.client), error)
        self._respond_with_error(error)

    @property
    def client(self) -> list[Any] | None:
        """See Carrier."""
        return self.addresses.client

    def _respond_with_error(self, error: PeerError) -> None:
        headers = self.request.responseHeaders
        body = error.text.encode("ascii") + b"\n"
        self.request.setResponseCode(error.status)
        headers.setRawHeaders(b"content-type", [b"text/plain; charset=utf-8"])
        headers.setRawHeaders(b"content-length", [b"%d" % len(body)])
        for line in error.lines.splitlines():
            name, _, value = line.partition(b": ")
            headers.addRawHeader(name, value)
        self._close_after()
        self.request.write(body)
        self._finish()

    def abort(self, exchange: Exchange) -> None:
        """See Carrier."""
        exchange.close()
        self._abort()

    def close_without_response(self, exchange: Exchange) -> None:
        """See Carrier; twisted.web does not report that a peer has closed its side only."""
        self.abort(exchange)

    def _abort(self, stream_error: int = INTERNAL_ERROR) -> None:
        if self.is_stream:
            # In the next turn, because twisted.web may be about to open the stream's window
            # (twisted 26.10: H2Stream.receiveDataChunk). It does not report the end of a stream
            # that this side resets, so `_leave` is called here.
            self.context.loop.call_soon(self._reset_stream, stream_error)
            self._leave()
        else:
            self.transport.abortConnection()

    def _reset_stream(self, error: int) -> None:
        if self._gone:
            return
        self._gone = True
        # H2Stream.abortConnection sends NO_ERROR (twisted 26.10), which clients take for the end
        # of a complete body. These lines do the same with another code.
        connection, number = self.channel._conn, self.channel.streamID
        connection.conn.reset_stream(number, error)
        if connection._tryToWriteControlData():
            connection._requestDone(number)

    # The end.

    def _close_after(self) -> None:
        """Close the connection after this response; do nothing over HTTP/2."""
        if not self.is_stream:
            self.channel.persistent = False
            if not self.request.startedWriting:
                self.request.responseHeaders.setRawHeaders(b"connection", [b"close"])

    def _finish(self) -> None:
        self._over()
        self.request.unregisterProducer()
        self.request.finish()

    def _over(self) -> None:
        self._responded = True
        self._ending = False
        self.clear_timeouts()
        self.context.disconnected(self)

    def _finished(self, _: object) -> None:
        """Handle the end of a complete request and response."""
        self._gone = True
        self.clear_timeouts()

    def connection_lost(self, _reason: object) -> None:
        """Handle the loss of the connection or the stream."""
        self._gone = True
        self._leave()

    def _leave(self) -> None:
        self.clear_timeouts()
        if not self._responded:
            self._over()
            self._end_pause()
            self._wake_drain_waiters()
            if self.exchange is not None:
                self.exchange.connection_lost()

    def server_stops(self) -> None:
        """See Connection; the Site owns its connections, and idle ones are not known here."""
        self.close_when_idle()

    def close_when_idle(self, lingers: bool = False) -> None:
        """See Connection; the Site closes its connections."""
        if self.exchange is not None:
            self.exchange.keep_alive = False
        self._close_after()

    def disconnect_application(self) -> None:
        """See Connection."""
        if self.exchange is not None:
            self.exchange.end_input()

    def timed_out(self, timeout: Timeout) -> None:
        log.timer(self, "timed out waiting for %s", timeout.name)
        exchange = self.exchange
        if timeout is Timeout.RESPONSE and exchange is not None:
            exchange.response_timed_out()
        else:
            self._abort()

    def _refuse(self, exchange: Exchange, error: PeerError) -> None:
        """Refuse the rest of what the client sends to an application that runs."""
        self.context.refused(self.log_label(self.client), error)
        exchange.peer_gone()
        exchange.refuse(error)

    # IPushProducer.

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self._ending:
            self._finish()
