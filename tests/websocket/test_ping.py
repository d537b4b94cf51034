"""Pings, and what counts as an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.memory import Memory
from tests.support.websocket_frames import Socket, binary, closes, closing, disconnected, got, text
from tests.support.websocket_opcodes import BINARY, PING, PONG, TEXT
from tests.support.websocket_peer import Frame, frame

Serve = Callable[..., Memory]

LATE = 0.6
"""A deadline is enforced half a second late at most."""


def pinged(socket: Socket) -> Frame:
    """The ping that has just come."""
    (found,) = socket.frames()
    assert found.opcode == PING
    return found


class TestPing:
    """`--ping-interval` and `--ping-timeout` (W10)."""

    def test_interval(self, serve: Serve) -> None:
        """W10: a ping every so many seconds, as long as each is answered."""
        socket = Socket(serve, ping_interval=8)
        for _ in range(5):
            socket.memory.passes(7.9)
            assert socket.frames() == []
            socket.memory.passes(LATE + 0.1)
            socket.wire.sends(frame(PONG, pinged(socket).payload))
        assert not socket.wire.closing

    def test_pings_differ(self, serve: Serve) -> None:
        """RFC 6455, 5.5.3: an answer tells which ping it answers."""
        socket = Socket(serve)
        payloads = set()
        for _ in range(3):
            socket.memory.passes(20.6)
            payload = pinged(socket).payload
            payloads.add(payload)
            socket.wire.sends(frame(PONG, payload))
        assert len(payloads) == 3

    @pytest.mark.parametrize(("settings", "seconds"), [({}, 30), ({"ping_timeout": 4}, 4)])
    def test_no_answer(self, serve: Serve, settings: dict[str, Any], seconds: int) -> None:
        """A peer that does not answer in time is gone: cut, and 1006 for the application."""
        socket = Socket(serve, **settings)
        socket.memory.passes(20.6)
        pinged(socket)
        socket.memory.passes(seconds - 0.1)
        assert not socket.wire.closing
        socket.memory.passes(LATE + 0.1)
        assert socket.wire.aborted
        assert socket.events() == [disconnected(1006)]
        assert socket.memory.server.connections == set()

    @pytest.mark.parametrize(
        "life",
        [
            text("a"),
            frame(TEXT, b"a", fin=False),
            frame(PING, b"a"),
            frame(PONG, b"another"),
            frame(BINARY, b"x" * 100, length=100000),
            binary(b"x" * 100000),
        ],
        ids=["message", "fragment", "ping", "pong", "part of a frame", "large"],
    )
    def test_any_traffic_is_life(self, serve: Serve, life: bytes) -> None:
        """W10: a peer that sends anything is alive; during a large frame it cannot send a pong."""
        socket = Socket(serve, ping_timeout=10)
        socket.memory.passes(20.6)
        pinged(socket)
        socket.memory.passes(9)
        socket.wire.sends(life)
        socket.memory.passes(9)
        assert not socket.wire.closing

    def test_life_ends_too(self, serve: Serve) -> None:
        """And then it is asked again."""
        socket = Socket(serve, ping_timeout=10)
        socket.memory.passes(20.6)
        pinged(socket)
        socket.wire.sends(text("a"))
        socket.memory.passes(20.6)
        pinged(socket)
        socket.memory.passes(10.6)
        assert socket.wire.aborted

    def test_busy_peer(self, serve: Serve) -> None:
        """A peer that sends all the time is never cut, though it answers no ping."""
        socket = Socket(serve, ping_timeout=10)
        for _ in range(100):
            socket.memory.passes(5)
            socket.wire.sends(text("a"))
        assert not socket.wire.closing

    def test_slow_large_frame(self, serve: Serve) -> None:
        """A frame that takes longer than the limit to come is progress, not silence."""
        socket = Socket(serve, ping_interval=5, ping_timeout=5)
        whole = binary(b"x" * 100000)
        for at in range(0, len(whole), 4000):
            socket.wire.sends(whole[at : at + 4000])
            socket.memory.passes(2)
        assert not socket.wire.closing
        assert socket.receives() == got(b"x" * 100000)

    def test_while_nobody_reads(self, serve: Serve) -> None:
        """No deadline while we do not read: the answer may lie there."""
        socket = Socket(serve)
        while not socket.wire.paused:
            socket.wire.sends(binary(bytes(10000)))
        for _ in range(20):
            socket.memory.passes(31)
        assert not socket.wire.closing
        while socket.wire.paused:
            socket.receives()
        socket.wire.sends(frame(PONG, b"late"))
        socket.wire.take()
        socket.memory.passes(20.6)
        socket.memory.passes(30.6)
        assert socket.wire.aborted

    def test_no_interval(self, serve: Serve) -> None:
        """No pings by option."""
        socket = Socket(serve, ping_interval=None)
        socket.memory.passes(3600)
        assert socket.frames() == []
        assert not socket.wire.closing

    def test_no_timeout(self, serve: Serve) -> None:
        """No answer is waited for by option, and the pings go on: they keep a NAT's table warm."""
        socket = Socket(serve, ping_timeout=None)
        for _ in range(5):
            socket.memory.passes(20.6)
            assert pinged(socket)
        assert not socket.wire.closing

    def test_not_after_the_close(self, serve: Serve) -> None:
        """RFC 6455, 5.5.1: no ping behind a close frame."""
        socket = Socket(serve, ping_interval=2)
        socket.sends(closes())
        socket.memory.passes(3)
        assert socket.frames() == [closing(1000)]
