"""The time and the order of writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.exceptions import ConnectionClosed
from daphne_like.runtime.write_batch import MAX_WRITE_SIZE, WRITTEN_ALONE
from tests.support.applications import GET, HEAD, Script, body, head, sending, start
from tests.support.memory import Memory, Wire

Serve = Callable[..., Memory]

STREAM = head(b"200 OK", b"Transfer-Encoding: chunked")


pytestmark = pytest.mark.usefixtures("fixed_date")


class TestCoalescing:
    """A small response is one write."""

    def test_small_answer(self, serve: Serve) -> None:
        """Head and body are one write."""
        wire = serve(sending(start(), body(b"x"))).connect().sends(GET)
        assert len(wire.writes) == 1

    def test_parts_without_waiting(self, serve: Serve) -> None:
        """Ten parts sent without waiting in between are one write."""
        parts = [body(b"x", True) for _ in range(10)]
        wire = serve(sending(start(), *parts, body())).connect().sends(GET)
        assert wire.writes == [STREAM + 10 * b"1\r\nx\r\n" + b"0\r\n\r\n"]

    def test_waiting_puts_it_on_the_wire(self, serve: Serve) -> None:
        """H25: a part is on the wire as soon as the application waits for anything."""
        seen: list[bytes] = []
        wire: Wire

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            seen.append(wire.written)
            await send(body(b"a", True))
            seen.append(wire.written)
            await asyncio.sleep(0)
            seen.append(wire.written)
            await send(body(b"b", True))
            await asyncio.sleep(0)
            seen.append(wire.written)
            await send(body())
            seen.append(wire.written)

        wire = serve(application).connect()
        wire.sends(GET)
        first = STREAM + b"1\r\na\r\n"
        second = first + b"1\r\nb\r\n"
        assert seen == [b"", b"", first, second, second + b"0\r\n\r\n"]

    def test_never_waiting_is_bounded(self, serve: Serve) -> None:
        """C09: what an application sends without ever waiting does not pile up here."""
        held: list[int] = []
        wire: Wire

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            sent = 0
            for _ in range(400):
                await send(body(b"x" * 1000, True))
                sent += 1000
                held.append(sent - len(wire.written))
            await send(body())

        wire = serve(application).connect()
        wire.sends(GET)
        assert max(held) <= WRITTEN_ALONE
        assert wire.written == STREAM + 400 * (b"3e8\r\n" + b"x" * 1000 + b"\r\n") + b"0\r\n\r\n"

    @pytest.mark.parametrize("size", [100, WRITTEN_ALONE, MAX_WRITE_SIZE + 1])
    def test_never_waiting_gives_others_their_turn(self, serve: Serve, size: int) -> None:
        """One that sends without end and never waits learns of the end, and blocks nobody."""
        raised: list[OSError] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            try:
                for _ in range(10**7 // size):
                    await send(body(b"x" * size, True))
            except OSError as error:
                raised.append(error)

        memory = serve(application)
        wire = memory.connect()
        memory.loop.call_soon(memory.loop.call_soon, wire._lose, ConnectionError())
        wire.sends(GET)
        assert [type(error) for error in raised] == [ConnectionClosed]

    @pytest.mark.parametrize("size", [1, WRITTEN_ALONE, MAX_WRITE_SIZE, MAX_WRITE_SIZE + 1])
    def test_order(self, serve: Serve, size: int) -> None:
        """Parts of all sizes come out in the order of their `send`."""
        parts = [b"a", b"b" * size, b"c", b"d" * size, b"e" * (size - 1)]
        wire = serve(
            sending(start(headers=[(b"content-length", b"%d" % sum(map(len, parts)))]),
                    *[body(part, True) for part in parts], body())
        ).connect().sends(GET)  # fmt: skip
        assert wire.written.partition(b"\r\n\r\n")[2] == b"".join(parts)

    def test_pipelined_answers(self, serve: Serve) -> None:
        """S09: streams of pipelined requests come out one after the other."""
        count = 0

        async def application(scope: Any, receive: Any, send: Any) -> None:
            nonlocal count
            count += 1
            number = b"%d" % count
            await send(start())
            for _ in range(count):
                await send(body(number, True))
            await send(body())

        wire = serve(application).connect().sends(GET * 4)
        assert wire.written == b"".join(
            STREAM + n * (b"1\r\n%d\r\n" % n) + b"0\r\n\r\n" for n in range(1, 5)
        )

    def test_out_before_the_abort(self, serve: Serve) -> None:
        """C12, H25: what was sent before the application failed is out, and no last chunk."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            await send(body(b"a", True))
            raise ValueError

        wire = serve(application).connect().sends(GET)
        assert (wire.take(), wire.aborted) == (STREAM + b"1\r\na\r\n", True)


