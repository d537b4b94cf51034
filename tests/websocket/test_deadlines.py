"""The timeouts of a WebSocket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.log_lines import unlabelled
from tests.support.memory import Memory
from tests.support.websocket_frames import (
    ACCEPTS,
    CONNECT,
    OPENING,
    SWITCHED,
    Socket,
    closes,
    closing,
    disconnected,
    refused,
    sends_text,
    text,
)
from tests.support.websocket_opcodes import CLOSE, CONTINUATION, TEXT
from tests.support.websocket_peer import Frame, close, frame

Serve = Callable[..., Memory]
Log = pytest.LogCaptureFixture

TOO_SLOW = refused(
    b"503 Service Unavailable",
    b"Application failed to respond within time limit.",
    b"Retry-After: 1",
)
DAY = 86400
LATE = 0.6
"""A deadline is enforced half a second late at most."""

# No pings, and no end by itself.
QUIET: dict[str, Any] = {"ping_interval": None, "websocket_timeout": None}


class TestConnect:
    """`--websocket-connect-timeout`: for the application to accept."""

    @pytest.mark.parametrize(
        ("settings", "seconds"),
        [
            ({}, 5),
            ({"websocket_connect_timeout": 9}, 9),
            ({"websocket_handshake_timeout": 3}, 3),
            ({"websocket_connect_timeout": 2, "websocket_handshake_timeout": 3}, 2),
            ({"websocket_connect_timeout": None, "websocket_handshake_timeout": 3}, 3),
        ],
    )
    def test_too_slow(self, serve: Serve, settings: dict[str, Any], seconds: int) -> None:
        """Just before it nothing; just after it 503, and the application is told."""
        socket = Socket(serve, accept=None, **settings)
        assert socket.receives() == CONNECT
        socket.memory.passes(seconds - 0.1)
        assert socket.wire.take() == b""
        socket.memory.passes(LATE + 0.1)
        assert socket.wire.take() == TOO_SLOW
        assert socket.events() == [disconnected(1006)]

    def test_warning(self, serve: Serve, caplog: Log) -> None:
        """It says where the application waits."""
        socket = Socket(serve, accept=None)
        socket.memory.passes(5.6)
        (record,) = caplog.records
        first, *places = record.getMessage().split("\n")
        assert record.levelname == "WARNING"
        assert unlabelled(first).startswith(
            "Application for WebSocket '/chat' took longer than 5 seconds for its response; "
            "Script.__call__ waits at "
        )
        (place,) = places
        assert "tests/support/applications.py" in place

    def test_connect_is_still_first(self, serve: Serve) -> None:
        """W20: an application that has not asked yet gets `websocket.connect` before the end."""
        socket = Socket(serve, accept=None)
        socket.memory.passes(5.6)
        assert socket.events() == [CONNECT, disconnected(1006)]

    def test_is_over_with_the_accept(self, serve: Serve) -> None:
        """It does not bound the WebSocket."""
        socket = Socket(serve, **QUIET)
        socket.memory.passes(60)
        socket.sends(sends_text("a"))
        assert socket.frames() == [Frame(TEXT, b"a")]

    def test_none(self, serve: Serve) -> None:
        """No limit by option."""
        socket = Socket(serve, accept=None, websocket_connect_timeout=None)
        socket.memory.passes(DAY)
        socket.sends(ACCEPTS)
        assert socket.wire.take() == SWITCHED

    def test_starts_with_its_turn(self, serve: Serve) -> None:
        """A handshake behind a slow request has its time from its own turn on."""
        socket = Socket(serve, accept=None)
        script = socket.script
        wire = socket.memory.connect().sends(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + OPENING)
        socket.memory.passes(4)
        run = socket.memory.loop.run_until_complete
        for kind in ("start", "body"):
            run(script.send({"type": f"http.response.{kind}", "status": 200}))
        socket.memory.settle()
        wire.take()
        socket.memory.passes(4)
        run(script.send(ACCEPTS))
        assert wire.take() == SWITCHED


class TestLifetime:
    """`--websocket-timeout`: how long a WebSocket may live."""

    @pytest.mark.parametrize(("settings", "seconds"), [({}, DAY), ({"websocket_timeout": 7}, 7)])
    def test_over(self, serve: Serve, settings: dict[str, Any], seconds: int) -> None:
        """1001 just after it; the application is told."""
        socket = Socket(serve, **{**QUIET, "websocket_timeout": DAY, **settings})
        socket.memory.passes(seconds - 0.1)
        assert socket.frames() == []
        socket.memory.passes(LATE + 0.1)
        reason = "The time limit of the connection is over"
        assert socket.frames() == [closing(1001, reason.encode())]
        assert socket.events() == [disconnected(1001, reason)]

    def test_traffic_is_no_excuse(self, serve: Serve) -> None:
        """It counts from the beginning."""
        socket = Socket(serve, ping_interval=None, websocket_timeout=7)
        for _ in range(7):
            socket.memory.passes(1)
            socket.wire.sends(text("a"))
        socket.memory.passes(LATE)
        assert [each.opcode for each in socket.frames()] == [CLOSE]

    def test_none(self, serve: Serve) -> None:
        """No limit by option."""
        socket = Socket(serve, **QUIET)
        socket.memory.passes(2 * DAY)
        assert socket.frames() == []
        assert not socket.wire.closing


class TestClosingHandshake:
    """RFC 6455, 7.1.1: five seconds for the peer to answer a close frame."""

    def test_no_answer(self, serve: Serve) -> None:
        """Then the connection is cut; the application keeps the code that was sent."""
        socket = Socket(serve)
        socket.sends(closes(4000))
        socket.memory.passes(4.9)
        assert not socket.wire.closing
        socket.memory.passes(LATE + 0.1)
        assert socket.wire.aborted
        assert socket.wire.lost
        assert socket.events() == [disconnected(4000)]

    @pytest.mark.parametrize("wrong", [frame(3), frame(TEXT, b"\xff"), frame(TEXT, masked=False)])
    def test_no_answer_to_a_failure(self, serve: Serve, wrong: bytes) -> None:
        """The same where the peer broke a rule."""
        socket = Socket(serve)
        socket.wire.sends(wrong)
        socket.memory.passes(4.9)
        socket.wire.sends(frame(CONTINUATION, b"a"))
        assert not socket.wire.aborted
        socket.memory.passes(LATE + 0.1)
        assert socket.wire.lost

    def test_peer_half_closes(self, serve: Serve) -> None:
        """The end of the peer's side is the end, with or without its close frame."""
        socket = Socket(serve)
        socket.sends(closes(4000))
        socket.wire.fin()
        assert socket.wire.lost


