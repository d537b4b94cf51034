"""The short paths beside h2 and hpack, held against them with the same octets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hpack import Decoder, Encoder
from hyperframe.frame import HeadersFrame

from daphne_like.http.h2.flood_budget import Budget
from daphne_like.http.h2.hpack_cache import (
    MAX_CACHED_LINE,
    MAX_CACHED_LINES,
    OF_CONNECTIONS,
    CachedDecoder,
    encoded_by_line,
    encoded_defaults,
    encoded_fields,
    encoded_lines,
    encoded_section,
    to_default_fields,
    to_fields,
)
from daphne_like.http.h2.state_machine import StateMachine
from daphne_like.options import Options
from h2.connection import H2Connection
from h2.events import DataReceived
from h2.exceptions import FlowControlError, ProtocolError
from tests.support.h2_blocks import asking
from tests.support.h2_frames import PREFACE, data, raw, reset, settings, window

POST = HeadersFrame(1, Encoder().encode(asking(b"POST")), flags=["END_HEADERS"]).serialize()
BEGINNING = PREFACE + settings() + POST
FULL = data(1, b"x" * 16384)
SHORT = {
    "one": data(1, b"abc"),
    "last": data(1, b"abc", ends=True),
    "some": data(1, b"abc") + data(1, b"d") + data(1, b"e", ends=True),
    "largest": FULL,
    "a window full": FULL * 4,
    "padded": data(1, b"abc", padding=5),
    "padded with nothing": data(1, b"a", padding=0) + data(1, b"b", padding=255, ends=True),
    "a window full of padding": raw(0, 8, 1, b"\xff" + b"a" + bytes(255)) * 255,
}
"""What takes the short path."""
LONG = {
    "empty": (0, data(1)),
    "empty and last": (0, data(1, ends=True)),
    "nothing but padding": (0, data(1, b"", padding=5)),
    "more padding than there is": (0, raw(0, 8, 1, b"\x04abc")),
    "no length of padding": (0, raw(0, 8, 1)),
    "padded beyond the window": (4, FULL * 3 + data(1, b"x" * 16300) + data(1, b"x", padding=90)),
    "a flag that DATA has not": (0, raw(0, 0x40, 1, b"abc")),
    "more than the window": (4, FULL * 4 + data(1, b"x")),
    "idle stream": (0, data(3, b"abc")),
    "stream 0": (0, raw(0, 0, 0, b"abc")),
    "too large": (0, raw(0, 0, 1, b"x" * 16385)),
    "behind the end": (1, data(1, b"a", ends=True) + data(1, b"b")),
    "not whole": (0, data(1, b"abc")[:-1]),
}
"""What is left to h2: the frame behind so many that are not."""


class Played:
    """A machine that has been given octets, by the short path where there is one if `short`."""

    def __init__(
        self, octets: bytes, *, short: bool, answer: Callable[[StateMachine], None] | None = None
    ) -> None:
        machine = StateMachine(Options("x:y"), Budget(lambda: 0.0))
        machine.initiate_connection()
        machine.increment_flow_control_window(100_000)  # so that a stream's is the smaller one
        self.machine = machine
        self.bodies: list[tuple[int, bytes, bool]] = []
        self.shortened = 0
        self.error: Any = None
        try:
            machine.frames.add_data(BEGINNING)
            self._play(short)
            if answer is not None:
                answer(machine)
            machine.frames.add_data(octets)
            self._play(short)
        except ProtocolError as error:
            self.error = type(error), error.error_code

    def _play(self, short: bool) -> None:
        machine = self.machine
        while True:
            part = machine.take_data() if short else None
            if part is not None:
                self.shortened += 1
                self.bodies.append(part[:3])
                continue
            for event in machine.receive_data(b""):
                if isinstance(event, DataReceived):
                    ends = event.stream_ended is not None
                    self.bodies.append((event.stream_id, bytes(event.data), ends))
            if machine.frames.last is None:
                return

    def known(self) -> dict[str, Any]:
        """Return the state to compare."""
        machine = self.machine
        return {
            "bodies": self.bodies,
            "error": self.error,
            "connection": machine.inbound_flow_control_window,
            "streams": {
                number: (
                    one.state_machine.state,
                    one.inbound_flow_control_window,
                    one.outbound_flow_control_window,
                )
                for number, one in machine.streams.items()
                if not one.closed  # the short path has forgotten them
            },
            "ended": machine._stream_closed_by(1),
            "outbound": machine.outbound_flow_control_window,
            "sent": machine.data_to_send(),
        }


HEAD = [(b":status", b"200"), (b"x", b"y")]


def answering(way: type[H2Connection], *bodies: bytes, ends: bool) -> Callable[[Any], None]:
    """An answer by the methods of `way`: the head, and DATA in frames of at most their size."""

    def answer(machine: StateMachine) -> None:
        way.send_headers(machine, 1, HEAD, ends and not bodies)
        for body in bodies:
            last = ends and body is bodies[-1]
            if way is StateMachine:
                way.send_data(machine, 1, body, last)
                continue
            starts = range(0, len(body), 16384) or (0,)
            for start in starts:
                part = body[start : start + 16384]
                way.send_data(machine, 1, part, last and start == starts[-1])

    return answer


ANSWERS: dict[str, tuple[tuple[bytes, ...], bool]] = {
    "head": ((), False),
    "head that is all": ((), True),
    "part": ((b"abc",), False),
    "parts": ((b"abc", b"", b"d"), False),
    "whole": ((b"abc", b"d"), True),
    "empty and last": ((b"abc", b""), True),
    "one frame": ((b"x" * 16384,), True),
    "frames": ((b"x" * 40000,), False),
    "frames and last": ((b"x" * 40000,), True),
    "whole frames": ((b"x" * 32768,), True),
}


class TestBodies:
    """RFC 9113, 6.1, 6.9: one result on both ways."""

    @pytest.mark.parametrize("octets", SHORT.values(), ids=SHORT)
    def test_short(self, octets: bytes) -> None:
        """State, windows, octets and errors are the same; h2 has seen none of the frames."""
        short = Played(octets, short=True)
        assert 0 < short.shortened == len(short.bodies)
        assert short.error is None
        assert short.known() == Played(octets, short=False).known()

    @pytest.mark.parametrize("octets", SHORT.values(), ids=SHORT)
    @pytest.mark.parametrize(("bodies", "ends"), ANSWERS.values(), ids=ANSWERS)
    def test_answered(self, bodies: tuple[bytes, ...], ends: bool, octets: bytes) -> None:
        """The same where the answer, or a part of it, comes before the body; and of its octets."""
        short = Played(octets, short=True, answer=answering(StateMachine, *bodies, ends=ends))
        assert 0 < short.shortened == len(short.bodies)
        assert short.error is None
        long = Played(octets, short=False, answer=answering(H2Connection, *bodies, ends=ends))
        assert short.known() == long.known()

    @pytest.mark.parametrize(("bodies", "ends"), ANSWERS.values(), ids=ANSWERS)
    def test_answer_behind_it(self, bodies: tuple[bytes, ...], ends: bool) -> None:
        """An answer to a request that is whole."""
        whole = data(1, b"abc", ends=True)
        both = []
        for way in (StateMachine, H2Connection):
            played = Played(whole, short=True)
            answering(way, *bodies, ends=ends)(played.machine)
            both.append(played.known())
        assert both[0] == both[1]

    @pytest.mark.parametrize("bodies", [(b"x" * 65536,), (b"x" * 40000, b"y" * 40000)])
    def test_more_than_the_peer_s_window(self, bodies: tuple[bytes, ...]) -> None:
        """h2 refuses more octets than the window allows."""
        with pytest.raises(FlowControlError):
            answering(StateMachine, *bodies, ends=True)(Played(b"", short=True).machine)

    @pytest.mark.parametrize(("before", "octets"), LONG.values(), ids=LONG)
    def test_long(self, before: int, octets: bytes) -> None:
        """Unusual input goes to h2, with the same results as h2 alone."""
        short = Played(octets, short=True)
        assert short.shortened == before
        assert short.known() == Played(octets, short=False).known()


def whole(number: int) -> bytes:
    """A request in one frame, the same field section each time."""
    head = Encoder().encode(asking())
    return HeadersFrame(number, head, flags=["END_HEADERS", "END_STREAM"]).serialize()


class AskedMachine:
    """A machine that was sent requests in one frame each, by the short path if `short`."""

    def __init__(self, *numbers: int, short: bool, values: dict[int, int] | None = None) -> None:
        self.machine = machine = StateMachine(Options("x:y"), Budget(lambda: 0.0))
        machine.initiate_connection()
        self.short = short
        self.errors: list[Any] = []
        self.takes(PREFACE + settings(values))
        # The first section has the table's size in front of it (RFC 7541, 4.2).
        self.takes(whole(1))
        machine.send_headers(1, HEAD, True)
        machine.data_to_send()
        for number in numbers:
            self.takes(whole(number))

    def takes(self, octets: bytes) -> None:
        """Process input from the peer."""
        machine = self.machine
        machine.frames.add_data(octets)
        while True:
            try:
                if self.short and machine.take_request() is not None:
                    continue
                machine.receive_data(b"")
            except ProtocolError as error:
                self.errors.append((type(error), error.error_code))
                return
            if machine.frames.last is None:
                return

    def answers(self, number: int, body: bytes) -> bool:
        """Answer, in one step where there is one."""
        machine = self.machine
        if self.short:
            return machine.send_response(number, encoded_section(HEAD), body)
        H2Connection.send_headers(machine, number, HEAD, not body)
        if body:
            H2Connection.send_data(machine, number, body, True)
        return True

    def known(self) -> dict[str, Any]:
        """Return the state to compare."""
        machine = self.machine
        return {
            "errors": self.errors,
            "open": {
                number: (one.state_machine.state, one.outbound_flow_control_window)
                for number, one in machine.streams.items()
                if not one.closed
            },
            "ended": [machine._stream_closed_by(number) for number in range(1, 12, 2)],
            "outbound": machine.outbound_flow_control_window,
            "sent": machine.data_to_send(),
        }


BEHIND = {
    "window": window(3, 1000),
    "reset": reset(3),
    "data": data(3, b"abc"),
    "head": whole(3),
    "trailers": raw(1, 5, 3, b"\x04\x01a\x01b"),
    "an older one": whole(1),
    "the next one": whole(7),
}


class TestWholeRequests:
    """RFC 9113, 8.1: a request in one frame, its answer in one step, and what comes after it."""

    @pytest.mark.parametrize("body", [b"", b"abc", b"x" * 16384], ids=len)
    def test_answer(self, body: bytes) -> None:
        """The octets and the state are those that h2 comes to."""
        both = []
        for short in (True, False):
            asked = AskedMachine(3, 5, short=short)
            assert asked.answers(3, body)
            both.append(asked.known())
        assert both[0] == both[1]

    @pytest.mark.parametrize("octets", BEHIND.values(), ids=BEHIND)
    def test_frames_behind_it(self, octets: bytes) -> None:
        """On a stream that is over, and forgotten, a frame means what it means to h2."""
        both = []
        for short in (True, False):
            asked = AskedMachine(3, 5, short=short)
            asked.answers(3, b"abc")
            asked.takes(octets)
            both.append(asked.known())
        assert both[0] == both[1]

    def test_not_at_once(self) -> None:
        """Nothing is done where the body is larger than a frame, or than a window."""
        asked = AskedMachine(3, short=True, values={4: 100})
        before = asked.machine.streams[3].outbound_flow_control_window
        assert before == 100
        for body in (b"x" * 101, b"x" * 16385):
            assert not asked.answers(3, body)
        assert asked.machine.streams[3].outbound_flow_control_window == before
        assert asked.machine.data_to_send() == b""
        assert asked.answers(3, b"x" * 100)
        assert not asked.answers(3, b"")  # it is over

    def test_stream_used_again(self) -> None:
        """A stream object that is reused keeps nothing of the previous stream."""
        asked = AskedMachine(3, short=True)
        machine = asked.machine
        first = machine.streams[3]
        asked.answers(3, b"x" * 1000)
        asked.takes(settings({4: 5000}) + whole(5))
        second = machine.streams[5]
        assert second is first
        fresh = AskedMachine(5, short=True, values={4: 5000}).machine.streams[5]
        assert seen(second) == seen(fresh)

    def test_streams_that_are_over_are_forgotten(self) -> None:
        """However many there were, a bounded number is held on to."""
        asked = AskedMachine(short=True)
        machine = asked.machine
        for number in range(3, 2401, 2):
            asked.takes(whole(number))
            asked.answers(number, b"")
        assert not machine.streams
        assert len(machine._closed_streams) <= machine.MAX_CLOSED_STREAMS
        assert len(machine._stream_pool) == 1


def seen(stream: Any) -> dict[str, Any]:
    """All there is to a stream."""
    parts = (stream, stream.state_machine, stream._inbound_window_manager)
    return {
        f"{type(part).__name__}.{name}": value
        for part in parts
        for name, value in vars(part).items()
        if part is not stream or value not in parts
    }


class TestWindows:
    """RFC 9113, 6.9: WINDOW_UPDATE as h2 writes it."""

    @pytest.mark.parametrize("number", [None, 1])
    def test_opened(self, number: int | None) -> None:
        """The same frame, and the same window afterwards."""
        both = []
        for open_window in (
            StateMachine.increment_flow_control_window,
            H2Connection.increment_flow_control_window,
        ):
            played = Played(FULL * 2, short=True)
            open_window(played.machine, 20000, number)
            both.append(played.known())
        assert both[0] == both[1]
        assert both[0]["sent"].endswith(raw(8, 0, number or 0, (20000).to_bytes(4, "big")))

    @pytest.mark.parametrize("increment", [0, 1 << 31])
    def test_refused(self, increment: int) -> None:
        """h2 refuses values that no frame can carry."""
        with pytest.raises(ValueError, match="must be between"):
            Played(FULL, short=True).machine.increment_flow_control_window(increment, 1)


LITERAL = b"\x04\x05/path"
"""RFC 7541, 6.2.2: `:path: /path`, not to be indexed."""
INDEXED = b"\x44\x05/path"
"""RFC 7541, 6.2.1: the same, indexed."""
NEWEST = b"\xbe"
OTHER = b"\x44\x06/other"
RESIZED = b"\x20\x3f\xe1\x1f"
"""RFC 7541, 6.3: to no octet, and back to 4096: the table is empty."""
SMALL = b"\x3f\x3b"
"""To 90 octets, which are two entries."""
LARGE = b"\x3f\xe1\x1f"
"""To 4096."""
SEQUENCES = {
    "literals": [LITERAL, LITERAL, LITERAL],
    "behind another": [INDEXED, NEWEST, LITERAL, NEWEST, OTHER, NEWEST, LITERAL, NEWEST],
    "equal ones": [INDEXED, OTHER, INDEXED, b"\xbf", INDEXED, b"\xbf", b"\xc0"],
    "one that evicts another": [SMALL + INDEXED, NEWEST, OTHER, NEWEST, b"\xbf", INDEXED, b"\xbf"],
    "an equal one": [SMALL + OTHER, INDEXED, b"\xbf", INDEXED, b"\xbf"],
    "emptied": [INDEXED, NEWEST, RESIZED + OTHER, NEWEST, RESIZED + INDEXED, NEWEST],
    "size that changes": [LARGE, SMALL, LARGE, INDEXED, OTHER, INDEXED, b"\xc0"],
}


class TestDecoder:
    """RFC 7541, 2.2: blocks change the table, in the order in which they come."""

    @pytest.mark.parametrize("blocks", SEQUENCES.values(), ids=SEQUENCES)
    def test_as_hpack(self, blocks: list[bytes]) -> None:
        """Each block has the fields that hpack alone finds, twice over."""
        ours, hpack = CachedDecoder(1000, Budget(lambda: 0.0)), Decoder(1000)
        for block in blocks * 2:
            assert list(ours.decode(block, raw=True)) == list(hpack.decode(block, raw=True))

    def test_literal_is_decoded_once(self) -> None:
        """A block that does not change the table is cached; any other is decoded again."""
        decoder = CachedDecoder(1000, Budget(lambda: 0.0))
        assert decoder.decode(LITERAL, raw=True) is decoder.decode(LITERAL, raw=True)
        assert decoder.decode(INDEXED, raw=True) is not decoder.decode(INDEXED, raw=True)


LINES = {
    "plain": [b"Content-Type: text/plain\r\n", b"X-Y: Z\r\n"],
    "white space": [b"A:  b \r\n", b"C: \r\n"],
    "of HTTP/1.1": [b"A: b\r\n", b"Connection: x\r\n", b"Keep-Alive: 1\r\n", b"Upgrade: a\r\n"],
    "several": [b"Set-Cookie: a=b\r\n", b"Set-Cookie: c=d\r\n"],
    "long": [b"A: " + b"x" * 5000 + b"\r\n"],
    "left out": [b"A: b\r\n", b""],
    "none": [],
}


class TestLines:
    """RFC 9113, 8.2: lines of HTTP/1.1 as fields of HTTP/2, in HPACK."""

    @pytest.mark.parametrize("lines", LINES.values(), ids=LINES)
    def test_encoded(self, lines: list[bytes]) -> None:
        """Twice the same: what a decoder makes of it are the fields."""
        for _ in range(2):
            decoded = Decoder(1 << 20).decode(encoded_lines(lines), raw=True)
            assert list(decoded) == to_fields(lines)
        names = [name for name, _ in to_fields(lines)]
        assert all(name == name.lower() and name not in OF_CONNECTIONS for name in names)

    def test_bounded(self) -> None:
        """Fields of applications do not fill the memory."""
        for number in range(MAX_CACHED_LINES + 10):
            encoded_lines([b"X: %d\r\n" % number])
        encoded_lines([b"Y: " + b"y" * MAX_CACHED_LINE + b"\r\n"])
        assert len(encoded_by_line.entries) <= MAX_CACHED_LINES
        assert len(encoded_fields.entries) <= MAX_CACHED_LINES
        assert max(map(len, encoded_by_line.entries)) <= MAX_CACHED_LINE

    def test_compressed(self) -> None:
        """Fields of every response are compressed."""
        lines = b"Date: Wed, 25 Nov 2026 23:14:14 GMT\r\nServer: daphne-like\r\n"
        compressed = encoded_defaults(lines)
        assert len(compressed) < len(encoded_lines(lines.splitlines(keepends=True)))
        assert list(Decoder().decode(compressed, raw=True)) == to_default_fields(lines)
