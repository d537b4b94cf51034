"""permessage-deflate (RFC 7692): what is agreed on, and messages through it."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.websocket.deflate import MAX_FINAL_BLOCKS, OCTETS_PER_FINAL_BLOCK
from tests.support.memory import Memory
from tests.support.websocket_compression import END_OF_BLOCK
from tests.support.websocket_frames import (
    SWITCHED,
    Socket,
    binary,
    disconnected,
    got,
    sends_bytes,
    sends_text,
    switched,
    text,
)
from tests.support.websocket_opcodes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tests.support.websocket_peer import Frame, close, frame

Serve = Callable[..., Memory]

FIELD = b"Sec-WebSocket-Extensions: "
NAME = b"permessage-deflate"

# RFC 1951, 3.2.3 to 3.2.5: what no deflate stream begins with.
CORRUPT = {
    "block type": b"\x06",
    "block type, long": b"\xff" * 50,
    "stored length": b"\x00\x01\x00\x00\x00a",
    "distance": b"\x02\x3c\x00\x00",
}

HELLO = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"
"""RFC 7692, 7.2.3.4: "Hello" in a block with BFINAL."""
EMPTY = b"\x03\x00"
"""A block with BFINAL that holds nothing."""

# Offers, options of the server, and the value of the answer's field; None for no field.
AGREED: list[tuple[bytes, dict[str, Any], bytes | None]] = [
    # A client that cannot bound its window is asked to forget it (7.1.1.2).
    (b"", {}, b"; client_no_context_takeover"),
    (b"; client_no_context_takeover", {}, b"; client_no_context_takeover"),
    (b"; client_max_window_bits", {}, b"; client_max_window_bits=11"),
    (b"; client_max_window_bits=15", {}, b"; client_max_window_bits=11"),
    (b"; client_max_window_bits=11", {}, b"; client_max_window_bits=11"),
    (b'; client_max_window_bits="12"', {}, b"; client_max_window_bits=11"),
    (b"; CLIENT_MAX_WINDOW_BITS", {}, b"; client_max_window_bits=11"),
    (b";client_max_window_bits ;client_no_context_takeover", {}, b"; client_max_window_bits=11"),
    (b"; client_max_window_bits", {"websocket_deflate_window": 9}, b"; client_max_window_bits=9"),
    (b"; client_max_window_bits", {"websocket_deflate_window": 15}, b"; client_max_window_bits=15"),
    # What a client says beside it is an upper bound (7.1.2.2): clients fail on a larger one.
    (b"; client_max_window_bits=9", {}, b"; client_max_window_bits=9"),
    (b"; client_max_window_bits=12", {"websocket_deflate_window": 15},
     b"; client_max_window_bits=12"),
    (b"; server_no_context_takeover", {},
     b"; server_no_context_takeover; client_no_context_takeover"),
    (b"; server_no_context_takeover; client_max_window_bits", {},
     b"; server_no_context_takeover; client_max_window_bits=11"),
    (b"; server_max_window_bits=9; client_max_window_bits", {},
     b"; server_max_window_bits=9; client_max_window_bits=11"),
    (b"; server_max_window_bits=11; client_max_window_bits", {},
     b"; server_max_window_bits=11; client_max_window_bits=11"),
    # The first offer that can be accepted (5.1).
    (b"; x, permessage-deflate; client_max_window_bits", {}, b"; client_max_window_bits=11"),
    (b"; server_max_window_bits=8, permessage-deflate", {}, b"; client_no_context_takeover"),
    (b"; server_no_context_takeover; client_max_window_bits, permessage-deflate", {},
     b"; server_no_context_takeover; client_max_window_bits=11"),
    (b"; server_max_window_bits=16", {}, None),
    # A decimal number without leading zeros (7.1.2.1, 7.1.2.2).
    (b"; server_max_window_bits=010", {}, None),
    (b'; server_max_window_bits="010"', {}, None),
    (b"; server_max_window_bits=+10", {}, None),
    (b"; server_max_window_bits=1_0", {}, None),
    (b"; server_max_window_bits", {}, None),
    (b"; client_max_window_bits=010", {}, None),
    (b"; client_max_window_bits=09, permessage-deflate", {}, b"; client_no_context_takeover"),
    (b"; client_max_window_bits", {"websocket_deflate": False}, None),
]  # fmt: skip


class Client:
    """A client's side of an agreed compression, by zlib alone."""

    def __init__(self, *, bits: int = 15, own_bits: int = 15, takeover: bool = True) -> None:
        self.own_bits, self.takeover = own_bits, takeover
        self.inflate = zlib.decompressobj(-bits)
        self.deflate = zlib.compressobj(9, zlib.DEFLATED, -own_bits)

    def payload(self, octets: bytes) -> bytes:
        if not self.takeover:
            self.deflate = zlib.compressobj(9, zlib.DEFLATED, -self.own_bits)
        data = self.deflate.compress(octets) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        assert data.endswith(END_OF_BLOCK)
        return data[:-4]

    def read(self, found: Frame) -> bytes:
        assert found.rsv1
        return self.inflate.decompress(found.payload + END_OF_BLOCK)


