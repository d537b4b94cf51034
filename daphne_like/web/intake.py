"""The two ways to read a request body of twisted.web: collected in a file, or while it arrives."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from daphne_like.exceptions import PeerError
from daphne_like.http.exchange import Exchange
from daphne_like.http.lingering import Lingering, close_own_side
from daphne_like.http.request_body import (
    CONTINUE,
    TOO_SLOW,
    check_body_size,
    expect_body,
    has_long_rest,
    keeps_minimum_rate,
    may_discard_rest,
)
from daphne_like.http.response_state import COMPLETE
from daphne_like.runtime.timeouts import Timeout
from daphne_like.web.carrier import NO_ERROR, WebCarrier

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext
    from daphne_like.web.streaming import StreamingRequest

MAX_EVENT_SIZE = 32768
"""Octets read at once from the file of a collected body."""


class CollectedBody(WebCarrier):
    """A request whose body twisted.web has collected in a file; read as the application reads."""

    def _check_body(self) -> None:
        content: Any = self.request.content
        self._content = content
        self._left = content.seek(0, os.SEEK_END)
        content.seek(0)
        check_body_size(self._left, self.context.options)

    def _start(self, exchange: Exchange) -> None:
        if not self._left:
            exchange.request_complete = True
            exchange.start()
            return
        self._read(exchange)
        exchange.start()
        self.body_consumed()

    def body_consumed(self) -> None:
        """See Carrier."""
        exchange = self.exchange
        assert exchange is not None
        while self._left and exchange.queue is not None and not exchange.is_full:
            self._read(exchange)
            exchange.flush_body()

    def _read(self, exchange: Exchange) -> None:
        data: bytes = self._content.read(min(self._left, MAX_EVENT_SIZE))
        self._left -= len(data)
        if not self._left:
            exchange.request_complete = True
        exchange.received += len(data)
        exchange.body_received(data)


class ArrivingBody(WebCarrier):
    """A request whose body is passed on while it arrives, as fast as the application reads.

    Args:
        context: the server's context; it runs the application.
        request: a request whose body is not complete.
    """

    def __init__(self, context: ServerContext, request: StreamingRequest) -> None:
        super().__init__(context, request)
        self._body = request
        self._left = request.body_length
        self._reading = True
        self._lingering: Lingering | None = None  # after the response

    def _check_body(self) -> None:
        assert self.exchange is not None
        check_body_size(self._left, self.context.options)
        self.exchange.expects_continue = self._body.expects_continue

    def _start(self, exchange: Exchange) -> None:
        if self._body.body_is_whole:
            exchange.request_complete = True
        exchange.start()
        if not exchange.request_complete:
            self._wait_for_body()

    # The body.

    def body_received(self, data: bytes) -> None:
        """See BodyConsumer."""
        if self._left is not None:
            self._left -= len(data)
        exchange = self.exchange
        if exchange is None or self._responded:
            self._discard(len(data))
            return
        exchange.expects_continue = False  # the peer did not wait for 100 (Continue)
        exchange.received += len(data)
        try:
            check_body_size(exchange.received, self.context.options)
        except PeerError as error:
            self._refuse(exchange, error)
            return
        if exchange.state is not COMPLETE:
            exchange.body_received(data)
            # When nothing is left, the end follows and makes this the last event. When many events
            # are unread, further octets are collected in one event until the application reads.
            if self._left != 0 and not exchange.has_many_events:
                exchange.flush_body()
            if exchange.is_full:
                self._pause_reading()
            elif exchange.queue is not None and not self.has_timeout(Timeout.REQUEST_BODY):
                self._wait_for_body()

    def body_complete(self) -> None:
        """See BodyConsumer."""
        self.clear_timeout(Timeout.REQUEST_BODY)
        self._resume_reading()
        exchange = self.exchange
        if exchange is not None and not self._responded:
            exchange.request_complete = True
            if exchange.queue is not None:
                exchange.flush_body()

    def body_requested(self, exchange: Exchange) -> None:
        """See Carrier."""
        self.channel.write(CONTINUE)
        self._wait_for_body()

    def body_consumed(self) -> None:
        """See Carrier."""
        if not self._reading:
            assert self.exchange is not None
            self.exchange.flush_body()
            self._resume_reading()
            self._wait_for_body()

    def _pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self.transport.pauseProducing()

    def _resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self.transport.resumeProducing()

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if not self._reading:
            # The caller is the channel, which resumes reading right after this call.
            self.context.loop.call_soon(self._pause_again)

    def _pause_again(self) -> None:
        if not self._reading and not self._responded:
            self.transport.pauseProducing()

    # The rate of the body.

    def _wait_for_body(self) -> None:
        exchange = self.exchange
        if exchange is not None and not self._body.body_is_whole:
            expect_body(self, exchange)

    def _check_body_rate(self) -> None:
        exchange = self.exchange
        assert exchange is not None
        if keeps_minimum_rate(self, exchange, is_held=self._paused or not self._reading):
            self._wait_for_body()
        elif self._responded:
            self._linger()
        else:
            self._refuse(exchange, TOO_SLOW)

    def timed_out(self, timeout: Timeout) -> None:
        if timeout is Timeout.REQUEST_BODY:
            self._check_body_rate()
        elif timeout is Timeout.LINGER:
            self._check_lingering()
        else:
            super().timed_out(timeout)

    # The rest of a body after the response.

    def _may_keep_alive(self) -> bool:
        assert self.exchange is not None
        return super()._may_keep_alive() and may_discard_rest(self.exchange, self._left)

    def _finish(self) -> None:
        super()._finish()
        if self._body.body_is_whole:
            return
        self._resume_reading()
        exchange = self.exchange
        if (
            exchange is not None
            and exchange.keep_alive
            and not exchange.expects_continue
            and not self.is_stream
        ):
            exchange.received_at_end = exchange.received
            self._wait_for_body()
        else:
            self._linger()

    def _discard(self, size: int) -> None:
        if self._lingering is not None:
            if not self._lingering.discard(size):
                self._abort()
        elif self.exchange is not None:
            self.exchange.received += size
            if has_long_rest(self.exchange):
                self._linger()

    def _linger(self) -> None:
        """Close so that a peer that is still sending can read the response (RFC 9112, 9.6).

        Over HTTP/2 twisted.web ends both sides of a stream together. So a response that is complete
        before its request ends with the peer's side, or with RST_STREAM (NO_ERROR).
        """
        if self._lingering is not None:
            return
        self.clear_timeout(Timeout.REQUEST_BODY)
        self._lingering = Lingering(self)
        self._lingering.begin(self)
        if not self.is_stream:
            self.channel.persistent = False
            close_own_side(self.transport)

    def _check_lingering(self) -> None:
        assert self._lingering is not None
        if self._lingering.goes_on(self, is_unread=self._paused):
            return
        if self.is_stream:
            self._abort(NO_ERROR)
        else:
            self.channel.loseConnection()