class TestLarge:
    """C09: one part of megabytes goes out as the peer reads it."""

    SIZE = 5 * MAX_WRITE_SIZE + 1

    @pytest.mark.parametrize("declared", [True, False])
    def test_piece_by_piece(self, serve: Serve, declared: bool) -> None:
        """C09: the transport gets one piece, and the next when it has room again."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(GET)
        octets = bytes(range(256)) * (self.SIZE // 256 + 1)
        octets = octets[: self.SIZE]
        headers = [(b"content-length", b"%d" % self.SIZE)] if declared else []
        memory.loop.run_until_complete(script.send(start(headers=headers)))
        wire.stops_reading()
        sending = memory.loop.create_task(script.send(body(octets)))
        memory.settle()
        received = wire.take()
        assert received.endswith(b"\r\n\r\n")  # the head alone, while there is no room
        for _ in range(6):
            assert not sending.done()
            wire.stops_reading()
            wire.protocol.resumeProducing()
            wire.stops_reading()
            memory.settle()
            piece = wire.take()
            assert 0 < len(piece) <= MAX_WRITE_SIZE
            received += piece
        wire.reads_on()
        received += wire.take()
        assert sending.done()
        assert received.partition(b"\r\n\r\n")[2] == octets
        assert b"\r\nContent-Length: %d\r\n" % self.SIZE in received.title()

    def test_one_chunk(self, serve: Serve) -> None:
        """A large part of a stream is one chunk."""
        octets = b"x" * self.SIZE
        wire = serve(sending(start(), body(octets, True), body())).connect().sends(GET)
        assert wire.take() == STREAM + b"%x\r\n%b\r\n0\r\n\r\n" % (self.SIZE, octets)

    def test_head_only(self, serve: Serve) -> None:
        """H32: HEAD with a large body: a head, and no wait for a peer that does not read."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(HEAD)
        for message in (start(), body(b"x" * self.SIZE)):
            memory.loop.run_until_complete(script.send(message))
        assert wire.take() == head(b"200 OK", b"Content-Length: %d" % self.SIZE)

    @pytest.mark.parametrize("size", [1, MAX_WRITE_SIZE + 1])
    @pytest.mark.parametrize("last", [True, False])
    def test_nothing_comes_in_between(self, serve: Serve, size: int, last: bool) -> None:
        """A message of another task waits for the end of a large part."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(GET)
        memory.loop.run_until_complete(script.send(start()))
        wire.stops_reading()
        first = memory.loop.create_task(script.send(body(b"a" * self.SIZE, True)))
        memory.settle()
        second = memory.loop.create_task(script.send(body(b"b" * size, more=not last)))
        memory.settle()
        assert not first.done()
        assert not second.done()
        wire.reads_on()
        assert second.done()
        expected = STREAM + b"%x\r\n%b\r\n" % (self.SIZE, b"a" * self.SIZE)
        expected += b"%x\r\n%b\r\n" % (size, b"b" * size) + (b"0\r\n\r\n" if last else b"")
        assert wire.take() == expected

    def test_cancelled(self, serve: Serve) -> None:
        """A cancelled `send` of a large part aborts the connection."""
        script = Script()
        memory = serve(script, application_close_timeout=0)
        wire = memory.connect().sends(GET)
        memory.loop.run_until_complete(script.send(start()))
        task = memory.loop.create_task(script.send(body(b"a" * self.SIZE, True)))
        memory.loop.run_until_complete(asyncio.sleep(0))
        wire.stops_reading()
        memory.settle()
        assert b"a" in wire.take()
        other = memory.loop.create_task(script.send(body(b"b")))
        memory.settle()
        task.cancel()
        memory.settle()
        assert wire.aborted
        assert task.cancelled()
        assert isinstance(other.exception(), ConnectionClosed)

    def test_connection_lost(self, serve: Serve) -> None:
        """H30: the loss of the connection within a large part is the same OSError."""
        script = Script()
        memory = serve(script, application_close_timeout=0)
        wire = memory.connect().sends(GET)
        memory.loop.run_until_complete(script.send(start()))
        wire.stops_reading()
        tasks = [
            memory.loop.create_task(script.send(body(b"a" * self.SIZE, True))) for _ in range(2)
        ]
        memory.settle()
        wire.vanishes()
        assert [type(task.exception()) for task in tasks] == [ConnectionClosed] * 2

    def test_application_fails_meanwhile(self, serve: Serve) -> None:
        """C12: an application that raises while another of its tasks sends a large part."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(GET)
        memory.loop.run_until_complete(script.send(start()))
        wire.stops_reading()
        task = memory.loop.create_task(script.send(body(b"a" * self.SIZE, True)))
        memory.settle()
        script.raises(ValueError())
        memory.settle()
        assert wire.aborted
        assert isinstance(task.exception(), ConnectionClosed)
