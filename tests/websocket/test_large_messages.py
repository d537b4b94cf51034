"""Large messages go out in fragments, at the pace of the peer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from daphne_like.exceptions import ConnectionClosed
from daphne_like.websocket.output import MAX_FRAGMENT_SIZE
from tests.support.memory import Memory
from tests.support.websocket_frames import (
    Socket,
    closes,
    closing,
    disconnected,
    sends_bytes,
    sends_text,
)
from tests.support.websocket_opcodes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tests.support.websocket_peer import close, frame

Serve = Callable[..., Memory]


def full_after_each_write(socket: Socket) -> None:
    """From now on the transport has enough with each write."""
    wire = socket.wire
    write = wire.write

    def once(data: bytes) -> None:
        write(data)
        wire.producer.pauseProducing()

    wire.write = once  # type: ignore[method-assign]


def fills_up(socket: Socket) -> None:
    """Let the next write fill the transport."""
    wire = socket.wire

    def write(data: bytes) -> None:
        del wire.write  # type: ignore[method-assign] # the class has its own
        wire.write(data)
        wire.stops_reading()

    wire.write = write  # type: ignore[method-assign]


class TestLargeMessages:
    """A large message goes out in fragments, as the peer reads them (RFC 6455, 5.4)."""

    @pytest.mark.parametrize(
        ("size", "parts"),
        [
            (MAX_FRAGMENT_SIZE, [MAX_FRAGMENT_SIZE]),
            (MAX_FRAGMENT_SIZE + 1, [MAX_FRAGMENT_SIZE, 1]),
            (2 * MAX_FRAGMENT_SIZE, [MAX_FRAGMENT_SIZE, MAX_FRAGMENT_SIZE]),
            (2 * MAX_FRAGMENT_SIZE + 5, [MAX_FRAGMENT_SIZE, MAX_FRAGMENT_SIZE, 5]),
        ],
    )
    def test_fragments(self, serve: Serve, size: int, parts: list[int]) -> None:
        """5.4: both sides of MAX_FRAGMENT_SIZE; only the last is final."""
        assert MAX_FRAGMENT_SIZE == 131072
        socket = Socket(serve)
        octets = b"%0*d" % (size, 1)
        socket.sends(sends_bytes(octets))
        found = socket.frames()
        assert [len(each.payload) for each in found] == parts
        assert b"".join(each.payload for each in found) == octets
        assert [each.opcode for each in found] == [BINARY, *[CONTINUATION] * (len(parts) - 1)]
        assert [each.fin for each in found] == [*[False] * (len(parts) - 1), True]

    def test_at_the_peers_pace(self, serve: Serve) -> None:
        """C09: the next fragment is written when the one before is read: no buffer of all of it."""
        socket = Socket(serve)
        full_after_each_write(socket)
        task = socket.starts(sends_bytes(bytes(3 * MAX_FRAGMENT_SIZE)))
        for part in range(3):
            assert not task.done()
            (found,) = socket.frames()
            assert (len(found.payload), found.fin) == (MAX_FRAGMENT_SIZE, part == 2)
            socket.wire.reads_on()
        assert task.result() is None

    def test_pong_between(self, serve: Serve) -> None:
        """5.4: control frames go out between the fragments."""
        socket = Socket(serve)
        fills_up(socket)
        socket.starts(sends_bytes(bytes(2 * MAX_FRAGMENT_SIZE)))
        socket.wire.protocol.dataReceived(frame(PING, b"p"))
        socket.wire.reads_on()
        assert [each.opcode for each in socket.frames()] == [BINARY, PONG, CONTINUATION]

    def test_messages_never_interleave(self, serve: Serve) -> None:
        """5.4: fragments of one message are not mixed with another's, whichever task sends it."""
        socket = Socket(serve)
        fills_up(socket)
        tasks = [
            socket.starts(sends_bytes(b"a" * (MAX_FRAGMENT_SIZE + 1))),
            socket.starts(sends_text("b")),
            socket.starts(sends_bytes(b"c" * (MAX_FRAGMENT_SIZE + 1))),
            socket.starts(sends_text("d")),
        ]
        socket.wire.reads_on()
        socket.memory.settle()
        assert [task.result() for task in tasks] == [None] * 4
        assert [(each.opcode, each.payload[:1], each.fin) for each in socket.frames()] == [
            (BINARY, b"a", False),
            (CONTINUATION, b"a", True),
            (TEXT, b"b", True),
            (BINARY, b"c", False),
            (CONTINUATION, b"c", True),
            (TEXT, b"d", True),
        ]

    def test_cancelled(self, serve: Serve) -> None:
        """An incomplete message closes the WebSocket with 1011."""
        socket = Socket(serve, application_close_timeout=0)
        fills_up(socket)
        task = socket.starts(sends_bytes(bytes(2 * MAX_FRAGMENT_SIZE)))
        waiting = socket.starts(sends_text("b"))
        task.cancel()
        socket.memory.settle()
        assert task.cancelled()
        first, second = socket.frames()
        assert (first.opcode, first.fin) == (BINARY, False)
        assert second == closing(1011)
        socket.wire.reads_on()
        assert type(waiting.exception()) is ConnectionClosed

    def test_cancelled_is_told(self, serve: Serve) -> None:
        """W30: the application has its last event at once, as after every close by the server."""
        socket = Socket(serve)
        fills_up(socket)
        socket.starts(sends_bytes(bytes(2 * MAX_FRAGMENT_SIZE))).cancel()
        socket.memory.settle()
        assert socket.events() == [disconnected(1011)]

    def test_cancelled_while_another_waits_its_turn(self, serve: Serve) -> None:
        """One that was cancelled before its first octet was out harms nobody."""
        socket = Socket(serve)
        fills_up(socket)
        first = socket.starts(sends_bytes(bytes(MAX_FRAGMENT_SIZE + 1)))
        second = socket.starts(sends_text("b"))
        third = socket.starts(sends_text("c"))
        second.cancel()
        socket.memory.settle()
        socket.wire.reads_on()
        socket.memory.settle()
        assert (first.result(), third.result()) == (None, None)
        assert [each.payload[:1] for each in socket.frames()] == [b"\0", b"\0", b"c"]

    @pytest.mark.parametrize("end", ["close", "loss", "peer"])
    def test_ended_in_the_middle(self, serve: Serve, end: str) -> None:
        """W40: the `send` raises, and so do those behind it; nothing follows the close frame."""
        socket = Socket(serve, application_close_timeout=0)
        fills_up(socket)
        tasks = [socket.starts(sends_bytes(bytes(2 * MAX_FRAGMENT_SIZE))) for _ in range(2)]
        if end == "close":
            socket.sends(closes(4000))
        elif end == "peer":
            socket.wire.protocol.dataReceived(close(4000))
        else:
            socket.wire.vanishes()
        found = socket.frames()
        if not socket.wire.lost and socket.wire.producer is not None:
            socket.wire.reads_on()
        socket.memory.passes(61)
        assert [type(task.exception()) for task in tasks] == [ConnectionClosed] * 2
        assert [each.opcode for each in found] == [BINARY, *[CLOSE] * (end != "loss")]
        assert socket.frames() == []
