"""The WebSocket workloads: their octets, their application, what is checked, all in memory."""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import Any

import pytest

from benchmarks.applications import application
from benchmarks.checks import WrongAnswerError
from benchmarks.generators import parse
from benchmarks.load import LoadError, Summary
from benchmarks.websocket import frames, workloads
from benchmarks.websocket.client import check_opening
from benchmarks.websocket.frames import Frame, Inflater, Opcode
from benchmarks.websocket.workloads import WEBSOCKET_WORKLOADS, WebSocketWorkload

RESPONSE = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Accept: {frames.ACCEPT}"
)


class TestEncoded:
    """RFC 6455, 5.2 and 5.7: a client's frames."""

    def test_example(self) -> None:
        """5.7: "Hello", masked with the example's own key."""
        frame = frames.encoded(Frame(Opcode.TEXT, b"Hello"))
        assert frame == bytes.fromhex("818537fa213d7f9f4d5158")

    def test_compressed(self) -> None:
        """RFC 7692, 6: RSV1 marks a compressed message."""
        assert frames.encoded(Frame(Opcode.BINARY, b"", rsv1=True))[0] == 0xC2

    @pytest.mark.parametrize(
        ("length", "head"),
        [
            (125, "82fd"),
            (126, "82fe007e"),
            (65535, "82feffff"),
            (65536, "82ff0000000000010000"),
        ],
    )
    def test_length(self, length: int, head: str) -> None:
        """5.2: the shortest form of the length, on both sides of each limit."""
        octets = frames.encoded(Frame(Opcode.BINARY, b"x" * length))
        assert octets.startswith(bytes.fromhex(head))
        assert len(octets) == len(head) // 2 + 4 + length


class TestDecoded:
    """RFC 6455, 5.2 and 5.7: a server's frames."""

    HELLO = bytes.fromhex("810548656c6c6f")

    def test_example(self) -> None:
        """5.7: "Hello" without mask; what follows is left alone."""
        assert frames.decoded(self.HELLO + b"rest") == (Frame(Opcode.TEXT, b"Hello"), 7)

    @pytest.mark.parametrize("length", [5, 125, 126, 65535, 65536])
    def test_cut_short(self, length: int) -> None:
        """A frame that is not there yet is no frame, wherever it is cut."""
        form = {5: b"\x05", 125: b"\x7d", 126: b"\x7e\x00\x7e", 65535: b"\x7e\xff\xff"}
        size = form.get(length, b"\x7f" + length.to_bytes(8, "big"))
        octets = b"\x82" + size + b"x" * length
        assert frames.decoded(octets) == (Frame(Opcode.BINARY, b"x" * length), len(octets))
        for cut in (0, 1, len(size), len(octets) - 1):
            assert frames.decoded(octets[:cut]) is None

    @pytest.mark.parametrize("octets", ["818500000000", "0105"])
    def test_what_no_server_should_send(self, octets: str) -> None:
        """A masked frame, or a fragment, is refused: what it would measure is something else."""
        with pytest.raises(ValueError, match="expected a whole one without mask"):
            frames.decoded(bytes.fromhex(octets))


class TestCompressed:
    """RFC 7692, 7.2: compressed messages."""

    def test_server_may_keep_or_forget_its_context(self) -> None:
        """A message sent again and again is understood with the context of the last ones too."""
        payload = frames.message(workloads.POSITIONS[0], deflate=True).payload
        keeping = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        for _ in range(3):
            whole = keeping.decompress(payload + b"\x00\x00\xff\xff")
            assert whole.decode() == workloads.POSITIONS[0]

    def test_inflater_keeps_the_context(self) -> None:
        """7.2.3.2: a message may refer to the one before it."""
        inflater, compressor = Inflater(), zlib.compressobj(wbits=-15)
        for _ in range(2):
            octets = compressor.compress(b"again") + compressor.flush(zlib.Z_SYNC_FLUSH)
            frame = Frame(Opcode.TEXT, octets[:-4], rsv1=True)
            assert inflater.content(frame) == "again"

    def test_without_compression(self) -> None:
        """A message goes as it is where nothing is negotiated."""
        assert frames.message("text", deflate=False) == Frame(Opcode.TEXT, b"text")
        assert Inflater().content(Frame(Opcode.BINARY, b"octets")) == b"octets"