class FinalClient:
    """A client's side whose every part of a message is a stream of its own that ends with BFINAL.

    Its window goes on all the same, as RFC 7692, 7.2.3.4, allows.
    """

    def __init__(self, bits: int, takeover: bool = True) -> None:
        self.bits, self.takeover = bits, takeover
        self.window = b""

    def payload(self, *parts: bytes) -> bytes:
        if not self.takeover:
            self.window = b""
        data = b""
        for part in parts:
            deflate = zlib.compressobj(9, zlib.DEFLATED, -self.bits, zdict=self.window)
            data += deflate.compress(part) + deflate.flush(zlib.Z_FINISH)
            self.window = (self.window + part)[-(1 << self.bits) :]
        return data + b"\x00"


def agreed(
    serve: Serve, parameters: bytes = b"; client_max_window_bits", **settings: Any
) -> Socket:
    """A WebSocket with compression."""
    socket = Socket(serve, FIELD + NAME + parameters, **settings)
    assert NAME in socket.answer
    return socket


class TestNegotiation:
    """RFC 7692, 5 and 7.1."""

    @pytest.mark.parametrize(("parameters", "settings", "value"), AGREED)
    def test_answer(
        self, serve: Serve, parameters: bytes, settings: dict[str, Any], value: bytes | None
    ) -> None:
        """7.1: the whole answer; no field when no offer can be accepted."""
        socket = Socket(serve, FIELD + NAME + parameters, **settings)
        if value is None:
            assert socket.answer == SWITCHED
        else:
            assert socket.answer == switched(FIELD + NAME + value)

    def test_several_fields(self, serve: Serve) -> None:
        """RFC 6455, 9.1: offers may come in several fields, among others."""
        socket = Socket(serve, FIELD + b"x-other; a=1", FIELD + NAME + b"; client_max_window_bits")
        assert socket.answer == switched(FIELD + NAME + b"; client_max_window_bits=11")

    def test_not_offered(self, serve: Serve) -> None:
        """5: what is not offered is not used."""
        socket = Socket(serve)
        socket.sends(sends_text("a" * 1000))
        assert socket.frames() == [Frame(TEXT, b"a" * 1000)]

    def test_fields_of_the_application(self, serve: Serve) -> None:
        """W23: the application's own fields stand beside it."""
        accept = {"type": "websocket.accept", "headers": [(b"x", b"1")]}
        socket = Socket(serve, FIELD + NAME, accept=accept)
        assert socket.answer == switched(b"x: 1", FIELD + NAME + b"; client_no_context_takeover")


