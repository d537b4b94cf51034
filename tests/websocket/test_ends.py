"""The end of a WebSocket with its application, or with the server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.exceptions import ConnectionClosed
from daphne_like.runtime.drain_plan import IDLE_GRACE_SECONDS
from tests.support.applications import ERROR_500, GET, Script, head, sending
from tests.support.log_lines import unlabelled
from tests.support.memory import Memory
from tests.support.peers import respond
from tests.support.websocket_frames import (
    ACCEPTS,
    CONNECT,
    OPENING,
    SWITCHED,
    Socket,
    closes,
    closing,
    disconnected,
    opening,
    refused,
    sends_text,
    text,
)
from tests.support.websocket_peer import close, read_frames

Serve = Callable[..., Memory]
Log = pytest.LogCaptureFixture

STOPPING = refused(
    b"503 Service Unavailable", b"The server is stopping; try again.", b"Retry-After: 1"
)


class TestApplicationEnds:
    """ASGI WebSocket: "the connection's scope lives as long as the socket" (W09, C12)."""

    def test_returns(self, serve: Serve, caplog: Log) -> None:
        """W09: the WebSocket is closed with 1000, and nothing is logged."""
        socket = Socket(serve)
        socket.script.returns()
        socket.memory.settle()
        assert socket.frames() == [closing(1000)]
        assert caplog.records == []

    def test_raises(self, serve: Serve, caplog: Log) -> None:
        """C12, W42: 1011; one record with the traceback; the peer does not see what was raised."""
        socket = Socket(serve)
        socket.script.raises(ValueError("secret"))
        socket.memory.settle()
        assert socket.frames() == [closing(1011, b"Internal error")]
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert unlabelled(record.getMessage()) == (
            "Application for WebSocket '/chat' raised ValueError while its WebSocket was open"
        )
        assert record.exc_info is not None
        assert str(record.exc_info[1]) == "secret"

    def test_log_line(self, serve: Serve, caplog: Log) -> None:
        """S06: a path that would talk to a terminal is escaped in the log."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            raise ValueError

        serve(application).connect().sends(opening(line=b"GET /%1b%5B31m%0a%C2%9b HTTP/1.1"))
        (record,) = caplog.records
        assert unlabelled(record.getMessage()).startswith(
            r"Application for WebSocket '/\x1b[31m\n\x9b' raised ValueError before"
        )

    @pytest.mark.parametrize("end", ["returns", "raises"])
    def test_before_the_answer(self, serve: Serve, caplog: Log, end: str) -> None:
        """C12: 500 instead of the handshake's response, and one record."""
        socket = Socket(serve, accept=None)
        if end == "raises":
            socket.script.raises(ValueError("secret"))
        else:
            socket.script.returns()
        socket.memory.settle()
        assert socket.wire.take() == ERROR_500
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert socket.wire.half_closed

    def test_is_cancelled(self, serve: Serve, caplog: Log) -> None:
        """C12: whoever cancels it, its WebSocket ends with 1011, and it is told of."""
        socket = Socket(serve)
        (task,) = socket.memory.server.instances.values()
        task.cancel()
        socket.memory.settle()
        assert socket.frames() == [closing(1011)]
        assert [unlabelled(record.getMessage()) for record in caplog.records] == [
            "Application for WebSocket '/chat' was cancelled before it was closed"
        ]

    def test_is_cancelled_before_the_answer(self, serve: Serve, caplog: Log) -> None:
        """C12: 500."""
        socket = Socket(serve, accept=None)
        (task,) = socket.memory.server.instances.values()
        task.cancel()
        socket.memory.settle()
        assert socket.wire.take() == ERROR_500
        assert [record.levelno for record in caplog.records] == [logging.ERROR]

    def test_lets_our_error_through(self, serve: Serve, caplog: Log) -> None:
        """W41: `send` on a closed WebSocket raises; where that comes out nothing is logged."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(ACCEPTS)
            while (await receive())["type"] != "websocket.disconnect":
                pass
            await send(sends_text("a"))

        memory = serve(application)
        wire = memory.connect().sends(OPENING, close())
        assert read_frames(wire.take()[len(SWITCHED) :]) == [closing(1000)]
        assert caplog.records == []
        assert memory.server.instances == {}

    def test_raises_after_the_close(self, serve: Serve, caplog: Log) -> None:
        """C12: an error of its own is told of, though nobody is there to be told a code."""
        socket = Socket(serve)
        socket.wire.sends(close())
        socket.wire.take()
        socket.script.raises(ValueError("secret"))
        socket.memory.settle()
        assert socket.wire.take() == b""
        assert [record.levelno for record in caplog.records] == [logging.ERROR]

    def test_sends_and_returns(self, serve: Serve) -> None:
        """W09: what was sent before the end is out before the close frame."""
        wire = serve(sending(ACCEPTS, sends_text("a"))).connect().sends(OPENING)
        assert wire.take() == SWITCHED + b"\x81\x01a" + b"\x88\x02\x03\xe8"

    def test_nothing_is_left(self, serve: Serve) -> None:
        """W09: neither connection nor application outlives the other."""
        socket = Socket(serve)
        server = socket.memory.server
        socket.script.returns()
        socket.memory.settle()
        socket.wire.sends(close())
        socket.memory.passes(60)
        assert (server.connections, server.instances, server.applications._disconnected) == (
            set(),
            {},
            {},
        )


class TestServerStops:
    """RFC 6455, 7.4.1; W42."""

    @pytest.mark.parametrize(
        ("settings", "code"), [({}, 1012), ({"websocket_stop_code": 1001}, 1001)]
    )
    def test_open(self, serve: Serve, settings: Any, code: int) -> None:
        """W42: 1012, "come back", or 1001, "going away", by option; the application is told."""
        socket = Socket(serve, **settings)
        self.stops(socket.memory)
        assert socket.frames() == [closing(code, b"The server is stopping")]
        assert socket.events() == [disconnected(code, "The server is stopping")]
        socket.wire.sends(close(code))
        assert socket.wire.lost

    def test_handshake_in_flight(self, serve: Serve) -> None:
        """503: the client should try the server that follows; the application is told."""
        socket = Socket(serve, accept=None)
        assert socket.receives() == CONNECT
        self.stops(socket.memory)
        assert socket.wire.take() == STOPPING
        assert socket.events() == [disconnected(1006)]
        with pytest.raises(ConnectionClosed):
            socket.sends(ACCEPTS)

    def test_connect_is_still_first(self, serve: Serve) -> None:
        """W20: an application that has not asked yet gets `websocket.connect` before the end."""
        socket = Socket(serve, accept=None)
        self.stops(socket.memory)
        assert socket.events() == [CONNECT, disconnected(1006)]

    def test_handshake_behind_a_request(self, serve: Serve) -> None:
        """503, too, for one whose turn comes when the request before it is finished."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().gets(GET + OPENING)
        self.stops(memory)
        memory.loop.run_until_complete(respond(script.send))
        memory.settle()
        assert wire.take() == head(b"200 OK", b"Content-Length: 0") + STOPPING
        assert script.scope["type"] == "http"

    def test_closing_already(self, serve: Serve) -> None:
        """A closing handshake that has begun goes on."""
        socket = Socket(serve)
        socket.sends(closes(4000))
        self.stops(socket.memory)
        assert socket.frames() == [closing(4000)]
        socket.wire.sends(close(4000))
        assert socket.wire.lost

    def test_half_a_frame(self, serve: Serve) -> None:
        """A partial frame does not prevent it."""
        socket = Socket(serve)
        whole = text("x" * 1000)
        socket.wire.sends(whole[:500])
        self.stops(socket.memory)
        socket.wire.sends(whole[500:] + close(1012))
        assert socket.frames() == [closing(1012, b"The server is stopping")]
        assert socket.wire.lost

    @staticmethod
    def stops(memory: Memory) -> None:
        memory.stops()
        memory.passes(IDLE_GRACE_SECONDS)