class TestOpening:
    """RFC 6455, 4: the opening handshake."""

    def test_request(self) -> None:
        """4.1: what a client has to send, and no extension unless it is the workload's."""
        lines = frames.opening("/echo", 8000, deflate=False).decode().split("\r\n")
        assert lines == [
            "GET /echo HTTP/1.1",
            "Host: 127.0.0.1:8000",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {frames.KEY}",
            "Sec-WebSocket-Version: 13",
            "",
            "",
        ]

    def test_offer(self) -> None:
        """Deflate is offered as browsers do."""
        request = frames.opening("/echo", 8000, deflate=True)
        assert (
            b"\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits" in request
        )

    def test_accepted(self) -> None:
        """4.2.2: 101 and the accept value; the extension with any parameters."""
        check_opening(RESPONSE.encode(), deflate=False)
        extension = "\r\nsec-websocket-extensions: permessage-deflate; server_max_window_bits=12"
        check_opening((RESPONSE + extension).encode(), deflate=True)

    @pytest.mark.parametrize(
        ("head", "deflate", "reason"),
        [
            ("HTTP/1.1 403 Forbidden", False, "expected 101, got HTTP/1.1 403 Forbidden"),
            (RESPONSE.replace(frames.ACCEPT, "x"), False, "not the value owed"),
            (RESPONSE, True, "permessage-deflate is not taken"),
            (RESPONSE + "\r\nSec-WebSocket-Extensions: permessage-deflate", False, "none was"),
        ],
    )
    def test_refused(self, head: str, deflate: bool, reason: str) -> None:
        """Who refuses, or negotiates something else, is out of the workload."""
        with pytest.raises(WrongAnswerError, match=reason):
            check_opening(head.encode(), deflate)


class Conversation:
    """The application on one connection, its events put in and its messages taken out."""

    def __init__(self, path: str) -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        scope: Any = {"type": "websocket", "path": path}
        self.events.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(
            application(scope, self.events.get, self.messages.put)  # type: ignore[arg-type]
        )

    async def exchange(self, **event: Any) -> Any:
        self.events.put_nowait({"type": "websocket.receive", **event})
        return await self.messages.get()

    async def end(self) -> None:
        self.events.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self.task


class TestApplication:
    """What every contender serves."""

    @pytest.mark.parametrize("event", [{"text": "hello"}, {"bytes": b"octets"}, {"text": ""}])
    def test_echo(self, event: dict[str, Any]) -> None:
        """Text comes back as text, binary as binary; an empty message is a message."""

        async def run() -> Any:
            conversation = Conversation("/echo")
            accepted = await conversation.messages.get()
            answer = await conversation.exchange(**event)
            await conversation.end()
            return accepted["type"], answer

        whole = {"type": "websocket.send", "text": None, "bytes": None, **event}
        assert asyncio.run(run()) == ("websocket.accept", whole)

    def test_broadcast(self) -> None:
        """One asks, all receive; who has gone is sent nothing."""

        async def run() -> list[Any]:
            first, second, third = (Conversation("/broadcast") for _ in range(3))
            for one in (first, second, third):
                await one.messages.get()
            await first.end()
            answers = [await third.exchange(text="go"), await second.messages.get()]
            await second.end()
            await third.end()
            assert first.messages.empty()
            return answers

        news = {"type": "websocket.send", "text": workloads.NEWS, "bytes": None}
        assert asyncio.run(run()) == [news, news]

    def test_other_paths(self) -> None:
        """A path that is not there is refused before it is accepted."""

        async def run() -> Any:
            conversation = Conversation("/none")
            await conversation.task
            return conversation.messages.get_nowait()

        assert asyncio.run(run()) == {"type": "websocket.close", "code": 1000, "reason": None}


class TestWorkloads:
    """What is measured is what the titles say."""

    def test_octets(self) -> None:
        """32 octets, 8 KiB, and JSON of about 1 KiB."""
        assert len(workloads.SHORT.encode()) == len(workloads.NEWS.encode()) == 32
        assert len(workloads.LONG) == 8192
        assert {len(one.encode()) // 100 for one in workloads.POSITIONS} <= {9, 10, 11}

    def test_positions(self) -> None:
        """The JSON differs from message to message, and compresses as JSON does."""
        assert len(set(workloads.POSITIONS)) == len(workloads.POSITIONS)
        for one in workloads.POSITIONS:
            assert json.loads(one)["vehicles"]
            share = len(frames.message(one, deflate=True).payload) / len(one.encode())
            assert 0.2 < share < 0.5

    @pytest.mark.parametrize("workload", WEBSOCKET_WORKLOADS, ids=lambda one: one.name)
    def test_an_answer_for_each_message(self, workload: WebSocketWorkload) -> None:
        """An echo owes what was sent, a broadcast the news."""
        broadcast = workload is workloads.BROADCAST
        assert workload.answers == ((workloads.NEWS,) if broadcast else workload.messages)


class TestTally:
    """The line that the load prints."""

    def test_counts(self) -> None:
        """What was done, in which time, and what the load itself took."""
        line = '{"count": 1200, "seconds": 2.0, "cpu_seconds": 0.5}'
        assert parse(line) == Summary(1200, 2.0, 0.5)

    def test_nothing_voids_the_slice(self) -> None:
        """Nothing done is no measurement, and no division by zero."""
        with pytest.raises(LoadError, match="nothing was done"):
            parse('{"count": 0, "seconds": 2.0, "cpu_seconds": 0.5}')