class TestMessages:
    """RFC 7692, 7.2, through zlib on the client's side."""

    MESSAGES = [b"", b"a", b"Hello", b"Hello", bytes(1000), random.Random(1).randbytes(5000),
                b"abc" * 50000, random.Random(2).randbytes(200000)]  # fmt: skip

    @pytest.mark.parametrize(
        ("parameters", "bits", "own_bits", "takeover", "forgets"),
        [
            (b"; client_max_window_bits", 11, 11, True, False),
            (b"; client_max_window_bits", 15, 9, True, False),
            (b"", 11, 15, False, False),
            (b"; server_no_context_takeover", 11, 15, False, True),
            (b"; server_max_window_bits=9; client_max_window_bits", 9, 11, True, False),
            (b"; server_max_window_bits=15; client_max_window_bits", 11, 11, False, False),
        ],
    )
    def test_round_trip(
        self,
        serve: Serve,
        parameters: bytes,
        bits: int,
        own_bits: int,
        takeover: bool,
        forgets: bool,
    ) -> None:
        """7.2: windows of the agreed size are enough on both sides, with and without takeover."""
        socket = agreed(serve, parameters)
        client = Client(bits=bits, own_bits=own_bits, takeover=takeover)
        for octets in self.MESSAGES:
            socket.wire.sends(frame(BINARY, client.payload(octets), rsv=4))
            assert socket.receives() == got(octets)
            if forgets:
                client.inflate = zlib.decompressobj(-bits)
            socket.sends(sends_bytes(octets))
            first, *rest = socket.frames()
            assert not any(each.rsv1 for each in rest)  # RSV1 on the first alone
            whole = first._replace(payload=b"".join(each.payload for each in (first, *rest)))
            assert (first.opcode, client.read(whole)) == (BINARY, octets)

    def test_context_is_taken_over(self, serve: Serve) -> None:
        """7.2.3.2: the same message again is shorter."""
        socket = agreed(serve)
        client = Client()
        message = random.Random(3).randbytes(500)
        sizes = []
        for _ in range(2):
            socket.sends(sends_bytes(message))
            (found,) = socket.frames()
            assert client.read(found) == message
            sizes.append(len(found.payload))
        assert sizes[1] < sizes[0] // 5

    def test_text(self, serve: Serve) -> None:
        """Text both ways."""
        socket = agreed(serve)
        client = Client(own_bits=11)
        socket.wire.sends(frame(TEXT, client.payload("Grüße 😀".encode()), rsv=4))
        assert socket.receives() == got("Grüße 😀")
        socket.sends(sends_text("Grüße 😀"))
        (found,) = socket.frames()
        assert (found.opcode, client.read(found)) == (TEXT, "Grüße 😀".encode())

    def test_fragments(self, serve: Serve) -> None:
        """6.1: RSV1 on the first fragment; the parts are one stream, cut anywhere."""
        socket = agreed(serve)
        octets = bytes(range(256)) * 4
        payload = Client(own_bits=11, takeover=False).payload(octets)
        for cut in range(0, len(payload), 7):
            socket.wire.sends(
                frame(BINARY, payload[:cut], fin=False, rsv=4)
                + frame(PING, b"p")
                + frame(CONTINUATION, payload[cut:])
            )
            assert socket.receives() == got(octets)
        assert set(socket.frames()) == {Frame(PONG, b"p")}

    def test_not_compressed_ones_between(self, serve: Serve) -> None:
        """6: a sender chooses for each message; one that is not compressed has no part in it."""
        socket = agreed(serve)
        client = Client(own_bits=11)
        socket.wire.sends(
            frame(TEXT, client.payload(b"abcabc"), rsv=4) + text("plain") + binary(b"plain")
            + frame(TEXT, client.payload(b"abcabc"), rsv=4)
        )  # fmt: skip
        assert socket.events() == [got("abcabc"), got("plain"), got(b"plain"), got("abcabc")]

    @pytest.mark.parametrize(
        "block",
        [
            b"\x01\x05\x00\xfa\xffHello\x00",
            b"\xf2\x48\xcd\xc9\xc9\x07\x00",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ],
    )
    def test_examples(self, serve: Serve, block: bytes) -> None:
        """7.2.3.1, 7.2.3.3, 7.2.3.5: the examples of the RFC: stored, fixed, two blocks."""
        socket = agreed(serve)
        socket.wire.sends(frame(TEXT, block, rsv=4))
        assert socket.receives() == got("Hello")

    def test_final_block(self, serve: Serve) -> None:
        """7.2.3.4: a block with BFINAL ends no message's right to have another after it."""
        socket = agreed(serve, b"")
        for _ in range(2):
            socket.wire.sends(frame(TEXT, HELLO, rsv=4))
            assert socket.receives() == got("Hello")


