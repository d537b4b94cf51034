"""A refusal with a response of the application's own (extension websocket.http.response)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.exceptions import ApplicationError, ConnectionClosed
from daphne_like.runtime.drain_plan import IDLE_GRACE_SECONDS
from tests.support.applications import ERROR_500, GET, head
from tests.support.memory import Memory
from tests.support.websocket_frames import (
    ACCEPTS,
    CONNECT,
    Socket,
    closes,
    disconnected,
    sends_text,
)

Serve = Callable[..., Memory]

START = "websocket.http.response.start"
BODY = "websocket.http.response.body"


def start(status: Any = 401, headers: Any = (), **more: Any) -> dict[str, Any]:
    """websocket.http.response.start."""
    return {"type": START, "status": status, "headers": headers, **more}


def body(octets: Any = b"", more: Any = False) -> dict[str, Any]:
    """websocket.http.response.body."""
    return {"type": BODY, "body": octets, "more_body": more}


class TestResponse:
    """ASGI extensions, "Websocket Denial Response"."""

    def test_whole(self, serve: Serve) -> None:
        """X02: an HTTP response with the application's status, fields and body; then the end."""
        socket = Socket(serve, accept=None)
        assert socket.receives() == CONNECT
        socket.sends(start(headers=[(b"X-Why", b"1"), (b"x-why", b"2")]), body(b"Log in"))
        assert socket.wire.take() == head(
            b"401 Unauthorized", b"X-Why: 1", b"x-why: 2", b"Content-Length: 6",
            b"Connection: close",
        ) + b"Log in"  # fmt: skip
        assert socket.wire.half_closed
        assert socket.events() == [disconnected(1006)]

    def test_streamed(self, serve: Serve) -> None:
        """X02: with more_body it is chunked."""
        socket = Socket(serve, accept=None)
        socket.sends(start(404), body(b"ab", True), body(b"", True), body(b"c", True), body())
        assert socket.wire.take() == head(
            b"404 Not Found", b"Transfer-Encoding: chunked", b"Connection: close"
        ) + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"  # fmt: skip

    def test_declared_length(self, serve: Serve) -> None:
        """X02, H33: a length that the application says is held."""
        socket = Socket(serve, accept=None)
        socket.sends(start(headers=[(b"Content-Length", b"3")]), body(b"ab", True), body(b"c"))
        assert socket.wire.take() == head(
            b"401 Unauthorized", b"Content-Length: 3", b"Connection: close"
        ) + b"abc"  # fmt: skip

    @pytest.mark.parametrize("octets", [b"abcd", b"ab"])
    def test_other_length(self, serve: Serve, octets: bytes) -> None:
        """H33: a wrong length is an error of this event, and nothing is sent."""
        socket = Socket(serve, accept=None)
        socket.sends(start(headers=[(b"Content-Length", b"3")]))
        with pytest.raises(ApplicationError, match=f"^{BODY}: expected 3 octets"):
            socket.sends(body(octets))
        assert socket.wire.take() == b""

    def test_no_body(self, serve: Serve) -> None:
        """X02: `body` and `headers` may be missing, as with http.response."""
        socket = Socket(serve, accept=None)
        socket.sends({"type": START, "status": 403}, {"type": BODY})
        assert socket.wire.take() == head(
            b"403 Forbidden", b"Content-Length: 0", b"Connection: close"
        )

    @pytest.mark.parametrize("status", [204, 304])
    def test_bodiless(self, serve: Serve, status: int) -> None:
        """H32: such a status has no body."""
        socket = Socket(serve, accept=None)
        socket.sends(start(status), body(b"x"))
        octets = socket.wire.take()
        assert octets.startswith(b"HTTP/1.1 %d " % status)
        assert octets.endswith(b"\r\n\r\n")

    @pytest.mark.parametrize("status", [None, "401", 101, 199, 1000])
    def test_bad_status(self, serve: Serve, status: Any) -> None:
        """C10: as for http.response, and the message names this event."""
        socket = Socket(serve, accept=None)
        with pytest.raises(ApplicationError) as caught:
            socket.sends(start(status))
        assert str(caught.value) == (
            f"{START}: expected an int from 200 to 999 as status, got {status!r}"
        )

    @pytest.mark.parametrize("pair", [(b"a", b"1\r\nb: 2"), ("a", b"1"), (b"a\n", b"1")])
    def test_bad_header(self, serve: Serve, pair: Any) -> None:
        """S05: no octet of it reaches the wire."""
        socket = Socket(serve, accept=None)
        with pytest.raises(ApplicationError, match=f"^{START}: "):
            socket.sends(start(headers=[pair]))
        assert socket.wire.take() == b""

    def test_after_a_failed_accept(self, serve: Serve) -> None:
        """The fields of a refused accept are not in the denial response."""
        socket = Socket(serve, accept=None)
        headers = [(b"Server", b"s"), (b"Upgrade", b"x")]
        with pytest.raises(ApplicationError):
            socket.sends({**ACCEPTS, "headers": headers})
        socket.sends(start(), body())
        assert socket.wire.take() == head(
            b"401 Unauthorized", b"Content-Length: 0", b"Connection: close"
        )