class TestApplicationStays:
    """`--application-close-timeout`: for an application to end after its peer has gone (C17)."""

    @pytest.mark.parametrize("end", ["loss", "peer", "server"])
    def test_is_cancelled(self, serve: Serve, caplog: Log, end: str) -> None:
        """C17: it has ten seconds for its cleanup; then it is cancelled, and told of."""
        socket = Socket(serve, **QUIET)
        if end == "loss":
            socket.wire.vanishes()
        elif end == "peer":
            socket.wire.sends(close())
        else:
            socket.sends(closes())
        socket.memory.passes(9.9)
        assert socket.script.ended is None
        socket.memory.passes(0.2)
        assert type(socket.script.ended).__name__ == "CancelledError"
        (record,) = caplog.records
        assert unlabelled(record.getMessage()).startswith(
            "Application for WebSocket '/chat' still runs 10 seconds after its peer has gone; "
            "cancelling it; Script.__call__ waits at "
        )
        assert socket.memory.server.instances == {}

    def test_option(self, serve: Serve) -> None:
        """Or what the option says."""
        socket = Socket(serve, application_close_timeout=2, **QUIET)
        socket.wire.vanishes()
        socket.memory.passes(1.9)
        assert socket.script.ended is None
        socket.memory.passes(0.2)
        assert socket.script.ended is not None

    def test_open_ones_stay(self, serve: Serve) -> None:
        """It holds for nobody whose peer is there."""
        socket = Socket(serve, **QUIET)
        socket.memory.passes(DAY)
        assert socket.script.ended is None


class TestSlots:
    """Deadlines that are over leave nothing behind."""

    def test_nothing_is_kept(self, serve: Serve) -> None:
        """A thousand WebSockets that have come and gone are not on the wheel for a day."""
        socket = Socket(serve)
        memory = socket.memory
        for _ in range(20):
            wire = memory.connect().sends(OPENING)
            memory.loop.run_until_complete(socket.script.send(ACCEPTS))
            wire.vanishes()
        memory.passes(30)
        assert memory.server.connections == {socket.wire.protocol.upgraded_to}