class TestIdle:
    """`--ws-deflate-window`: an idle connection does not pay for what it has sent."""

    @pytest.mark.parametrize("idle", [6.1, 20.6])
    def test_forgets(self, serve: Serve, idle: float) -> None:
        """7.2.1: a compressor that starts anew makes a stream that the same client reads on."""
        socket = agreed(serve, ping_timeout=None)
        client = Client(bits=11)
        message = random.Random(4).randbytes(500)
        for _ in range(4):
            socket.sends(sends_bytes(message), sends_bytes(message))
            first, second = (each for each in socket.frames() if each.opcode == BINARY)
            assert (client.read(first), client.read(second)) == (message, message)
            assert len(second.payload) < 100 < len(first.payload)
            socket.memory.passes(idle)

    def test_is_kept_while_it_is_used(self, serve: Serve) -> None:
        """7.2.3.2: messages that follow each other share what they have in common."""
        socket = agreed(serve, ping_interval=None)
        client = Client(bits=11)
        message = random.Random(4).randbytes(500)
        sizes = []
        for _ in range(6):
            socket.sends(sends_bytes(message))
            (found,) = socket.frames()
            assert client.read(found) == message
            sizes.append(len(found.payload))
            socket.memory.passes(2)
        assert max(sizes[1:]) < 100 < sizes[0]


class TestWrong:
    """RFC 7692, 6 and 7.2.2; RFC 6455, 5.2."""

    @staticmethod
    def fails(socket: Socket, code: int) -> None:
        (found,) = socket.frames()
        assert (found.opcode, found.payload[:2]) == (CLOSE, code.to_bytes(2, "big"))
        assert [event["code"] for event in socket.events()] == [code]
        socket.wire.sends(close(code))
        assert socket.wire.lost
        assert not socket.wire.aborted

    @pytest.mark.parametrize("cut", [1, 9, 20])
    def test_reason(self, serve: Serve, cut: int) -> None:
        """W29: peer and application read the same, and no words of zlib's, wherever it is cut."""
        octets = frame(BINARY, CORRUPT["block type, long"], rsv=4)
        socket = agreed(serve)
        socket.wire.sends(octets[:cut], octets[cut:])
        reason = "The compressed message is damaged"
        assert [each.payload[2:].decode() for each in socket.frames()] == [reason]
        assert socket.events() == [disconnected(1007, reason)]

    @pytest.mark.parametrize("payload", CORRUPT.values(), ids=CORRUPT)
    def test_corrupt(self, serve: Serve, payload: bytes) -> None:
        """W42: what cannot be decompressed is owed 1007, and the peer's answer ends it at once."""
        octets = frame(BINARY, payload, rsv=4) + text("after")
        for cut in range(len(octets)):
            socket = agreed(serve)
            socket.wire.sends(octets[:cut], octets[cut:])
            self.fails(socket, 1007)

    def test_corrupt_fragment(self, serve: Serve) -> None:
        """W42: the same in a later frame."""
        socket = agreed(serve)
        payload = Client().payload(b"Hello")
        socket.wire.sends(
            frame(BINARY, payload, rsv=4, fin=False),
            frame(CONTINUATION, END_OF_BLOCK + CORRUPT["block type"], fin=False)
            + frame(CONTINUATION, b""),
        )
        self.fails(socket, 1007)

    def test_bad_text(self, serve: Serve) -> None:
        """RFC 6455, 8.1: UTF-8 counts after decompression."""
        socket = agreed(serve)
        socket.wire.sends(frame(TEXT, Client().payload(b"a\xff"), rsv=4))
        self.fails(socket, 1007)

    @pytest.mark.parametrize(
        "octets",
        [
            frame(TEXT, b"a", rsv=2),
            frame(TEXT, b"a", rsv=6),
            frame(PING, b"a", rsv=4),
            frame(CLOSE, b"\x03\xe8", rsv=4),
            frame(TEXT, b"\x00", rsv=4, fin=False) + frame(CONTINUATION, b"\x00", rsv=4),
        ],
    )
    def test_bits(self, serve: Serve, octets: bytes) -> None:
        """6: RSV1 on the first frame of a message and nowhere else; the other bits never."""
        socket = agreed(serve)
        socket.wire.sends(octets)
        (found,) = socket.frames()
        assert found.payload[:2] == (1002).to_bytes(2, "big")

    @pytest.mark.parametrize("settings", [{}, {"websocket_deflate": False}])
    def test_not_agreed(self, serve: Serve, settings: dict[str, Any]) -> None:
        """RFC 6455, 5.2: RSV1 without an extension that gives it a meaning."""
        lines = (FIELD + NAME,) if settings else ()
        socket = Socket(serve, *lines, **settings)
        socket.wire.sends(frame(TEXT, Client().payload(b"a"), rsv=4))
        self.fails(socket, 1002)


