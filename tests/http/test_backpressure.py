"""Back-pressure in both directions (C09, K4)."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.asgi.queue import EVENT_OVERHEAD, HIGH_WATER, LOW_WATER, MAX_EVENTS
from tests.support.applications import GET, Script, body, post, start
from tests.support.memory import Memory, Wire

Serve = Callable[..., Memory]


class Streaming:
    """Sends parts for ever and counts them."""

    def __init__(self) -> None:
        self.sent = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        while True:
            await send(body(b"x" * 1000, True))
            self.sent += 1
            await asyncio.sleep(0)


class TestPeerThatDoesNotRead:
    """ASGI, "Applications": `send` returns once the send has been completed (C09)."""

    def test_send_waits(self, serve: Serve) -> None:
        """C09, K4: while the transport is full `send` waits, and goes on when it is not."""
        streaming = Streaming()
        memory = serve(streaming)
        wire = memory.connect().sends(GET)
        wire.stops_reading()
        memory.settle()
        sent = streaming.sent
        memory.settle()
        memory.settle()
        assert streaming.sent == sent
        wire.reads_on()
        memory.settle()
        assert streaming.sent > sent

    @pytest.mark.parametrize("last", [True, False])
    def test_every_sender_waits(self, serve: Serve, last: bool) -> None:
        """C09: several tasks wait each for itself; a final part too."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(GET)
        memory.loop.run_until_complete(script.send(start()))
        wire.stops_reading()
        tasks = [memory.loop.create_task(script.send(body(b"a", True))) for _ in range(3)]
        tasks.append(memory.loop.create_task(script.send(body(b"b", more=not last))))
        memory.settle()
        assert [task.done() for task in tasks] == [False] * 4
        wire.reads_on()
        assert [task.result() for task in tasks] == [None] * 4
        assert wire.take().partition(b"\r\n\r\n")[2] == (
            3 * b"1\r\na\r\n" + b"1\r\nb\r\n" + (b"0\r\n\r\n" if last else b"")
        )

    def test_cancelled_send(self, serve: Serve) -> None:
        """A `send` that is cancelled while it waits loses nothing and harms no other."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(GET)
        memory.loop.run_until_complete(script.send(start()))
        wire.stops_reading()
        first, second = [
            memory.loop.create_task(script.send(body(octet, True))) for octet in (b"a", b"b")
        ]
        memory.settle()
        first.cancel()
        memory.settle()
        wire.reads_on()
        assert first.cancelled()
        assert second.result() is None
        memory.loop.run_until_complete(script.send(body(b"c")))
        assert wire.take().partition(b"\r\n\r\n")[2] == (b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n")

    def test_released_by_the_loss(self, serve: Serve) -> None:
        """C09: or the connection has been closed."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(GET)
        memory.loop.run_until_complete(script.send(start()))
        wire.stops_reading()
        task = memory.loop.create_task(script.send(body(b"a", True)))
        memory.settle()
        wire.vanishes()
        assert task.result() is None

    def test_has_a_deadline(self, serve: Serve) -> None:
        """A peer that never reads again is cut off."""
        memory = serve(Streaming(), write_timeout=5)
        wire = memory.connect().sends(GET)
        wire.stops_reading()
        memory.passes(4)
        assert not wire.aborted
        memory.passes(1.6)
        assert wire.aborted
        assert memory.server.connections == set()

    def test_deadline_of_further_writes(self, serve: Serve) -> None:
        """S35: a transport that asks again, as Twisted's do, gives the peer no new time."""
        memory = serve(Streaming(), write_timeout=5)
        wire = memory.connect().sends(GET)
        for _ in range(6):
            wire.stops_reading()
            memory.passes(1)
        assert wire.aborted


class TestApplicationThatDoesNotRead:
    """K4: what an application does not read stops the socket."""

    def fed(self, memory: Memory, octets: int, part: int = 1024) -> Wire:
        wire = memory.connect().sends(post(b"", length=10**9))
        for _ in range(octets // part):
            wire.sends(b"x" * part)
        return wire

    def test_high_water(self, serve: Serve) -> None:
        """At 64 KiB unread the socket is read no further, and not before."""
        memory = serve(Script())
        wire = self.fed(memory, HIGH_WATER - 1024)
        assert not wire.paused
        wire.sends(b"x" * 1024)
        assert wire.paused

    def test_low_water(self, serve: Serve) -> None:
        """It is read again when the application has read on."""
        script = Script()
        memory = serve(script)
        wire = self.fed(memory, HIGH_WATER)
        unread = HIGH_WATER
        while unread > LOW_WATER:
            assert wire.paused
            event = memory.loop.run_until_complete(script.receive())
            unread -= len(event["body"])
        assert not wire.paused
        wire.sends(b"x" * (HIGH_WATER - unread))
        assert wire.paused

    def test_small_parts(self, serve: Serve) -> None:
        """Events are bounded by the memory they take, however few octets each has; none is lost."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(post(b"", length=10**9))
        tracemalloc.start()
        try:
            fed = 0
            while not wire.paused:
                wire.protocol.dataReceived(b"%d" % (fed % 10))
                fed += 1
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert fed == MAX_EVENTS
        assert peak < 1.25 * HIGH_WATER
        run = memory.loop.run_until_complete
        heard = b""
        while len(heard) < fed:
            assert wire.paused == ((fed - len(heard)) * EVENT_OVERHEAD > LOW_WATER)
            heard += run(script.receive())["body"]
        assert heard == b"".join(b"%d" % (number % 10) for number in range(fed))

    def test_small_parts_before_the_application(self, serve: Serve) -> None:
        """The body of a pipelined request, in chunks of two octets, takes what came of it."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(GET)
        chunks = b"2\r\nab\r\n" * 20000
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        wire.protocol.dataReceived(head)
        tracemalloc.start()
        try:
            wire.protocol.dataReceived(chunks)
            kept = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert kept < 2 * len(chunks)

    def test_no_deadline_meanwhile(self, serve: Serve) -> None:
        """A body that waits for us is not too slow."""
        memory = serve(Script(), body_timeout=5)
        wire = self.fed(memory, HIGH_WATER)
        memory.passes(6)
        memory.passes(6)
        assert not wire.closing

    def test_answer_without_reading(self, serve: Serve) -> None:
        """An answer that does not wait for the body ends the pause: the connection can end."""
        script = Script()
        memory = serve(script)
        wire = self.fed(memory, HIGH_WATER)
        for message in (start(), body(b"x")):
            memory.loop.run_until_complete(script.send(message))
        assert not wire.paused
        assert wire.half_closed

    def test_disconnect_reaches_a_full_queue(self, serve: Serve) -> None:
        """The loss of the connection overtakes what is unread."""
        script = Script()
        memory = serve(script)
        self.fed(memory, HIGH_WATER).vanishes()
        assert memory.loop.run_until_complete(script.receive()) == {"type": "http.disconnect"}
