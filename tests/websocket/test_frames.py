"""Frames of a client: the ones that make messages, and the ones that break a rule."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.websocket import masking
from daphne_like.websocket.protocol import MAX_SKIPPED
from tests.support.memory import Memory
from tests.support.websocket_frames import (
    Socket,
    binary,
    closing,
    disconnected,
    got,
    opening,
    sends_bytes,
    sends_text,
    text,
)
from tests.support.websocket_opcodes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tests.support.websocket_peer import Frame, close, frame, put_mask, read_frames

Serve = Callable[..., Memory]

SIZES = [0, 1, 2, 3, 4, 5, 125, 126, 127, 128, 129, 65535, 65536, 70000]


def octets_of(size: int) -> bytes:
    """Octets without a pattern that a mask could hide in; the same each time."""
    return random.Random(size).randbytes(size)


def failed(socket: Socket, code: int) -> None:
    """The connection has been failed with a code, and the application knows it."""
    found = socket.frames()
    assert [(each.opcode, each.payload[:2]) for each in found] == [(CLOSE, code.to_bytes(2, "big"))]
    assert socket.events() == [disconnected(code, found[0].payload[2:].decode())]
    # RFC 6455, 7.1.7: the connection ends by itself, or with the peer's answer.
    socket.wire.sends(close(code))
    assert socket.wire.lost
    assert not socket.wire.aborted


class TestSizes:
    """RFC 6455, 5.2: the three forms of the length; 5.3: masks."""

    @pytest.mark.parametrize("size", SIZES)
    def test_binary(self, serve: Serve, size: int) -> None:
        """Both directions, whole."""
        socket = Socket(serve)
        for octets in (octets_of(size), octets_of(size)[::-1]):
            socket.wire.sends(binary(octets))
            assert socket.receives() == got(octets)
            socket.sends(sends_bytes(octets))
            assert socket.frames() == [Frame(BINARY, octets)]

    @pytest.mark.parametrize("size", SIZES)
    def test_text(self, serve: Serve, size: int) -> None:
        """Both directions; the size is that of the UTF-8."""
        message = "x" * (size % 2) + "é" * (size // 2)
        socket = Socket(serve)
        socket.wire.sends(text(message))
        assert socket.receives() == got(message)
        socket.sends(sends_text(message))
        assert socket.frames() == [Frame(TEXT, message.encode())]

    @pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
    def test_in_two_reads(self, serve: Serve, size: int) -> None:
        """The same in two reads, and behind another one."""
        octets = octets_of(size)
        whole = binary(octets)
        for cut in {1, 2, 3, 7, 8, 9, 13, 14, 15, len(whole) // 2, len(whole) - 1}:
            if 0 < cut < len(whole):
                socket = Socket(serve)
                socket.wire.sends(text("a") + whole[:cut], whole[cut:])
                assert socket.events() == [got("a"), got(octets)]


class TestMasking:
    """RFC 6455, 5.3; masking.py does it in two ways."""

    @pytest.fixture(params=["native", "arithmetic"])
    def way(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
        if request.param == "arithmetic":
            monkeypatch.setattr(masking, "lib", None)
        elif masking.lib is None:
            pytest.skip("autobahn before 25.9 has no native code: install one for Python 3.11")
        return str(request.param)

    @pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 127, 128, 129, 130, 131, 1000, 65535])
    def test_octets(self, way: str, size: int) -> None:
        """Both sides of SHORT, all remainders by four, several masks."""
        assert masking.SHORT == 128
        octets = octets_of(size)
        for mask in (b"\0\0\0\0", b"\1\2\3\4", b"\xff\0\xff\0", b"\x80\xfe\x7f\x01"):
            assert bytes(masking.unmask(put_mask(octets, mask), mask)) == octets

    def test_on_a_connection(self, serve: Serve, way: str) -> None:
        """Text and bytes have their type either way (C16)."""
        socket = Socket(serve)
        socket.wire.sends(text("é" * 100) + binary(b"\xff" * 200))
        events = socket.events()
        assert events == [got("é" * 100), got(b"\xff" * 200)]
        assert type(events[1]["bytes"]) is bytes


class TestFragments:
    """RFC 6455, 5.4, "Fragmentation" (W11)."""

    def test_reassembled(self, serve: Serve) -> None:
        """W11: the application sees whole messages; empty fragments are allowed."""
        socket = Socket(serve)
        socket.wire.sends(
            frame(TEXT, b"a", fin=False),
            frame(CONTINUATION, b"", fin=False),
            frame(CONTINUATION, b"b", fin=False) + frame(CONTINUATION, b"", fin=True),
            frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"", fin=True),
        )
        assert socket.events() == [got("ab"), got(b"")]

    def test_character_across_fragments(self, serve: Serve) -> None:
        """5.6: a fragment need not end where a character does."""
        octets = "a😀é".encode()
        socket = Socket(serve)
        for index in range(len(octets)):
            opcode = CONTINUATION if index else TEXT
            socket.wire.sends(
                frame(opcode, octets[index : index + 1], fin=index == len(octets) - 1)
            )
        assert socket.events() == [got("a😀é")]

    def test_ping_between(self, serve: Serve) -> None:
        """5.4, 5.5.2: control frames may stand between fragments, and are answered at once."""
        socket = Socket(serve)
        socket.wire.sends(frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(PONG, b"x"))
        assert socket.frames() == [Frame(PONG, b"p")]
        socket.wire.sends(frame(CONTINUATION, b"b"))
        assert socket.events() == [got("ab")]

    def test_close_between(self, serve: Serve) -> None:
        """5.5.1: a close frame ends the message that is not whole, which nobody sees."""
        socket = Socket(serve)
        socket.wire.sends(frame(TEXT, b"a", fin=False) + close(4000))
        assert socket.frames() == [closing(4000)]
        assert socket.events() == [disconnected(4000)]


class TestControlFrames:
    """RFC 6455, 5.5, "Control Frames" (W10)."""

    @pytest.mark.parametrize("payload", [b"", b"a", b"\xff" * 125])
    def test_ping(self, serve: Serve, payload: bytes) -> None:
        """5.5.3: a pong has the payload of its ping; the application sees neither."""
        socket = Socket(serve)
        socket.wire.sends(frame(PING, payload))
        assert socket.frames() == [Frame(PONG, payload)]
        assert socket.events() == []

    def test_order(self, serve: Serve) -> None:
        """Between messages, in one read: all of it in order."""
        socket = Socket(serve)
        socket.wire.gets(
            text("a") + frame(PING, b"1") + binary(b"b") + frame(PING, b"2") + text("c")
        )
        assert socket.frames() == [Frame(PONG, b"1"), Frame(PONG, b"2")]
        assert socket.events() == [got("a"), got(b"b"), got("c")]

    @pytest.mark.parametrize("payload", [b"", b"nobody asked", b"\0" * 125])
    def test_unsolicited_pong(self, serve: Serve, payload: bytes) -> None:
        """5.5.3: is let be."""
        socket = Socket(serve)
        socket.wire.sends(frame(PONG, payload), text("a"))
        assert socket.frames() == []
        assert socket.events() == [got("a")]


# Name: what is sent, and the code that it is owed.
WRONG = {
    "unmasked text": (frame(TEXT, b"a", masked=False), 1002),
    "unmasked ping": (frame(PING, b"a", masked=False), 1002),
    "unmasked and empty": (frame(TEXT, b"", masked=False), 1002),
    "RSV1": (frame(TEXT, b"a", rsv=4), 1002),
    "RSV2": (frame(BINARY, b"a", rsv=2), 1002),
    "RSV3": (frame(TEXT, b"a", rsv=1), 1002),
    "RSV1 on a ping": (frame(PING, b"a", rsv=4), 1002),
    **{f"opcode {code}": (frame(code, b"a"), 1002) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "ping of 126": (frame(PING, b"a" * 126), 1002),
    "close of 126": (frame(CLOSE, b"\x03\xe8" + b"a" * 124), 1002),
    "ping of 70000": (frame(PING, b"a" * 70000), 1002),
    **{
        f"{name} of {size} in {form} bits": (frame(opcode, bytes(size), form=form), 1002)
        for name, opcode in (("ping", PING), ("pong", PONG), ("close", CLOSE))
        for size in (0, 5, 121, 125)
        for form in (16, 64)
    },
    "fragmented ping": (frame(PING, b"a", fin=False), 1002),
    "fragmented close": (frame(CLOSE, b"\x03\xe8", fin=False), 1002),
    "125 in 16 bits": (frame(TEXT, b"a" * 125, form=16), 1002),
    "0 in 16 bits": (frame(TEXT, b"", form=16), 1002),
    "125 in 64 bits": (frame(BINARY, b"a" * 125, form=64), 1002),
    "65535 in 64 bits": (frame(BINARY, b"a" * 65535, form=64), 1002),
    "continuation of nothing": (frame(CONTINUATION, b"a"), 1002),
    "continuation of nothing, more": (frame(CONTINUATION, b"a", fin=False), 1002),
    "new message in one": (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    "new binary in text": (frame(TEXT, b"a", fin=False) + frame(BINARY, b"b", fin=False), 1002),
    "close of one octet": (frame(CLOSE, b"\x03"), 1002),
    **{
        f"close code {code}": (close(code), 1002)
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535)
    },
    "close reason": (close(1000, b"\xff"), 1007),
    "close reason cut": (close(1000, "é".encode()[:1]), 1007),
    **{
        f"UTF-8 {octets[-4:].hex()}": (frame(TEXT, octets), 1007)
        for octets in (
            b"\xff", b"a\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82",
            b"a" * 200 + b"\xc3",
        )
    },
    "UTF-8 in fragments": (frame(TEXT, b"\xc3", fin=False) + frame(CONTINUATION, b"("), 1007),
    "UTF-8 cut off": (frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION, b""), 1007),
}  # fmt: skip


class TestWrong:
    """RFC 6455, 5 and 8.1: what fails a connection (W42)."""

    @pytest.mark.parametrize("name", WRONG)
    def test_whole(self, serve: Serve, name: str) -> None:
        """W42: a close frame with the code; the messages before it are kept."""
        octets, code = WRONG[name]
        socket = Socket(serve)
        socket.wire.sends(text("before"))
        socket.wire.sends(octets)
        assert socket.receives() == got("before")
        failed(socket, code)

    @pytest.mark.parametrize("name", WRONG)
    def test_octet_by_octet(self, serve: Serve, name: str) -> None:
        """W42: in single octets the code is the same."""
        octets, code = WRONG[name]
        socket = Socket(serve)
        for index in range(min(len(octets), 300)):
            socket.wire.protocol.dataReceived(octets[index : index + 1])
        if len(octets) > 300:
            socket.wire.protocol.dataReceived(octets[300:])
        socket.memory.settle()
        found = socket.frames()
        assert [(each.opcode, each.payload[:2]) for each in found] == [
            (CLOSE, code.to_bytes(2, "big"))
        ]

    @pytest.mark.parametrize(
        "name", [name for name, (octets, _) in WRONG.items() if len(octets) < 300]
    )
    def test_answer_behind_it(self, serve: Serve, name: str) -> None:
        """7.1.7: the peer's close frame ends it at once, whatever stands before, cut anywhere."""
        octets = WRONG[name][0] + text("after") + close(WRONG[name][1])
        for cut in range(1, len(octets), 1 if len(octets) < 60 else 7):
            socket = Socket(serve)
            socket.wire.gets(octets[:cut], octets[cut:])
            assert [each.opcode for each in socket.frames()] == [CLOSE]
            assert (cut, socket.wire.lost, socket.wire.aborted) == (cut, True, False)

    @pytest.mark.parametrize("name", [name for name in WRONG if name.startswith(("RSV", "opcode"))])
    @pytest.mark.parametrize("cut", [-1, 0, 1, 2])
    def test_answer_before_it(self, serve: Serve, name: str, cut: int) -> None:
        """An immediate response to the previous message precedes the close frame."""

        async def echo(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            while (event := await receive())["type"] == "websocket.receive":
                await send(sends_text(event["text"]))

        wire = serve(echo).connect().sends(opening())
        wire.take()
        octets = text("before")
        cut += len(octets)
        octets += WRONG[name][0]
        wire.gets(octets[:cut], octets[cut:])
        assert [each.opcode for each in read_frames(wire.take())] == [TEXT, CLOSE]

    @pytest.mark.parametrize("length", [2**63, 2**64 - 1])
    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    def test_length_without_end(self, serve: Serve, opcode: int, length: int) -> None:
        """5.2: the highest bit is 0; nothing that follows can be told from its payload."""
        socket = Socket(serve)
        socket.wire.sends(frame(opcode, b"", length=length))
        (found,) = socket.frames()
        assert found.payload[:2] == (1002).to_bytes(2, "big")
        assert socket.wire.half_closed
        socket.wire.fin()
        assert socket.wire.lost
        assert not socket.wire.aborted

    @pytest.mark.parametrize("length", [MAX_SKIPPED + 1, 2**40, 2**63])
    @pytest.mark.parametrize("opcode", [TEXT, CONTINUATION, PING, 3])
    def test_too_long_to_skip(self, serve: Serve, opcode: int, length: int) -> None:
        """7.1.7: behind a frame whose end will not come the connection ends with the close frame.

        It is still read for a while: a reset could overtake the close frame.
        """
        socket = Socket(serve)
        socket.wire.sends(frame(opcode, b"", length=length))
        (found,) = socket.frames()
        assert found.opcode == CLOSE
        assert socket.wire.half_closed
        socket.wire.sends(bytes(1000))
        assert not socket.wire.lost
        socket.memory.passes(6)
        assert socket.wire.lost

    def test_short_enough_to_skip(self, serve: Serve) -> None:
        """7.1.7: a frame that the peer may have begun to send is read to its end."""
        socket = Socket(serve)
        octets = bytes(1 << 20)
        socket.wire.sends(frame(3, b"", length=3 << 20), octets, octets, octets)
        assert not socket.wire.closing
        socket.wire.sends(close(1002))
        assert socket.wire.lost
        assert not socket.wire.aborted

    def test_continuation_after_the_end(self, serve: Serve) -> None:
        """5.4: the final fragment ends the message."""
        socket = Socket(serve)
        socket.wire.sends(frame(TEXT, b"", fin=False) + 2 * frame(CONTINUATION, b""))
        assert socket.receives() == got("")
        failed(socket, 1002)

    def test_bad_text_is_seen_early(self, serve: Serve) -> None:
        """8.1: as soon as it cannot become UTF-8, not when the message is whole."""
        socket = Socket(serve)
        socket.wire.sends(frame(TEXT, b"a\xff", length=1000))
        (found,) = socket.frames()
        assert found.payload[:2] == (1007).to_bytes(2, "big")

    @pytest.mark.parametrize("name", ["RSV1", "UTF-8 ff", "unmasked text", "opcode 11"])
    def test_nothing_after_it(self, serve: Serve, name: str) -> None:
        """7.1.7: what follows it is no message, and has no answer."""
        octets, _ = WRONG[name]
        socket = Socket(serve)
        socket.wire.sends(octets + text("after") + frame(PING, b"p"), text("after"))
        assert len(socket.frames()) == 1
        assert [event["type"] for event in socket.events()] == ["websocket.disconnect"]


DIALOGUE = b"".join(
    (
        text("a"),
        frame(PING, b"1"),
        binary(octets_of(126)),
        frame(TEXT, b"\xc3", fin=False),
        frame(PING, b"2"),
        frame(CONTINUATION, b"\xa9" + b"x" * 130),
        frame(PONG, b""),
        text(""),
        frame(BINARY, b"y", fin=False),
        frame(CONTINUATION, b"", fin=True),
        close(4000, b"bye"),
    )
)
HEARD = [
    got("a"), got(octets_of(126)), got("é" + "x" * 130), got(""), got(b"y"),
    disconnected(4000, "bye"),
]  # fmt: skip
SAID = [Frame(PONG, b"1"), Frame(PONG, b"2"), closing(4000, b"bye")]


class TestCuts:
    """TCP has no messages: where octets are cut means nothing."""

    def test_whole(self, serve: Serve) -> None:
        """All of it in one read."""
        self.check(serve, [DIALOGUE])

    @pytest.mark.parametrize("size", [1, 2, 3, 5, 64])
    def test_in_pieces(self, serve: Serve, size: int) -> None:
        """In pieces of one size."""
        self.check(serve, [DIALOGUE[at : at + size] for at in range(0, len(DIALOGUE), size)])

    def test_at_every_place(self, serve: Serve) -> None:
        """In two."""
        for cut in range(1, len(DIALOGUE)):
            self.check(serve, [DIALOGUE[:cut], DIALOGUE[cut:]])

    @staticmethod
    def check(serve: Serve, pieces: list[bytes]) -> None:
        socket = Socket(serve)
        socket.wire.gets(*pieces)
        assert socket.events() == HEARD
        assert socket.frames() == SAID
        assert socket.wire.lost


@pytest.fixture(autouse=True)
def few_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here takes many turns of the event loop, and there are many cuts."""
    monkeypatch.setattr("tests.support.memory.TURNS", 15)
