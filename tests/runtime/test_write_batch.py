"""Writes at the end of a turn of the event loop: all of them, each once, in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.runtime.write_batch import WRITTEN_ALONE
from daphne_like.websocket.output import MAX_FRAGMENT_SIZE
from tests.support.applications import GET, GET_10, body, sending, start
from tests.support.memory import Memory, Wire
from tests.support.websocket_peer import opening, read_frames

Serve = Callable[..., Memory]

ANSWER = sending(start(), body(b"x"))


@pytest.fixture(name="serve")
def serve_busily(serve: Serve) -> Serve:
    """As `serve`, with an application that runs all the time: answers do not go out alone."""

    def start(application: Any) -> Memory:
        async def serves(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/waits":
                await asyncio.Event().wait()
            await application(scope, receive, send)

        memory = serve(serves)
        memory.connect().sends(GET.replace(b"/ ", b"/waits ", 1))
        return memory

    return start


def asked(memory: Memory, count: int, octets: bytes = GET) -> list[Wire]:
    """Connections that have all sent a request in the same turn."""
    wires = [memory.connect() for _ in range(count)]
    for wire in wires:
        wire.protocol.dataReceived(octets)
    return wires


def tell_writes(wire: Wire, told: Callable[[Wire], object]) -> None:
    """Call `told` behind each write."""
    write = wire.write

    def writes(data: bytes) -> None:
        write(data)
        told(wire)

    wire.write = writes  # type: ignore[method-assign]


class TestTogether:
    def test_alone(self) -> None:
        """The answer of the only application that runs waits for nobody."""
        seen: list[bytes] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await ANSWER(scope, receive, send)
            seen.append(wire.written)

        memory = Memory(application)
        wire = memory.connect()
        wire.sends(GET)
        memory.close()
        assert seen[0].endswith(b"\r\n\r\nx")

    def test_applications_first(self, serve: Serve) -> None:
        """All applications of a turn run before the first answer is written."""
        events: list[str] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await ANSWER(scope, receive, send)
            events.append("answered")

        memory = serve(application)
        wires = asked(memory, 3)
        for wire in wires:
            tell_writes(wire, lambda _: events.append("written"))
        memory.settle()
        assert events == 3 * ["answered"] + 3 * ["written"]
        assert all(wire.written.endswith(b"\r\n\r\nx") for wire in wires)

    def test_one_that_fails(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """A transport that raises loses its connection; the others get their answers."""

        def fails(data: bytes = b"") -> None:
            raise OSError("broken")

        memory = serve(ANSWER)
        memory.loop.set_exception_handler(lambda loop, context: None)
        first, second, third, fourth = asked(memory, 4)
        second.write = fails  # type: ignore[method-assign]
        third.write = third.abortConnection = fails  # type: ignore[method-assign]
        with caplog.at_level(logging.ERROR, "daphne_like.server"):
            memory.settle()
        assert [wire.lost for wire in (first, second, third, fourth)] == [False, True, False, False]
        assert first.written == fourth.written
        assert first.written.endswith(b"\r\n\r\nx")
        assert [record.exc_info[0] for record in caplog.records if record.exc_info] == 2 * [OSError]

    def test_gone_meanwhile(self, serve: Serve) -> None:
        """A connection that is lost between answer and write harms nobody."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await ANSWER(scope, receive, send)
            if scope["path"] == "/gone":
                gone._lose(ConnectionError())

        memory = serve(application)
        gone = memory.connect()
        gone.protocol.dataReceived(GET.replace(b"/ ", b"/gone ", 1))
        (other,) = asked(memory, 1)
        memory.settle()
        assert gone.written == b""
        assert other.written.endswith(b"\r\n\r\nx")
        assert not memory.server.context.writes.pending


