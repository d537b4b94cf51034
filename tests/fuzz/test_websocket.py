"""WebSocket messages of every kind and cut, and octets that are none."""

from __future__ import annotations

import asyncio
import zlib
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daphne_like.runtime.timer_wheel import NEVER
from tests.support.fuzzing import examples
from tests.support.memory import Memory, Wire
from tests.support.websocket_compression import DEFLATE, Deflating
from tests.support.websocket_opcodes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tests.support.websocket_peer import Frame, FrameReader, close, frame, opening, read_frames

SETTINGS = settings(
    max_examples=examples(30),
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

TEXTS = st.text(max_size=40) | st.text("a\u00e4\u4e16\U0001f30d\0", max_size=300)
SIZES = st.sampled_from([0, 1, 124, 125, 126, 127, 65534, 65535, 65536, 65537, 131073, 200000])
SIZED_TEXTS = st.builds(
    lambda size, unit: (unit * size)[:size], SIZES, st.sampled_from(["ab", "ä"])
)
SIZED_OCTETS = st.builds(
    lambda size, unit: (unit * (size // len(unit) + 1))[:size], SIZES, st.binary(min_size=1)
)
CUTS = st.lists(st.floats(0, 1), max_size=10)
MASKS = st.binary(min_size=4, max_size=4)


def cut(octets: bytes, places: list[float]) -> list[bytes]:
    """The octets in parts; empty ones too, where a place stands twice."""
    bounds = [0, *sorted(int(place * len(octets)) for place in places), len(octets)]
    return [octets[start:end] for start, end in pairwise(bounds)]


class Client(Deflating):
    """Compresses with its own window, so that any block may have BFINAL (RFC 7692, 7.2.3.4)."""

    window = b""

    def compress_in(self, streams: list[bytes]) -> bytes:
        """The payload of a message; each of its parts but the last ends with BFINAL."""
        if b"client_no_context_takeover" in self.answer:
            self.window = b""
        sent = b""
        for index, octets in enumerate(streams):
            compressor = zlib.compressobj(6, zlib.DEFLATED, self.bits, zdict=self.window)
            is_last = index == len(streams) - 1
            end = compressor.compress(octets)
            end += compressor.flush(zlib.Z_SYNC_FLUSH if is_last else zlib.Z_FINISH)
            sent += end[:-4] if is_last else end
            self.window = (self.window + octets)[-(1 << -self.bits) :]
        return sent


class Message:
    """What a client sends as one message.

    Attributes:
        content: str or bytes.
        pings: payloads of pings between its fragments.
        squeezed: it is compressed, where that was negotiated.
        finals: where in it blocks with BFINAL end.
    """

    def __init__(
        self,
        content: Any,
        cuts: list[float],
        pings: list[bytes],
        mask: bytes,
        squeezed: bool,
        finals: list[float],
    ) -> None:
        self.content = content
        self.opcode = TEXT if isinstance(content, str) else BINARY
        self.octets = content.encode() if isinstance(content, str) else content
        self.cuts = cuts
        self.pings = pings
        self.mask = mask
        self.squeezed = squeezed
        self.finals = finals

    def frames(self, client: Client) -> bytes:
        squeezed = self.squeezed and client.is_on
        payload = self.octets
        if squeezed:
            payload = client.compress_in(cut(self.octets, self.finals))
        sent = b""
        parts = cut(payload, self.cuts)
        for index, part in enumerate(parts):
            opcode = CONTINUATION if index else self.opcode
            fin = index == len(parts) - 1
            rsv1 = squeezed and not index
            sent += frame(opcode, part, fin=fin, rsv1=rsv1, mask=self.mask)
            if index < len(self.pings) and not fin:
                sent += frame(PING, self.pings[index], mask=self.mask[::-1])
        return sent

    @property
    def sent_pings(self) -> list[bytes]:
        return self.pings[: len(self.cuts)]

    def __repr__(self) -> str:
        what = f"{type(self.content).__name__} of {len(self.octets)}"
        return f"<{what} cut at {self.cuts} pings {self.pings} {self.squeezed} {self.finals}>"


MESSAGES = st.lists(
    st.builds(
        Message,
        TEXTS | st.binary(max_size=200) | SIZED_TEXTS | SIZED_OCTETS,
        st.lists(st.floats(0, 1), max_size=4),
        st.lists(st.binary(max_size=125), max_size=3),
        MASKS,
        st.booleans(),
        st.lists(st.floats(0, 1), max_size=5),
    ),
    max_size=12,
)
OFFERS = st.sampled_from(
    [
        (),
        (DEFLATE,),
        (DEFLATE + b"; client_max_window_bits",),
        (DEFLATE + b"; client_max_window_bits=9; server_max_window_bits=9",),
        (DEFLATE + b"; client_no_context_takeover; server_no_context_takeover",),
    ]
)

FRAMES = st.builds(
    frame,
    st.sampled_from([CONTINUATION, TEXT, BINARY, 3, 7, CLOSE, PING, PONG, 11]),
    st.binary(max_size=130)
    | st.text(max_size=10).map(str.encode)
    | st.sampled_from([b"\x03\xe8", b"\x03\xe8bye", b"\x03\xed", b"\x0f\xa0", b"\xff", b"\x03"])
    | st.just(b"x" * 500),
    fin=st.booleans(),
    rsv1=st.booleans(),
    mask=MASKS,
)
VALID_FRAMES = st.builds(frame, st.sampled_from([TEXT, BINARY, PING]), st.just(b"ok"), mask=MASKS)
HEADS = st.sampled_from(
    [
        b"\x81\x02ok",  # not masked
        b"\x81\xfe\x00\x05",  # length not the shortest
        b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00",  # the top bit
        b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",
        b"\x89\xfe\x00\x7e",  # a long ping
        b"\x82\xff\0\0\0\0\0\x10\0\1\0\0\0\0",  # an octet over the limit
        b"\xf1\x80",
    ]
)
CUT_FRAMES = st.builds(lambda octets, at: octets[: int(at * len(octets))], FRAMES, st.floats(0, 1))
LONG_CONTROL = st.builds(  # a control frame whose length has a long form
    lambda opcode, size, form, mask: b"".join(
        (
            bytes((0x80 | opcode, 0x80 | (126 if form == 2 else 127))),
            size.to_bytes(form, "big"),
            mask,
            bytes(size),
        )
    ),
    st.sampled_from([CLOSE, PING, PONG]),
    st.integers(0, 130),
    st.sampled_from([2, 8]),
    MASKS,
)
FINAL_BLOCKS = st.builds(  # compressed, with many final blocks, and something behind them
    lambda block, number, rest, mask: frame(TEXT, block * number + rest, rsv1=True, mask=mask),
    st.sampled_from([b"\x03\x00", b"\xf3\x48\xcd\xc9\xc9\x07\x00", b"\x01\x00\x00\xff\xff"]),
    st.integers(1, 200),
    st.sampled_from([b"", b"\x00", b"\x06", b"\x02\x3c\x00\x00"]) | st.binary(max_size=10),
    MASKS,
)
MANY_FRAMES = st.builds(  # more than one turn of the event loop takes
    lambda one, number: one * number,
    st.sampled_from(
        [
            frame(TEXT),
            frame(PING),
            frame(CONTINUATION, b"a", fin=False),
            frame(TEXT, b"", fin=False) + frame(CONTINUATION),
        ]
    ),
    st.sampled_from([255, 256, 257, 1100]),
)
GARBAGE = st.lists(
    VALID_FRAMES
    | FRAMES
    | CUT_FRAMES
    | HEADS
    | LONG_CONTROL
    | FINAL_BLOCKS
    | MANY_FRAMES
    | st.binary(max_size=30),
    max_size=12,
).map(b"".join)


class Application:
    """Echoes, and notes what it got.

    Args:
        manner: 1 closes after the first message, 2 raises, 3 reads nothing.
    """

    def __init__(self, manner: int = 0) -> None:
        self.manner = manner
        self.received: list[Any] = []
        self.disconnect: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        if self.manner == 3:
            await asyncio.get_running_loop().create_future()
        while (event := await receive())["type"] == "websocket.receive":
            text, octets = event.get("text"), event.get("bytes")
            assert (text is None) != (octets is None)
            self.received.append(octets if text is None else text)
            try:
                await send({"type": "websocket.send", "text": text, "bytes": octets})
            except OSError:
                continue  # what came before the end is read nevertheless
            if self.manner == 1:
                await send({"type": "websocket.close", "code": 4000})
            elif self.manner == 2:
                raise ValueError
        self.disconnect = (event["code"], event["reason"])


class CheckedServer:
    """A server in memory whose event loop must not meet an error."""

    def __init__(self, application: Any, **settings: Any) -> None:
        self.memory = Memory(application, **settings)
        self.errors: list[Any] = []
        self.memory.loop.set_exception_handler(lambda _, context: self.errors.append(context))

    def open(self, *fields: bytes) -> tuple[Wire, Client]:
        """An accepted WebSocket."""
        wire = self.memory.connect().sends(opening(b"/", *fields))
        head = wire.take()
        assert head.startswith(b"HTTP/1.1 101 "), head
        return wire, Client(head)

    def settle(self) -> None:
        """As Memory.settle, as often as many messages need."""
        for _ in range(20):
            self.memory.settle()

    def close(self) -> None:
        self.memory.close()
        assert self.errors == []


def read(octets: bytes, client: Deflating) -> tuple[list[Any], list[bytes], Frame | None]:
    """The server's messages, its pongs, its close frame, behind which nothing comes."""
    frames = read_frames(octets)
    messages: list[Any] = []
    pongs: list[bytes] = []
    last: Frame | None = None
    parts: list[Frame] = []
    for one in frames:
        assert last is None, "a frame after the close frame"
        if one.opcode == CLOSE:
            last = one
        elif one.opcode == PONG:
            pongs.append(one.payload)
        elif one.opcode != PING:
            assert (one.opcode == CONTINUATION) == bool(parts)
            parts.append(one)
            assert not one.rsv1 or (client.is_on and len(parts) == 1)
            if one.fin:
                payload = b"".join(part.payload for part in parts)
                if parts[0].rsv1:
                    payload = client.decompress(payload)
                messages.append(payload.decode() if parts[0].opcode == TEXT else payload)
                parts = []
    assert not parts
    return messages, pongs, last


class TestMessages:
    """RFC 6455, 5 and 6: what is sent is what arrives, however it is framed and cut."""

    @SETTINGS
    @given(MESSAGES, OFFERS, CUTS, st.booleans())
    def test_unchanged_and_in_order(
        self, messages: list[Message], offer: tuple[bytes, ...], cuts: list[float], pauses: bool
    ) -> None:
        """W11, W24, W25, W10: every message both ways, every ping answered, then the close."""
        application = Application()
        server = CheckedServer(application)
        try:
            wire, client = server.open(*offer)
            assert client.is_on == bool(offer)
            sent = b"".join(message.frames(client) for message in messages)
            (wire.sends if pauses else wire.gets)(*cut(sent, cuts))
            server.settle()
            contents = [message.content for message in messages]
            assert application.received == contents
            received, pongs, last = read(wire.take(), client)
            assert received == contents
            assert pongs == [ping for message in messages for ping in message.sent_pings]
            assert last is None
            wire.gets(close(4001, "Größe".encode()))
            assert read(wire.take(), client)[2] == Frame(CLOSE, b"\x0f\xa1" + "Größe".encode())
            assert application.disconnect == (4001, "Größe")
            wire.vanishes()
            assert not server.memory.server.instances
            assert not server.memory.server.connections
        finally:
            server.close()

    @SETTINGS
    @given(MESSAGES, CUTS)
    def test_with_the_handshake(self, messages: list[Message], cuts: list[float]) -> None:
        """W21: the same when all of it, the handshake too, comes before anything is answered."""
        application = Application()
        server = CheckedServer(application)
        try:
            wire = server.memory.connect()
            plain = Client(b"")
            sent = opening(b"/") + b"".join(message.frames(plain) for message in messages)
            for part in cut(sent, cuts):
                if part:
                    wire.protocol.dataReceived(part)
            server.settle()
            contents = [message.content for message in messages]
            assert application.received == contents
            head, _, octets = wire.take().partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 ")
            assert read(octets, plain)[0] == contents
        finally:
            server.close()


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
class TestGarbage:
    """RFC 6455, 7.1.7 and 7.4: whatever comes, the server lives, closes with a code, and serves."""

    @SETTINGS
    @given(GARBAGE, OFFERS, CUTS, st.integers(0, 3), st.booleans(), st.integers(0, 3))
    def test_survives(
        self,
        octets: bytes,
        offer: tuple[bytes, ...],
        cuts: list[float],
        manner: int,
        pauses: bool,
        end: int,
    ) -> None:
        """W42, S27: nothing escapes; a close frame that may be sent is the last, or there is none.

        What the reader of frames does not allow is a failure: a masked frame, a code that no
        frame may carry, a part of a frame.
        """
        application = Application(manner)
        server = CheckedServer(application, application_close_timeout=1)
        memory = server.memory
        try:
            wire, _ = server.open(*offer)
            for part in cut(octets, cuts):
                if part and not wire.lost:
                    wire.protocol.dataReceived(part)
                    if pauses:
                        memory.settle()
            server.settle()
            if not wire.lost:
                if end == 1:
                    wire.fin()
                # Nobody is pinged whose answer the application would have to make room for.
                elif end == 2 or (end == 0 and wire.paused):
                    wire.vanishes()
                elif end == 3 and wire.producer is not None:
                    wire.stops_reading()
            for _ in range(30):
                memory.passes(10)
            assert wire.lost
            assert not memory.server.instances
            assert not memory.server.connections
            frames = read_frames(wire.take())
            assert CLOSE not in [one.opcode for one in frames[:-1]]
            application.manner = 0
            application.received = []
            other, plain = server.open()
            other.gets(frame(TEXT, b"still serving"))
            assert application.received == ["still serving"]
            assert read(other.take(), plain)[0] == ["still serving"]
        finally:
            server.close()

    @SETTINGS
    @given(GARBAGE, OFFERS, CUTS)
    def test_same_answer(self, octets: bytes, offer: tuple[bytes, ...], cuts: list[float]) -> None:
        """S22: messages, pongs and close code do not depend on how the octets were cut."""
        seen = []
        for parts in (cut(octets, []), cut(octets, cuts)):
            application = Application()
            server = CheckedServer(application)
            try:
                wire, _ = server.open(*offer)
                for part in parts:
                    if part and not wire.lost:
                        wire.protocol.dataReceived(part)
                        server.memory.settle()
                server.settle()
                while wire.paused and not wire.lost:  # many frames have many turns
                    server.settle()
                frames = FrameReader().feed(wire.take())
                codes = [one.code for one in frames if one.opcode == CLOSE]
                assert wire.closing or wire.producer is not None
                assert wire.lost or wire.protocol.upgraded_to.deadline != NEVER
                seen.append((application.received, codes))
            finally:
                server.close()
        assert seen[0] == seen[1]
