"""permessage-deflate (RFC 7692): what is agreed on, and messages through it."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.memory import Memory
from tests.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    SWITCHED,
    TEXT,
    Frame,
    Socket,
    binary,
    close,
    disconnected,
    frame,
    got,
    sends_bytes,
    sends_text,
    switched,
    text,
)

Serve = Callable[..., Memory]

FIELD = b"Sec-WebSocket-Extensions: "
NAME = b"permessage-deflate"
TAIL = b"\x00\x00\xff\xff"

# RFC 1951, 3.2.3 to 3.2.5: what no deflate stream begins with.
CORRUPT = {
    "block type": b"\x06",
    "block type, long": b"\xff" * 50,
    "stored length": b"\x00\x01\x00\x00\x00a",
    "distance": b"\x02\x3c\x00\x00",
}

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
        assert data.endswith(TAIL)
        return data[:-4]

    def read(self, found: Frame) -> bytes:
        assert found.rsv == 4
        return self.inflate.decompress(found.payload + TAIL)


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
            assert [each.rsv for each in rest] == [0] * len(rest)  # RSV1 on the first alone
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
            socket.wire.sends(frame(TEXT, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", rsv=4))
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
            frame(CONTINUATION, TAIL + CORRUPT["block type"], fin=False) + frame(CONTINUATION, b""),
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