class TestFinalBlocks:
    """RFC 7692, 7.2.3.4: a block with BFINAL ends neither the message nor the window."""

    @pytest.mark.parametrize(
        ("parameters", "bits", "takeover"),
        [
            (b"; client_max_window_bits", 11, True),
            (b"; client_max_window_bits=9", 9, True),
            (b"; client_max_window_bits", 15, True),
            (b"", 15, False),
        ],
    )
    def test_round_trip(self, serve: Serve, parameters: bytes, bits: int, takeover: bool) -> None:
        """Messages of several final blocks that refer to all of the window before them."""
        socket = agreed(serve, parameters, websocket_deflate_window=bits)
        client = FinalClient(bits, takeover)
        source = random.Random(5)
        message = source.randbytes((1 << bits) - 258)
        for size in (1, 2, 300, 1000, len(message), 100000):
            parts = [message[:size], message[-size:], source.randbytes(3), message, b"", message]
            socket.wire.sends(frame(BINARY, client.payload(*parts), rsv=4))
            assert socket.receives() == got(b"".join(parts))

    def test_usual_blocks_before_and_after(self, serve: Serve) -> None:
        """A window that messages without BFINAL have filled is one for those with it, and back."""
        socket = agreed(serve)
        source = random.Random(6)
        window = b""
        for number in range(300):
            message = window[: number * 7] + source.randbytes(number % 40)
            deflate = zlib.compressobj(9, zlib.DEFLATED, -11, zdict=window)
            if number % 3:
                payload = deflate.compress(message) + deflate.flush(zlib.Z_SYNC_FLUSH)[:-4]
            else:
                payload = deflate.compress(message) + deflate.flush(zlib.Z_FINISH) + b"\x00"
            socket.wire.sends(frame(BINARY, payload, rsv=4))
            assert socket.receives() == got(message)
            window = (window + message)[-2048:]

    def test_fragments(self, serve: Serve) -> None:
        """6.1: cut anywhere, within a final block or behind it."""
        socket = agreed(serve)
        client = FinalClient(11)
        parts = [bytes(range(256)), bytes(range(100, 200)) * 3, b"", b"Hello"]
        for cut in range(300):
            payload = client.payload(*parts)
            first = frame(BINARY, payload[:cut], fin=False, rsv=4)
            socket.wire.sends(first + frame(CONTINUATION, payload[cut:]))
            assert socket.receives() == got(b"".join(parts))

    def test_single_octets(self, serve: Serve) -> None:
        """6.1: in fragments of one octet."""
        socket = agreed(serve)
        client = FinalClient(11)
        for parts in ([b"Hello"], [b"abc" * 50, b"", bytes(range(200)) * 2]):
            payload = client.payload(*parts)
            socket.wire.sends(frame(BINARY, b"", fin=False, rsv=4))
            for at in range(len(payload)):
                socket.wire.sends(frame(CONTINUATION, payload[at : at + 1], fin=False))
            socket.wire.sends(frame(CONTINUATION))
            assert socket.receives() == got(b"".join(parts))

    def test_nothing_behind_it(self, serve: Serve) -> None:
        """A sender that leaves out the octet behind its final block is understood."""
        socket = agreed(serve)
        client = FinalClient(11)
        for message in (b"Hello", b"Hello, Hello", b"", b"Hello"):
            socket.wire.sends(frame(BINARY, client.payload(message)[:-1], rsv=4))
            assert socket.receives() == got(message)

    def test_stripped_end_is_final(self, serve: Serve) -> None:
        """7.2.1: the empty block whose end is left out may have BFINAL itself."""
        socket = agreed(serve)
        for _ in range(3):
            socket.wire.sends(frame(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x04", rsv=4))
            assert socket.receives() == got("Hello")

    def test_memory(self, serve: Serve) -> None:
        """S01: 100 MB behind a final block fill no memory, and every message is whole."""
        socket = agreed(serve)
        socket.wire.sends(frame(TEXT, HELLO, rsv=4))
        assert socket.receives() == got("Hello")
        octets = random.Random(7).randbytes(65535)
        stored = frame(BINARY, b"\x00\xff\xff\x00\x00" + octets + b"\x00", rsv=4)
        whole = got(octets)
        receive = socket.wire.protocol.dataReceived
        tracemalloc.start()
        try:
            for _ in range(1600):
                receive(stored)
                event = socket.memory.loop.run_until_complete(socket.script.receive())
                assert event == whole
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 1 << 20

    def test_size_counts_on(self, serve: Serve) -> None:
        """S28: the limit of a message is that of all its streams together."""
        for size in (1000, 1001):
            socket = agreed(serve, websocket_max_message_size=1000)
            payload = FinalClient(11).payload(bytes(400), bytes(500), bytes(size - 900))
            socket.wire.sends(frame(BINARY, payload, rsv=4))
            if size == 1000:
                assert socket.receives() == got(bytes(1000))
            else:
                assert [found.payload[:2] for found in socket.frames()] == [struct.pack(">H", 1009)]

    @pytest.mark.parametrize("name", CORRUPT)
    def test_damaged_behind_it(self, serve: Serve, name: str) -> None:
        """7.2.2: what follows a final block has to be deflated data, too."""
        socket = agreed(serve)
        socket.wire.sends(frame(TEXT, HELLO[:-1] + CORRUPT[name], rsv=4))
        assert [found.payload[:2] for found in socket.frames()] == [struct.pack(">H", 1007)]

    @pytest.mark.parametrize("limit", [1 << 20, None])
    @pytest.mark.parametrize("whole", [True, False])
    def test_many_empty_ones(self, serve: Serve, limit: int | None, whole: bool) -> None:
        """S27: a message of empty final blocks has few of them, and 1 MB of them takes no time."""
        socket = agreed(serve, websocket_max_message_size=limit, websocket_max_frame_size=None)
        few, many = EMPTY * MAX_FINAL_BLOCKS, EMPTY * (1 << 19)
        socket.wire.sends(frame(BINARY, few + b"\x00", rsv=4))
        assert socket.receives() == got(b"")
        begun = time.process_time()
        if whole:
            socket.wire.sends(frame(BINARY, many, rsv=4))
        else:
            socket.wire.sends(
                frame(BINARY, b"", fin=False, rsv=4),
                *[frame(CONTINUATION, EMPTY, fin=False) for _ in range(MAX_FINAL_BLOCKS + 2)],
            )
        assert time.process_time() - begun < 2
        assert [found.payload[:2] for found in socket.frames()] == [struct.pack(">H", 1008)]

    def test_many_with_something_in_them(self, serve: Serve) -> None:
        """A sender may end a stream each time it has something: of such there are many."""
        socket = agreed(serve)
        parts = [bytes([at & 255]) * OCTETS_PER_FINAL_BLOCK for at in range(1000)]
        socket.wire.sends(frame(BINARY, FinalClient(11).payload(*parts), rsv=4))
        assert socket.receives() == got(b"".join(parts))

    def test_linear(self, serve: Serve) -> None:
        """S27: four times as many final blocks cost four times the time, not 16."""

        def seconds(number: int) -> float:
            socket = agreed(serve, websocket_max_message_size=None, websocket_max_frame_size=None)
            part = random.Random(8).randbytes(OCTETS_PER_FINAL_BLOCK)
            data = frame(BINARY, FinalClient(11).payload(*[part] * number), rsv=4)
            begun = time.process_time()
            socket.wire.protocol.dataReceived(data)
            needed = time.process_time() - begun
            assert socket.receives() == got(part * number)
            return needed

        ones = min(seconds(2000) for _ in range(3))
        assert min(seconds(8000) for _ in range(3)) < 8 * ones
