"""An endless input fills no memory and does not delay others."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.asgi.queue import EVENT_OVERHEAD, HIGH_WATER
from daphne_like.websocket.protocol import (
    MAX_FRAMES_AFTER_LOSS,
    MAX_FRAMES_PER_TURN,
    MAX_SKIPPED,
    MAX_UNREAD_AFTER_LOSS,
    SKIPPED_FRAME_COST,
)
from tests.support.applications import Script
from tests.support.memory import Memory
from tests.support.websocket_compression import DEFLATE
from tests.support.websocket_frames import (
    OPENING,
    Socket,
    binary,
    closes,
    closing,
    disconnected,
    got,
    text,
)
from tests.support.websocket_messages import MEBI, deflated, fragments
from tests.support.websocket_opcodes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tests.support.websocket_peer import Frame, close, frame

Serve = Callable[..., Memory]


def growth(feed: Callable[[], Any]) -> int:
    """Octets of memory that a call needs at most beyond what there was before it."""
    tracemalloc.start()
    try:
        feed()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class TestFloods:
    """S01, S13: what a peer sends without end does not fill our memory, nor take all our time."""

    def test_empty_fragments(self, serve: Serve) -> None:
        """S01: fragments of no octets are under every limit; they leave nothing behind."""
        socket = Socket(serve)
        socket.wire.sends(frame(TEXT, b"a", fin=False))
        many = frame(CONTINUATION, b"", fin=False) * 1000

        def flood() -> None:
            for _ in range(10):
                socket.wire.sends(many)

        assert growth(flood) < MEBI // 8
        socket.wire.sends(frame(CONTINUATION, b"b"))
        assert socket.receives() == got("ab")

    def test_empty_messages(self, serve: Serve) -> None:
        """S01: messages of no octets count, too: the peer is read no further."""
        socket = Socket(serve)
        socket.wire.gets(text("") * 255)
        assert not socket.wire.paused
        socket.wire.gets(text(""))
        assert socket.wire.paused

    @pytest.mark.parametrize("size", [0, 1, 20, 1000])
    def test_unread_messages(self, serve: Serve, size: int) -> None:
        """S01: messages that nobody reads take the memory of the high-water mark, however small."""
        socket = Socket(serve)
        data = text("x" * size) * 3
        receive = socket.wire.protocol.dataReceived

        def flood() -> None:
            while not socket.wire.paused:
                receive(data)

        assert growth(flood) < 1.25 * HIGH_WATER

    @pytest.mark.parametrize("size", [1, 2, 10])
    def test_unfinished_message(self, serve: Serve, size: int) -> None:
        """S01: a message that is never whole takes about what came of it, however it is cut."""
        socket = Socket(serve)
        socket.wire.sends(frame(BINARY, b"", fin=False))
        data = frame(CONTINUATION, bytes(size), fin=False) * 500

        def flood() -> None:
            for _ in range(20):
                socket.wire.sends(data)

        # The message, and a read of 500 frames with the rest of it.
        assert growth(flood) < 1.5 * 10000 * size + 3 * len(data)
        socket.wire.sends(frame(CONTINUATION, b"end"))
        assert socket.receives() == got(bytes(10000 * size) + b"end")

    def test_pings_that_nobody_reads(self, serve: Serve) -> None:
        """S13: a peer that does not read its pongs is owed one, the last."""
        socket = Socket(serve)
        socket.wire.stops_reading()
        for number in range(1000):
            socket.wire.protocol.dataReceived(frame(PING, b"%d" % number))
        socket.memory.settle()
        assert socket.wire.take() == b""
        socket.wire.reads_on()
        assert socket.frames() == [Frame(PONG, b"999")]
        socket.wire.sends(frame(PING, b"x"))
        assert socket.frames() == [Frame(PONG, b"x")]

    def test_owed_pong_after_the_close(self, serve: Serve) -> None:
        """RFC 6455, 5.5.1: behind our close frame it is owed no more."""
        socket = Socket(serve)
        socket.wire.stops_reading()
        socket.wire.protocol.dataReceived(frame(PING, b"x"))
        socket.sends(closes())
        socket.wire.reads_on()
        assert socket.frames() == [closing(1000)]

    @pytest.mark.parametrize("opcode", [PING, CLOSE])
    def test_endless_control_frame(self, serve: Serve, opcode: int) -> None:
        """S01: a control frame that declares a large size is refused, and not stored."""
        socket = Socket(serve)
        socket.wire.sends(frame(opcode, b"", length=2**40))
        (found,) = socket.frames()
        assert found.payload[:2] == struct.pack(">H", 1002)
        receive = socket.wire.protocol.dataReceived
        data = bytes(65536)
        assert growth(lambda: [receive(data) for _ in range(256)]) < MEBI

    @pytest.mark.parametrize("opcode", [TEXT, BINARY, 3])
    def test_endless_frame(self, serve: Serve, opcode: int) -> None:
        """S01: nor of a data frame that has been refused."""
        socket = Socket(serve)
        socket.wire.sends(frame(opcode, b"", length=2**40))
        assert len(socket.frames()) == 1

        def flood() -> None:
            for _ in range(256):
                if not socket.wire.lost:
                    socket.wire.sends(bytes(65536))

        assert growth(flood) < MEBI

    @pytest.mark.parametrize("first", [b"", frame(BINARY, b"", length=2**40)], ids=["", "begun"])
    @pytest.mark.parametrize("data", [bytes(65536), binary(bytes(65536))], ids=["zeros", "frames"])
    def test_after_the_end(self, serve: Serve, data: bytes, first: bytes) -> None:
        """S01: what a transport delivers though it has been told to close is kept by nobody."""
        socket = Socket(serve)
        receive = socket.wire.protocol.dataReceived
        receive(close())
        receive(first)
        assert growth(lambda: [receive(data) for _ in range(64)]) < MEBI

    def test_messages_after_our_close(self, serve: Serve) -> None:
        """S01: what comes behind our close frame is not kept for anybody."""
        socket = Socket(serve)
        socket.sends(closes())
        receive = socket.wire.protocol.dataReceived
        data = binary(bytes(65536))
        assert growth(lambda: [receive(data) for _ in range(256)]) < MEBI

    def test_half_a_frame(self, serve: Serve) -> None:
        """S01: a frame whose end does not come holds what came of it, not what it says."""
        socket = Socket(serve)
        assert growth(lambda: socket.wire.sends(frame(BINARY, b"x", length=MEBI))) < MEBI // 4

    def test_before_the_accept(self, serve: Serve) -> None:
        """S01: while the application thinks about it, little is kept."""
        memory = serve(Script())
        wire = memory.connect().sends(OPENING)
        while not wire.paused:
            wire.sends(binary(bytes(1000)))
        assert len(wire.protocol._unparsed) < 70000


class TestTime:
    """One peer does not take everybody's time."""

    def test_turns(self, serve: Serve) -> None:
        """Many small frames in one read are handled in several turns of the event loop."""
        assert MAX_FRAMES_PER_TURN == 256
        socket = Socket(serve)
        socket.wire.protocol.dataReceived(frame(PING, b"x") * 1000)
        assert len(socket.frames()) == 256
        assert socket.wire.paused
        socket.memory.settle()
        assert len(socket.frames()) == 744
        assert not socket.wire.paused

    def test_turns_keep_the_order(self, serve: Serve) -> None:
        """Input that arrives while the rest of a read waits is processed after it."""
        socket = Socket(serve)
        pings = [frame(PING, b"%d" % number) for number in range(600)]
        socket.wire.protocol.dataReceived(b"".join(pings[:500]))
        socket.wire.protocol.dataReceived(b"".join(pings[500:]) + text("a"))
        socket.memory.settle()
        assert socket.frames() == [Frame(PONG, b"%d" % number) for number in range(600)]
        assert socket.receives() == got("a")

    def test_lost_between_turns(self, serve: Serve) -> None:
        """A connection that is lost meanwhile has its messages, and then its end."""
        socket = Socket(serve)
        data = frame(PING, b"x") * 300 + text("a") + close(4000)
        socket.wire.protocol.dataReceived(data)
        socket.wire.vanishes()
        assert socket.events() == [got("a"), disconnected(4000)]

    def test_turns_in_several_reads(self, serve: Serve) -> None:
        """The bound of a turn is not one of a read: many reads may come in one turn."""
        socket = Socket(serve)
        for _ in range(100):
            socket.wire.protocol.dataReceived(frame(PING, b"x") * 10)
        assert len(socket.frames()) == 256
        assert socket.wire.paused
        socket.memory.settle()
        assert len(socket.frames()) == 744
        assert not socket.wire.paused

    def test_skipped_in_turns(self, serve: Serve) -> None:
        """After a failure, too: what is skipped in one turn has a bound."""
        socket = Socket(serve)
        socket.wire.sends(frame(3))
        socket.wire.protocol.dataReceived(text("") * 3000 + close(1002))
        assert socket.wire.paused
        assert not socket.wire.closing
        socket.memory.settle()
        assert socket.wire.lost
        assert not socket.wire.aborted

    @pytest.mark.parametrize("size", [0, 10, 60000])
    def test_skipped_in_all(self, serve: Serve, size: int) -> None:
        """After a failure the peer is read to its close frame, or for so long, then cut off."""
        socket = Socket(serve)
        socket.wire.sends(frame(3))
        data = binary(bytes(size))
        number = MAX_SKIPPED // (SKIPPED_FRAME_COST + len(data))
        for _ in range(number // 500):
            socket.wire.sends(data * 500)
        assert not socket.wire.closing
        socket.wire.sends(data * 500, data * 500)
        assert socket.wire.lost

    def test_lost_with_small_frames_unread(self, serve: Serve) -> None:
        """S01: of what is read when the connection is lost little is made into events."""
        socket = Socket(serve)
        socket.wire.protocol.dataReceived(text("") * 20000)
        socket.wire.vanishes()
        events = socket.events()
        assert len(events) - 1 == MAX_UNREAD_AFTER_LOSS // EVENT_OVERHEAD
        assert events[-1] == disconnected(1006)

    def test_lost_with_fragments_unread(self, serve: Serve) -> None:
        """S27: nor does a loss read on without end, as no turn comes after it."""
        socket = Socket(serve)
        data = frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"a", fin=False) * 30000
        socket.wire.protocol.dataReceived(data)
        protocol = socket.wire.protocol.upgraded_to
        socket.wire.vanishes()
        assert len(protocol.message_data) < MAX_FRAMES_PER_TURN + MAX_FRAMES_AFTER_LOSS + 2
        assert socket.events() == [disconnected(1006)]

    @pytest.mark.parametrize("shape", ["one frame", "fragments", "compressed", "tiny reads"])
    def test_linear(self, serve: Serve, shape: str) -> None:
        """S27: four times the message in pieces of one size costs four times the time, not 16."""

        def seconds(size: int) -> float:
            socket = Socket(
                serve, DEFLATE, websocket_max_message_size=None, websocket_max_frame_size=None
            )
            octets = bytes(size)
            if shape == "fragments":
                pieces = fragments(octets, size >> 10)
            elif shape == "compressed":
                whole = frame(BINARY, deflated(random.Random(1).randbytes(size)), rsv=4)
                pieces = [whole[at : at + 1024] for at in range(0, len(whole), 1024)]
            else:
                whole = binary(octets)
                step = 1024 if shape == "one frame" else 256
                pieces = [whole[at : at + step] for at in range(0, len(whole), step)]
            receive = socket.wire.protocol.dataReceived
            begun = time.process_time()
            for piece in pieces:
                if socket.wire.paused:
                    socket.memory.settle()
                receive(piece)
            needed = time.process_time() - begun
            assert len(socket.receives()["bytes"]) == size
            return needed

        ones = min(seconds(MEBI // 2) for _ in range(3))
        assert min(seconds(2 * MEBI) for _ in range(3)) < 8 * ones

    def test_linear_in_frames(self, serve: Serve) -> None:
        """S27: nor do four times as many small frames in one read."""

        def seconds(number: int) -> float:
            socket = Socket(serve)
            data = frame(CONTINUATION, b"", fin=False) * number
            socket.wire.sends(frame(TEXT, b"", fin=False))
            begun = time.process_time()
            socket.wire.protocol.dataReceived(data)
            while socket.wire.paused:
                socket.memory.settle()
            return time.process_time() - begun

        ones = min(seconds(3000) for _ in range(3))
        assert min(seconds(12000) for _ in range(3)) < 8 * ones
