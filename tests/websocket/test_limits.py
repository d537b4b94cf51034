"""The limits for one peer: sizes, memory, time."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable

import pytest

from tests.support.applications import Script
from tests.support.memory import Memory
from tests.support.websocket_compression import DEFLATE
from tests.support.websocket_frames import ACCEPTS, OPENING, Socket, binary, disconnected, got, text
from tests.support.websocket_messages import MEBI, compressed, deflated, fragments
from tests.support.websocket_opcodes import BINARY, CLOSE, PING, PONG
from tests.support.websocket_peer import Frame, close, frame, read_frames

Serve = Callable[..., Memory]


def too_big(socket: Socket) -> None:
    """Failed with 1009, and the peer's answer ends the connection at once."""
    (found,) = socket.frames()
    assert (found.opcode, found.payload[:2]) == (CLOSE, struct.pack(">H", 1009))
    assert socket.events() == [disconnected(1009, found.payload[2:].decode())]
    socket.wire.sends(close(1009))
    assert socket.wire.lost
    assert not socket.wire.aborted


class TestSizes:
    """`--websocket-max-message-size` and `--websocket-max-frame-size`; RFC 6455, 10.4."""

    @pytest.mark.parametrize("limit", [1, 10, 125, 126, 200, 65535, 65536, 70000])
    @pytest.mark.parametrize("option", ["message", "frame"])
    def test_one_frame(self, serve: Serve, option: str, limit: int) -> None:
        """S01, W42: as large as the limit; one octet more is owed 1009."""
        socket = Socket(serve, **{f"websocket_max_{option}_size": limit})
        octets = bytes(limit)
        socket.wire.sends(binary(octets))
        assert socket.receives() == got(octets)
        socket.wire.sends(binary(octets + b"x"))
        too_big(socket)

    def test_text_counts_octets(self, serve: Serve) -> None:
        """S01: the size is that of the UTF-8."""
        socket = Socket(serve, websocket_max_message_size=4)
        socket.wire.sends(text("éé"))
        assert socket.receives() == got("éé")
        socket.wire.sends(text("éée"))
        too_big(socket)

    def test_fragments_at_the_limit(self, serve: Serve) -> None:
        """S01: frames of a message count together."""
        socket = Socket(serve, websocket_max_message_size=1000)
        socket.wire.sends(*fragments(bytes(1000), 10))
        assert socket.receives() == got(bytes(1000))
        socket.wire.sends(*fragments(bytes(1001), 10))
        too_big(socket)

    def test_thousand_fragments(self, serve: Serve) -> None:
        """S01: a message over the limit in 1000 frames: refused before it is whole."""
        socket = Socket(serve, websocket_max_message_size=9990)
        socket.wire.sends(b"".join(fragments(bytes(10000), 1000)))
        too_big(socket)

    def test_small_frames_of_a_large_message(self, serve: Serve) -> None:
        """The two limits do not depend on each other."""
        socket = Socket(serve, websocket_max_frame_size=100)
        socket.wire.sends(*fragments(bytes(1000), 10))
        assert socket.receives() == got(bytes(1000))
        socket.wire.sends(*fragments(bytes(1001), 10))
        too_big(socket)

    def test_refused_by_its_head(self, serve: Serve) -> None:
        """S01: the head says the size: nothing of the payload is waited for."""
        socket = Socket(serve, websocket_max_message_size=1000)
        socket.wire.sends(frame(BINARY, b"", length=2**40))
        (found,) = socket.frames()
        assert found.payload[:2] == struct.pack(">H", 1009)

    def test_default(self, serve: Serve) -> None:
        """S01: 1 MiB."""
        socket = Socket(serve)
        socket.wire.sends(binary(bytes(MEBI)))
        assert socket.receives() == got(bytes(MEBI))
        socket.wire.sends(binary(bytes(MEBI + 1)))
        too_big(socket)

    def test_none(self, serve: Serve) -> None:
        """No limit by option."""
        socket = Socket(serve, websocket_max_message_size=None, websocket_max_frame_size=None)
        octets = bytes(3 * MEBI)
        socket.wire.sends(binary(octets))
        assert socket.receives() == got(octets)
        socket.wire.sends(*fragments(octets, 3))
        assert socket.receives() == got(octets)

    def test_control_frames_have_their_own(self, serve: Serve) -> None:
        """RFC 6455, 5.5: 125 octets, whatever the limit of a message."""
        socket = Socket(serve, websocket_max_message_size=1, websocket_max_frame_size=1)
        socket.wire.sends(frame(PING, bytes(125)))
        assert socket.frames() == [Frame(PONG, bytes(125))]


class TestCompressed:
    """RFC 7692, 8; S28: a message is as large as what comes of it."""

    def test_limit(self, serve: Serve) -> None:
        """S01: at the limit, and one over it, decompressed."""
        socket = Socket(serve, DEFLATE, websocket_max_message_size=1000)
        socket.wire.sends(compressed(bytes(1000)))
        assert socket.receives() == got(bytes(1000))
        socket.wire.sends(compressed(bytes(1001)))
        too_big(socket)

    def test_limit_in_fragments(self, serve: Serve) -> None:
        """S01: the same in many frames."""
        for size in (1000, 1001):
            socket = Socket(serve, DEFLATE, websocket_max_message_size=1000)
            first, *rest = fragments(deflated(bytes(range(250)) * 4 + bytes(size - 1000)), 20)
            socket.wire.sends(bytes((first[0] | 64,)) + first[1:], *rest)
            if size == 1000:
                assert socket.receives() == got(bytes(range(250)) * 4)
            else:
                too_big(socket)

    @pytest.mark.parametrize("in_pieces", [False, True])
    def test_bomb(self, serve: Serve, in_pieces: bool) -> None:
        """S28: what would become a thousand times as much is refused, and the memory is flat."""
        octets = compressed(bytes(64 * MEBI))
        assert len(octets) < MEBI // 4
        socket = Socket(serve, DEFLATE)
        pieces = [octets[at : at + 16384] for at in range(0, len(octets), 16384)]
        tracemalloc.start()
        socket.wire.gets(*(pieces if in_pieces else [octets]))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 * MEBI
        too_big(socket)

    def test_no_limit(self, serve: Serve) -> None:
        """By option."""
        socket = Socket(serve, DEFLATE, websocket_max_message_size=None,
                        websocket_max_frame_size=None)  # fmt: skip
        socket.wire.sends(compressed(bytes(4 * MEBI)))
        assert socket.receives() == got(bytes(4 * MEBI))


def test_accept_then_frames_at_once(serve: Serve) -> None:
    """W21, S01: what was kept before the accept has its turns, too."""
    script = Script()
    memory = serve(script)
    wire = memory.connect().gets(OPENING + frame(PING, b"x") * 1000 + text("a"))
    memory.loop.run_until_complete(script.send(ACCEPTS))
    memory.settle()
    octets = wire.take().partition(b"\r\n\r\n")[2]
    assert read_frames(octets) == [Frame(PONG, b"x")] * 1000
    assert not wire.paused