class TestOrder:
    """ASGI extensions: "no other websocket messages may follow" (X03)."""

    @pytest.mark.parametrize("message", [ACCEPTS, closes(), sends_text("a"), {"type": "x"}])
    def test_others_after_start(self, serve: Serve, message: Any) -> None:
        """X03: an error, and the denial goes on."""
        socket = Socket(serve, accept=None)
        socket.sends(start())
        with pytest.raises(ApplicationError) as caught:
            socket.sends(message)
        assert str(caught.value) == f"send: expected {BODY}, got {message['type']!r}"
        socket.sends(body(b"x"))
        assert socket.wire.take().endswith(b"\r\n\r\nx")

    @pytest.mark.parametrize("message", [ACCEPTS, closes(), sends_text("a")])
    def test_others_after_the_end(self, serve: Serve, message: Any) -> None:
        """W40: the WebSocket is closed."""
        socket = Socket(serve, accept=None)
        socket.sends(start(), body(b"x"))
        octets = socket.wire.take()
        with pytest.raises(ConnectionClosed):
            socket.sends(message)
        assert octets.endswith(b"\r\n\r\nx")
        assert socket.wire.take() == b""

    def test_more_after_the_end(self, serve: Serve) -> None:
        """H26: what follows a whole response is let be."""
        socket = Socket(serve, accept=None)
        socket.sends(start(), body(b"x"))
        socket.wire.take()
        socket.sends(body(b"y"), start())
        assert socket.wire.take() == b""

    def test_body_first(self, serve: Serve) -> None:
        """C10: not before start."""
        socket = Socket(serve, accept=None)
        with pytest.raises(ApplicationError) as caught:
            socket.sends(body(b"x"))
        assert str(caught.value) == f"{BODY}: expected {START} first"

    def test_second_start(self, serve: Serve) -> None:
        """C10: nor twice."""
        socket = Socket(serve, accept=None)
        socket.sends(start())
        with pytest.raises(ApplicationError) as caught:
            socket.sends(start())
        assert str(caught.value) == f"{START}: expected once, got a second one"

    @pytest.mark.parametrize("event", ["trailers", "pathsend", "early_hint"])
    def test_unknown(self, serve: Serve, event: str) -> None:
        """C10: an event of that name that there is not; the extensions are those of requests."""
        socket = Socket(serve, accept=None)
        socket.sends({**start(), "trailers": True})
        with pytest.raises(ApplicationError) as caught:
            socket.sends({"type": f"websocket.http.response.{event}"})
        assert str(caught.value) == (
            f"send: expected {START} or {BODY}, got 'websocket.http.response.{event}'"
        )
        socket.sends(body(b"x"))
        assert socket.wire.take().endswith(b"\r\n\r\nx")


class TestConnection:
    """RFC 9112, 9.6: a connection that was to be a WebSocket's is used for nothing else."""

    def test_request_behind_it(self, serve: Serve) -> None:
        """Octets after the handshake are for another protocol, and not a request."""
        socket = Socket(serve, accept=None)
        socket.wire.gets(GET)
        socket.sends(start(), body(b"x"))
        assert socket.wire.take() == head(
            b"401 Unauthorized", b"Content-Length: 1", b"Connection: close"
        ) + b"x"  # fmt: skip
        assert socket.wire.half_closed

    def test_time_limit(self, serve: Serve) -> None:
        """`--websocket-connect-timeout` holds for a denial, too; its beginning is cut off."""
        socket = Socket(serve, accept=None)
        socket.sends(start(), body(b"x", True))
        socket.memory.passes(4.9)
        assert not socket.wire.aborted
        socket.memory.passes(0.7)
        assert socket.wire.aborted


class TestFailing:
    """C12: the application ends in the middle of its denial."""

    @pytest.mark.parametrize("end", ["returns", "raises"])
    def test_before_the_head_is_out(
        self, serve: Serve, caplog: pytest.LogCaptureFixture, end: str
    ) -> None:
        """C12: 500 and one record."""
        socket = Socket(serve, accept=None)
        socket.sends(start())
        if end == "raises":
            socket.script.raises(ValueError())
        else:
            socket.script.returns()
        socket.memory.settle()
        assert socket.wire.take() == ERROR_500
        assert [record.levelno for record in caplog.records] == [logging.ERROR]

    def test_after_the_head(self, serve: Serve) -> None:
        """C12, H33: the connection is cut, so that the peer sees that it is not whole."""
        socket = Socket(serve, accept=None)
        socket.sends(start(), body(b"x", True))
        socket.script.raises(ValueError())
        socket.memory.settle()
        assert socket.wire.aborted

    def test_peer_goes(self, serve: Serve) -> None:
        """H30: sending raises."""
        socket = Socket(serve, accept=None, application_close_timeout=0)
        socket.sends(start(), body(b"x", True))
        socket.wire.vanishes()
        with pytest.raises(ConnectionClosed):
            socket.sends(body(b"y"))

    def test_peer_does_not_read(self, serve: Serve) -> None:
        """C09: `send` waits here as it does for a response."""
        socket = Socket(serve, accept=None)
        socket.sends(start())
        socket.wire.stops_reading()
        task = socket.starts(body(b"x", True))
        assert not task.done()
        socket.wire.reads_on()
        assert task.result() is None

    def test_server_stops(self, serve: Serve) -> None:
        """A denial in flight is finished, as any response is."""
        socket = Socket(serve, accept=None)
        socket.sends(start())
        socket.memory.stops()
        socket.memory.passes(IDLE_GRACE_SECONDS)
        socket.sends(body(b"x"))
        assert socket.wire.take().endswith(b"Connection: close\r\n\r\nx")