class TestOrder:
    """Whatever a connection does after it has put an answer off comes after that answer."""

    @pytest.mark.parametrize(
        "request_", [GET_10, GET.replace(b"/ ", b"/close ", 1)], ids=["peer", "application"]
    )
    def test_close(self, serve: Serve, request_: bytes) -> None:
        """An answer that is the last one is out before the transport is told of the end."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            close = [(b"connection", b"close")] if scope["path"] == "/close" else []
            await send(start(headers=close))
            await send(body(b"x"))

        (wire,) = asked(serve(application), 1, request_)
        at_end: list[bytes] = []
        for name in ("loseConnection", "loseWriteConnection"):
            setattr(wire, name, lambda: at_end.append(wire.written))
        wire.memory.settle()
        assert at_end
        assert at_end[0].endswith(b"\r\n\r\nx")

    def test_refusal(self, serve: Serve) -> None:
        """Invalid octets after a request are refused after its response."""
        (wire,) = asked(serve(ANSWER), 1, GET + b"no request\r\n\r\n")
        wire.memory.settle()
        statuses = [part[:3] for part in wire.written.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [b"200", b"501"]

    @pytest.mark.parametrize("size", [1, WRITTEN_ALONE])
    def test_answers(self, serve: Serve, size: int) -> None:
        """Pipelined answers, joined ones and such as are written as a list, keep their order."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            name = scope["path"][1:].encode()
            await send(start())
            await send(body(name, True))
            await send(body(name * size))

        requests = [GET.replace(b"/ ", b"/%d " % number, 1) for number in range(5)]
        (wire,) = asked(serve(application), 1, b"".join(requests))
        wire.memory.settle()
        heads = wire.written.split(b"HTTP/1.1 200 OK")
        assert [head.partition(b"\r\n\r\n")[2][3:4] for head in heads[1:]] == [
            b"%d" % number for number in range(5)
        ]

    def test_abort(self, serve: Serve) -> None:
        """A whole answer is out before the connection is cut for the next one."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            if scope["path"] == "/cut":
                await send(body(b"begun", True))
                raise ValueError
            await send(body(b"whole"))

        (wire,) = asked(serve(application), 1, GET + GET.replace(b"/ ", b"/cut ", 1))
        wire.memory.settle()
        assert wire.aborted
        assert b"whole" in wire.written


class TestWebSocket:
    def serve(self, serve: Serve, *messages: dict[str, Any]) -> Wire:
        """A WebSocket whose application has sent these and returned."""
        wire = serve(sending({"type": "websocket.accept"}, *messages)).connect()
        return wire.sends(opening())

    def frames(self, wire: Wire) -> list[tuple[int, bytes]]:
        """Opcode and first octets of all frames."""
        frames = read_frames(wire.written.partition(b"\r\n\r\n")[2])
        return [(frame.opcode, frame.payload[:5]) for frame in frames]

    @pytest.mark.parametrize("size", [1, 200, WRITTEN_ALONE, MAX_FRAGMENT_SIZE + 1])
    def test_messages(self, serve: Serve, size: int) -> None:
        """Messages of all sizes come in the order of their `send`, the close frame last."""
        texts = ["a", "b" * size, "c", "d" * size, "e"]
        wire = self.serve(
            serve,
            *[{"type": "websocket.send", "text": text} for text in texts],
            {"type": "websocket.close", "code": 1000},
        )
        frames = self.frames(wire)
        starts = [payload[:1] for opcode, payload in frames if opcode == 1]
        assert starts == [b"a", b"b", b"c", b"d", b"e"]
        assert frames[-1][0] == 8

    def test_drop(self, serve: Serve) -> None:
        """Pending messages are written before a connection is dropped."""
        told: list[bytes] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})
            await receive()
            await send({"type": "websocket.send", "text": "last words"})
            wire.protocol.readConnectionLost()

        memory = serve(application)
        wire = memory.connect()
        wire.loseConnection = lambda: told.append(wire.written)  # type: ignore[method-assign]
        wire.sends(opening())
        assert told
        assert told[0].endswith(b"last words")

    def test_many_at_once(self, serve: Serve) -> None:
        """C09: a thousand tasks that send in one turn wait for a peer that does not read."""
        sent = 0

        async def application(scope: Any, receive: Any, send: Any) -> None:
            async def one() -> None:
                nonlocal sent
                await send({"type": "websocket.send", "bytes": bytes(1000)})
                sent += 1

            await send({"type": "websocket.accept"})
            await asyncio.gather(*(one() for _ in range(1000)))

        def fills(wire: Wire) -> None:
            if len(wire.written) > 20000:
                wire.stops_reading()

        wire = serve(application).connect()
        tell_writes(wire, fills)
        wire.sends(opening())
        assert sent <= (20000 + WRITTEN_ALONE) // 1000
        assert len(wire.written) <= 1_100_000
        assert not wire.memory.server.context.writes.pending
