"""Flow control both ways, and whose turn it is (RFC 9113, 5.2 and 6.9; RFC 9218)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daphne_like.asgi.queue import MAX_EVENTS
from daphne_like.http.h2.connection import CONNECTION_WINDOW
from daphne_like.http.h2.priority import Priority, parse_priority
from daphne_like.http.h2.send_scheduler import MAX_DRAIN_WINDOW, MAX_EXTRA_WINDOW, WRITTEN_IN_A_TURN
from daphne_like.http.h2.state_machine import FIRST_WINDOW
from daphne_like.http.lingering import MAX_LINGER_OCTETS
from tests.support.applications import Script, body, read_all, sending, start
from tests.support.h2_codes import CANCEL, PROTOCOL
from tests.support.h2_frames import data, ping, priority_update, reset, settings, window
from tests.support.h2_peer import H2Peer
from tests.support.memory import Memory
from tests.support.peers import never_answer

Serve = Callable[..., Memory]
MAX_FRAME_SIZE = 16384
WINDOW, MAX_FRAME = 4, 5


def large(size: int) -> Any:
    """An application that sends so much in one part; the path says how much instead."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        wanted = int(scope["query_string"] or size)
        await send(start())
        await send(body(b"x" * wanted))

    return application


class TestOut:
    """Octets without room in the peer's window wait, and so does the application (ASGI C09)."""

    def test_waits_for_the_window(self, serve: Serve) -> None:
        """`send` returns when all of it is on its way; not an octet goes beyond the window."""
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory)
        peer.asks()
        memory.loop.run_until_complete(script.send(start()))
        task = memory.loop.create_task(script.send(body(b"x" * 100_000)))
        memory.settle()
        peer.read()
        assert (len(peer.answer(1).body), task.done()) == (65535, False)
        peer.sends(window(1, 100_000))
        assert (len(peer.answer(1).body), task.done()) == (65535, False)
        peer.sends(window(0, 34_464))
        assert (len(peer.answer(1).body), task.done(), peer.answer(1).ended) == (
            99_999,
            False,
            False,
        )
        peer.sends(window(0, 1))
        assert (len(peer.answer(1).body), task.done(), peer.answer(1).ended) == (
            100_000,
            True,
            True,
        )

    def test_every_part_waits(self, serve: Serve) -> None:
        """The same for many small parts: the peer's window is all that is ever sent."""
        sent = 0

        async def application(scope: Any, receive: Any, send: Any) -> None:
            nonlocal sent
            await send(start())
            while True:
                await send(body(b"x" * 1000, True))
                sent += 1000

        peer = H2Peer(serve(application), {WINDOW: 5500})
        peer.asks()
        peer.read()
        assert (sent, len(peer.answer(1).body)) == (5000, 5500)
        assert max(peer.answer(1).parts) <= 1000

    def test_part_without_end_waits_for_nothing(self, serve: Serve) -> None:
        """An application that never waits lets others run, whatever the window."""
        turns: list[int] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/small":
                turns.append(1)
                return
            await send(start())
            while not turns:
                await send(body(b"x" * 1000, True))

        memory = serve(application)
        peer = H2Peer(memory, {WINDOW: 2**31 - 1})
        peer.sends(window(0, 2**31 - 1 - 65535))
        peer.sends(peer.head(1, [*peer_get(b"/")]) + peer.head(3, [*peer_get(b"/small")]))
        assert turns == [1]
        assert len(peer.answer(1).body) <= 4 * 65536

    def test_smaller_window_midway(self, serve: Serve) -> None:
        """6.9.2: a window may become negative; nothing is sent until it is open again."""
        peer = H2Peer(serve(large(70_000)))
        peer.asks()
        peer.sends(settings({WINDOW: 1000}), window(0, 100_000))
        assert len(peer.answer(1).body) == 65535
        peer.sends(window(1, 64_535))
        assert len(peer.answer(1).body) == 65535
        peer.sends(window(1, 1))
        assert len(peer.answer(1).body) == 65536
        peer.sends(settings({WINDOW: 65535}))
        assert peer.answer(1).ended

    def test_larger_window_midway(self, serve: Serve) -> None:
        """6.9.2: it counts for the streams that are open, and not for the connection."""
        peer = H2Peer(serve(large(70_000)), {WINDOW: 10})
        peer.asks()
        assert len(peer.answer(1).body) == 10
        peer.sends(settings({WINDOW: 2**31 - 1}))
        assert len(peer.answer(1).body) == 65535
        peer.sends(window(0, 5000))
        assert peer.answer(1).ended

    def test_larger_frames(self, serve: Serve) -> None:
        """4.2: a peer may allow them, and need not get them."""
        peer = H2Peer(serve(large(60_000)), {MAX_FRAME: 2**24 - 1})
        peer.asks()
        assert peer.answer(1).parts == [MAX_FRAME_SIZE] * 3 + [60_000 - 3 * MAX_FRAME_SIZE]

    def test_no_window_at_all(self, serve: Serve, caplog: Any) -> None:
        """S13: who never opens it is reset after `--write-timeout`; the connection goes on."""
        caplog.set_level("INFO", "daphne_like.http")
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory, {WINDOW: 0})
        peer.asks()
        memory.loop.run_until_complete(script.send(start()))
        task = memory.loop.create_task(script.send(body(b"x" * 100)))
        memory.settle()
        memory.passes(59)
        peer.read()
        assert peer.answer(1).reset is None
        memory.passes(2)
        peer.read()
        assert peer.answer(1).reset == CANCEL
        assert task.done()
        assert len(caplog.records) == 1
        peer.sends(ping())
        assert peer.pongs

    def test_cancelled_send(self, serve: Serve) -> None:
        """The peer sees that a part was cancelled midway."""
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory, {WINDOW: 10})
        peer.asks()
        memory.loop.run_until_complete(script.send(start()))
        task = memory.loop.create_task(script.send(body(b"x" * 100)))
        memory.settle()
        task.cancel()
        memory.settle()
        peer.read()
        assert peer.answer(1).reset is not None

    @pytest.mark.parametrize("way", ["reset", "lost"])
    def test_waits_in_vain(self, serve: Serve, way: str) -> None:
        """H30: `send` that waits ends with the stream, and with the connection."""
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory, {WINDOW: 10})
        peer.asks()
        memory.loop.run_until_complete(script.send(start()))
        task = memory.loop.create_task(script.send(body(b"x" * 100)))
        memory.settle()
        peer.sends(reset(1)) if way == "reset" else peer.wire.vanishes()
        memory.settle()
        assert task.done()
        assert not memory.server.connections or way == "reset"

    def test_transport_full(self, serve: Serve) -> None:
        """C09: a transport that is full holds back all streams, and the peer is not read."""
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory)
        peer.asks()
        memory.loop.run_until_complete(script.send(start()))
        peer.wire.stops_reading()
        assert peer.wire.paused
        task = memory.loop.create_task(script.send(body(b"x" * 100, True)))
        memory.settle()
        peer.read()
        assert (peer.answer(1).body, task.done()) == (b"", False)
        peer.wire.reads_on()
        peer.read()
        assert (peer.answer(1).body, task.done(), peer.wire.paused) == (b"x" * 100, True, False)

    def test_transport_full_for_long(self, serve: Serve) -> None:
        """A peer that does not read at all is cut off after `--write-timeout`."""
        memory = serve(Script())
        peer = H2Peer(memory)
        peer.asks()
        peer.wire.stops_reading()
        memory.passes(61)
        assert peer.wire.lost


def peer_get(path: bytes) -> Any:
    return [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", path)]


class TestIn:
    """An application that does not read holds up its own stream, and one window of memory."""

    def test_stops_at_the_window(self, serve: Serve) -> None:
        """An application that does not read opens no window; other streams continue."""
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory)
        peer.asks(b"POST", body=b"", ends=False)
        for _ in range(4):
            assert peer.all_sent(1, MAX_FRAME_SIZE)
            peer.sends(data(1, b"x" * MAX_FRAME_SIZE))
        assert not peer.all_sent(1, 1)
        assert peer.windows[0] >= CONNECTION_WINDOW // 2
        (exchange,) = memory.server.instances
        assert exchange.unread <= 65536
        run = memory.loop.run_until_complete
        got = sum(len(run(script.receive())["body"]) for _ in range(4))
        peer.read()
        assert got == 4 * MAX_FRAME_SIZE
        assert peer.all_sent(1, MAX_FRAME_SIZE)

    def test_connection_window_is_shared_fairly(self, serve: Serve) -> None:
        """Twenty streams that nobody reads do not shut out another one."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/":
                await asyncio.Event().wait()
            while (await receive()).get("more_body"):
                pass
            await send(start())
            await send(body(b"read"))

        memory = serve(application)
        peer = H2Peer(memory)
        for _ in range(20):
            number = peer.asks(b"POST", body=b"", ends=False)
            for _ in range(4):
                assert peer.all_sent(number, MAX_FRAME_SIZE)
                peer.sends(data(number, b"x" * MAX_FRAME_SIZE))
        number = peer.asks(b"POST", b"/read", body=b"y" * MAX_FRAME_SIZE)
        assert peer.answer(number).body == b"read"

    def test_beyond_the_window(self, serve: Serve) -> None:
        """6.9.1: more than was allowed is an error, and not in memory."""
        memory = serve(Script())
        peer = H2Peer(memory)
        peer.asks(b"POST", body=b"", ends=False)
        peer.sends(*[data(1, b"x" * MAX_FRAME_SIZE)] * 4)
        peer.sends(data(1, b"x"))
        assert peer.gone == [(3, 1)]

    def test_window_grows(self, serve: Serve) -> None:
        """For an application that keeps up, so that a large upload runs at line rate."""
        peer = H2Peer(serve(read_all))
        peer.asks(b"POST", body=b"", ends=False)
        widest = 0
        for _ in range(400):
            assert peer.all_sent(1, MAX_FRAME_SIZE)
            widest = max(widest, peer.window_of(1))
            peer.sends(data(1, b"x" * MAX_FRAME_SIZE))
        peer.sends(data(1, b"", ends=True))
        assert peer.answer(1).status == 200
        assert int(peer.answer(1).body) == 400 * MAX_FRAME_SIZE
        assert 700_000 < widest <= 1048576
        updates = [f for f in peer.frames if type(f).__name__ == "WindowUpdateFrame"]
        assert len(updates) < 150

    def test_widened_windows_are_given_back(self, serve: Serve) -> None:
        """A connection that has had many uploads widens the next one as well."""
        peer = H2Peer(serve(read_all))
        for _ in range(8):
            number = peer.asks(b"POST", body=b"", ends=False)
            for _ in range(100):
                assert peer.all_sent(number, MAX_FRAME_SIZE)
                peer.sends(data(number, b"x" * MAX_FRAME_SIZE))
            assert peer.window_of(number) > 200_000
            peer.sends(data(number, b"", ends=True))
        assert MAX_EXTRA_WINDOW < 8 * (1048576 - 65536)

    def test_padding_counts(self, serve: Serve) -> None:
        """6.1: padding is under flow control, and is given back."""
        peer = H2Peer(serve(read_all))
        peer.asks(b"POST", body=b"", ends=False)
        for _ in range(600):
            assert peer.all_sent(1, 256 + 1)
            peer.sends(data(1, b"x", padding=255))
        assert peer.gone == []

    @pytest.mark.parametrize("pauses", [False, True])
    def test_end_needs_no_window(self, serve: Serve, pauses: bool) -> None:
        """6.9.1: an empty frame that ends a stream goes out though there is no room."""
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory, {4: 100})
        number = peer.asks()
        run = memory.loop.run_until_complete
        run(script.send(start()))
        run(script.send(body(b"x" * 100, more=True)))
        if pauses:
            peer.wire.stops_reading()
        run(script.send(body(b"")))
        if pauses:
            peer.wire.reads_on()
        memory.settle()
        peer.read()
        assert peer.answer(number).body == b"x" * 100
        assert peer.answer(number).ended

    def test_padding_alone_counts(self, serve: Serve) -> None:
        """So it is where nothing else comes that an application could take."""
        peer = H2Peer(serve(never_answer))
        peer.asks(b"POST", body=b"", ends=False)
        for _ in range(300):
            assert peer.all_sent(1, 256)
            peer.sends(data(1, b"", padding=255))
        assert peer.gone == []
        assert peer.window_of(1) >= FIRST_WINDOW // 2

    def test_many_frames_at_once(self, serve: Serve) -> None:
        """A window that has grown, filled in one read, reaches the application."""
        total = 0

        async def application(scope: Any, receive: Any, send: Any) -> None:
            nonlocal total
            while (event := await receive()).get("more_body"):
                total += len(event["body"])
            await send(start())
            await send(body())

        peer = H2Peer(serve(application))
        peer.asks(b"POST", body=b"", ends=False)
        for _ in range(60):
            count = min(peer.windows[0], peer.window_of(1)) // MAX_FRAME_SIZE
            assert peer.all_sent(1, count * MAX_FRAME_SIZE)
            assert count
            peer.sends(data(1, b"x" * MAX_FRAME_SIZE) * count)
        assert total > 4_000_000
        peer.sends(data(1, b"", ends=True))
        assert peer.answer(1).status == 200

    def test_answered_and_ended(self, serve: Serve) -> None:
        """A client that ends, or resets, its side in time is not asked; many are at once."""
        memory = serve(sending(start(), body(b"no")))
        peer = H2Peer(memory)
        first = peer.asks(b"POST", body=b"x", ends=False)
        second = peer.asks(b"POST", body=b"x", ends=False)
        peer.sends(data(first, b"", ends=True), reset(second))
        memory.passes(2)
        peer.read()
        assert (peer.answer(first).reset, peer.answer(second).reset) == (None, None)
        for _ in range(65):
            number = peer.asks(b"POST", body=b"x", ends=False)
        peer.read()
        assert peer.answer(number).reset == 0

    def test_single_octets(self, serve: Serve) -> None:
        """A window full of single octets is held as one piece, once there is much of it."""
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory)
        peer.asks(b"POST", body=b"", ends=False)
        one = data(1, b"x")
        for _ in range(40):
            peer.wire.sends(one * 500)
            memory.now += 1  # a peer in no hurry has the budget for it
        for _ in range(1100):
            peer.wire.protocol.dataReceived(one)
        (exchange,) = memory.server.instances
        assert exchange.queue is not None
        assert exchange.queue.qsize() <= MAX_EVENTS
        run = memory.loop.run_until_complete
        got = 0
        while got < 40 * 500 + 1100:
            got += len(run(asyncio.wait_for(script.receive(), 1))["body"])
        assert got == 40 * 500 + 1100

    def test_answered_without_reading(self, serve: Serve) -> None:
        """8.1: a client whose body nobody wants any more is asked to stop, after a while."""
        memory = serve(sending(start(), body(b"no")))
        peer = H2Peer(memory)
        number = peer.asks(b"POST", body=b"x" * 100, ends=False)
        answer = peer.answer(number)
        assert (answer.body, answer.ended, answer.reset) == (b"no", True, None)
        memory.passes(2)
        peer.read()
        assert answer.reset == 0
        peer.sends(*[data(number, b"x" * MAX_FRAME_SIZE)] * 3)  # it was on its way
        assert peer.gone == []
        resets = [frame for frame in peer.frames if type(frame).__name__ == "RstStreamFrame"]
        assert len(resets) == 1

    @pytest.mark.parametrize("status", [200, 413])
    @pytest.mark.parametrize("padding", [None, 9])
    def test_more_than_declared_behind_an_answer(
        self, serve: Serve, status: int, padding: int | None
    ) -> None:
        """8.1.1: a body longer than its Content-Length is an error, also behind a response."""
        application = sending(start(), body(b"early"))
        memory = serve(application, max_body_size=1000 if status == 200 else 10)
        peer = H2Peer(memory)
        number = peer.asks(b"POST", b"/", (b"content-length", b"12"), body=b"x" * 6, ends=False)
        answer = peer.answer(number)
        assert (answer.status, answer.ended, answer.reset) == (status, True, None)
        peer.sends(data(number, b"x" * 6, padding=padding), data(number, b"", padding=padding))
        assert answer.reset is None
        peer.sends(data(number, b"x", padding=padding))
        assert (answer.reset, peer.gone) == (PROTOCOL, [])
        peer.sends(data(number, b"x", padding=padding), data(number, b"x", ends=True))
        resets = [frame for frame in peer.frames if type(frame).__name__ == "RstStreamFrame"]
        assert (len(resets), peer.gone) == (1, [])
        assert peer.answer(peer.asks()).status == 200
        memory.passes(3)
        assert not peer.wire.closing

    @pytest.mark.parametrize("way", ["whole", "parts", "bodiless", "trailers", "waiting"])
    def test_room_before_the_end(self, serve: Serve, way: str) -> None:
        """8.1: room for the rest of the body comes before the end of the answer.

        curl (7.88) sends it all, and reads no window that comes later.
        """
        size, has = 8_000_000, 100
        trailers = {"type": "http.response.trailers", "headers": [(b"a", b"b")]}
        messages = {
            "whole": [start(), body(b"no")],
            "parts": [start(), body(b"n", True), body(b"o", True), body()],
            "bodiless": [start(204), body()],
            "trailers": [start(trailers=True), body(b"no"), trailers],
            "waiting": [start(), body(b"x" * 10)],
        }
        peer = H2Peer(serve(sending(*messages[way])), {WINDOW: 5 if way == "waiting" else 65535})
        fields = ((b"content-length", b"%d" % size),)
        number = peer.asks(b"POST", b"/", *fields, body=b"x" * has, ends=False)
        if way == "waiting":
            assert not peer.answer(number).ended
            assert peer.window_of(number) <= FIRST_WINDOW  # an application may still read
            peer.sends(window(number, 5))
        assert peer.answer(number).ended
        ends = [
            index
            for index, frame in enumerate(peer.frames)
            if frame.stream_id == number and "END_STREAM" in getattr(frame, "flags", ())
        ]
        opened = {0: 65535, number: FIRST_WINDOW}
        for frame in peer.frames[: ends[0]]:
            if type(frame).__name__ == "WindowUpdateFrame":
                opened[frame.stream_id] += frame.window_increment
        assert min(opened.values()) >= size

    def test_room_is_bounded(self, serve: Serve) -> None:
        """No more comes of many such uploads than was ever dropped, and the window has its end."""
        peer = H2Peer(serve(sending(start(), body(b"no"))))
        for _ in range(60):
            peer.asks(b"POST", b"/", (b"content-length", b"9" * 15), body=b"x", ends=False)
        assert peer.window_of(1) <= MAX_LINGER_OCTETS + FIRST_WINDOW
        assert peer.windows[0] <= MAX_DRAIN_WINDOW + CONNECTION_WINDOW
        assert peer.gone == []


class TestTurns:
    """RFC 9218, and what is fair without it."""

    @staticmethod
    def order(peer: H2Peer) -> list[int]:
        return [frame.stream_id for frame in peer.frames if type(frame).__name__ == "DataFrame"]

    def open(
        self, serve: Serve, *priorities: bytes | None, size: int = 10 * MAX_FRAME_SIZE
    ) -> H2Peer:
        """Requests whose answers wait for the connection's window, which is used up."""
        peer = H2Peer(serve(large(size)), {WINDOW: 2**31 - 1})
        peer.asks(b"GET", b"/?65535")
        for value in priorities:
            peer.asks(b"GET", b"/", *([(b"priority", value)] if value is not None else []))
        peer.frames.clear()
        return peer

    def test_fair_shares(self, serve: Serve) -> None:
        """Without a word about it each stream has a frame in turn."""
        peer = self.open(serve, None, None, None)
        peer.sends(window(0, 6 * MAX_FRAME_SIZE))
        assert self.order(peer) == [3, 5, 7, 3, 5, 7]

    def test_large_and_small(self, serve: Serve) -> None:
        """A very large answer does not hold up a small one, nor one that comes later."""
        peer = H2Peer(serve(large(0)), {WINDOW: 2**31 - 1})
        peer.asks(b"GET", b"/?100000000")
        peer.asks(b"GET", b"/?20000")
        peer.sends(window(0, 4 * MAX_FRAME_SIZE))
        assert peer.answer(3).ended
        peer.sends(window(0, 10))
        peer.asks(b"GET", b"/?20")
        peer.sends(window(0, 2 * MAX_FRAME_SIZE))
        assert peer.answer(5).ended
        assert not peer.answer(1).ended

    def test_event_loop_comes_round(self, serve: Serve) -> None:
        """An answer that the peer takes as fast as it comes leaves others their turn."""
        memory = serve(large(0))
        peer = H2Peer(memory, {WINDOW: 2**31 - 1})
        peer.sends(window(0, 2**31 - 1 - 65535))
        written = [0]
        peer.wire.write = lambda octets: written.append(len(octets))  # type: ignore[method-assign]
        peer.wire.protocol.dataReceived(peer.head(1, peer_get(b"/?8000000")))

        async def turn() -> None:
            await asyncio.sleep(0)

        most = 0
        for _ in range(30):
            before = sum(written)
            memory.loop.run_until_complete(turn())
            most = max(most, sum(written) - before)
        assert 0 < most <= 4 * WRITTEN_IN_A_TURN

    def test_urgency(self, serve: Serve) -> None:
        """9218, 4.1: the lower number first."""
        peer = self.open(serve, b"u=5, i", None, b"u=1, i", size=2 * MAX_FRAME_SIZE)
        peer.sends(window(0, 6 * MAX_FRAME_SIZE))
        assert self.order(peer) == [7, 7, 5, 5, 3, 3]

    def test_one_after_the_other(self, serve: Serve) -> None:
        """9218, 4.2 and 10: those that are of no use in parts, in the order of their numbers."""
        peer = self.open(serve, b"u=3", b"u=3", size=2 * MAX_FRAME_SIZE)
        peer.sends(window(0, 4 * MAX_FRAME_SIZE))
        assert self.order(peer) == [3, 3, 5, 5]

    def test_mixed(self, serve: Serve) -> None:
        """The one sort does not starve the other."""
        peer = self.open(serve, b"u=3", b"u=3, i", b"u=3", size=2 * MAX_FRAME_SIZE)
        peer.sends(window(0, 6 * MAX_FRAME_SIZE))
        assert self.order(peer) == [3, 5, 3, 7, 5, 7]

    def test_update(self, serve: Serve) -> None:
        """9218, 7: PRIORITY_UPDATE for an open stream counts at once."""
        peer = self.open(serve, None, None, size=2 * MAX_FRAME_SIZE)
        peer.sends(priority_update(5, b"u=0"))
        peer.sends(window(0, 4 * MAX_FRAME_SIZE))
        assert self.order(peer) == [5, 5, 3, 3]

    def test_update_before(self, serve: Serve) -> None:
        """9218, 7: and for a request that is to come, before its field."""
        peer = self.open(serve, size=2 * MAX_FRAME_SIZE)
        peer.sends(priority_update(5, b"u=0"))
        peer.asks(b"GET", b"/")
        peer.asks(b"GET", b"/", (b"priority", b"u=7"))
        peer.sends(window(0, 4 * MAX_FRAME_SIZE))
        assert self.order(peer) == [5, 5, 3, 3]

    def test_updates_are_bounded(self, serve: Serve) -> None:
        """The number of priorities stored for future requests is limited."""
        memory = serve(large(0))
        peer = H2Peer(memory)
        for number in range(1, 700, 2):
            peer.sends(priority_update(number, b"u=0"))
        assert peer.gone == []
        assert len(peer.wire.protocol.upgraded_to._priorities) <= 128

    @pytest.mark.parametrize(
        ("value", "priority"),
        [
            (b"", (3, False)), (b"u=0", (0, False)), (b"i", (3, True)), (b"u=7, i", (7, True)),
            (b"i=?0,u=2", (2, False)), (b"i=?1", (3, True)), (b"u=8", (3, False)),
            (b"u=-1", (3, False)), (b"u=1.0", (3, False)), (b"U=1", (3, False)),
            (b"u=1;x=y, i;z", (1, True)), (b"u=1, u=2", (2, False)), (b"x, u=4", (4, False)),
            (b"\xff\0=,;", (3, False)), (b"i=1", (3, False)),
        ],
    )  # fmt: skip
    def test_field(self, value: bytes, priority: Any) -> None:
        """9218, 4: what is not as it should be counts as left out."""
        assert parse_priority(value) == Priority(*priority)


class TestLeastRate:
    """S35: a peer takes a response at --body-minimum-rate, or its stream is reset."""

    def test_octet_by_octet(self, serve: Serve) -> None:
        """One octet of window in each --write-timeout keeps no stream alive, and no body."""
        memory = serve(large(1_000_000), write_timeout=60)
        peer = H2Peer(memory, {WINDOW: 10})
        for _ in range(100):
            peer.asks()
        assert len(memory.server.instances) == 100
        for _ in range(5):
            for number in range(1, 201, 2):
                peer.wire.protocol.dataReceived(window(number, 1))
            memory.settle()
            memory.passes(15)
        peer.read()
        assert {peer.answer(number).reset for number in range(1, 201, 2)} == {CANCEL}
        assert not memory.server.instances

    def test_octet_by_octet_of_all(self, serve: Serve) -> None:
        """Nor does one octet of the window that all streams share."""
        memory = serve(large(100_000), write_timeout=60)
        peer = H2Peer(memory, {WINDOW: 1_000_000})
        peer.asks()
        peer.asks()
        for _ in range(11):
            peer.sends(window(0, 1))
            memory.passes(15)
        peer.read()
        assert (peer.answer(1).reset, peer.answer(3).reset) == (CANCEL, CANCEL)

    def test_small_parts(self, serve: Serve) -> None:
        """Nor are parts that are let through one by one, each at the last moment, new time."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            while True:
                await send(body(b"x" * 10, True))

        memory = serve(application, write_timeout=60)
        peer = H2Peer(memory, {WINDOW: 0})
        peer.asks()
        for _ in range(3):
            memory.passes(29)
            peer.sends(window(1, 10))
        assert peer.answer(1).reset == CANCEL
        assert len(peer.answer(1).body) == 20

    def test_slow_enough(self, serve: Serve) -> None:
        """A peer that takes the least rate has its response, however long that takes."""
        memory = serve(large(100_000), write_timeout=10, body_minimum_rate=100)
        peer = H2Peer(memory, {WINDOW: 0})
        peer.asks()
        for _ in range(101):
            peer.sends(window(1, 1000), window(0, 1000))
            memory.passes(9.9)
        assert (len(peer.answer(1).body), peer.answer(1).ended) == (100_000, True)

    @pytest.mark.parametrize("reads_on_for", [0, 3])
    def test_stops_half_way(self, serve: Serve, reads_on_for: int) -> None:
        """A peer that has taken much and stops has --write-timeout from then on, and no more."""
        memory = serve(large(100_000), write_timeout=10)
        peer = H2Peer(memory, {WINDOW: 50_000})
        peer.asks()
        for _ in range(reads_on_for):
            memory.passes(1)
            peer.sends(window(1, 10_000), window(0, 10_000))
        memory.passes(9)
        assert peer.answer(1).reset is None
        memory.passes(2)  # deadlines are looked at once a second
        peer.read()
        assert peer.answer(1).reset == CANCEL

    def test_turn_of_others(self, serve: Serve) -> None:
        """A stream that waits for its turn lives as long as the peer takes enough of the others."""
        memory = serve(large(60_000), write_timeout=10)
        peer = H2Peer(memory, {WINDOW: 1_000_000})
        peer.sends(priority_update(1, b"u=0"), priority_update(3, b"u=7"))
        peer.asks()
        peer.asks()  # what is left of the window is 5535 octets
        for _ in range(12):
            peer.sends(window(0, 4000))
            memory.passes(9)
        assert not peer.answer(3).ended
        assert peer.answer(3).reset is None
        peer.sends(window(0, 100_000))
        assert (len(peer.answer(1).body), len(peer.answer(3).body)) == (60_000, 60_000)

    def test_events(self, serve: Serve) -> None:
        """Only time counts in which octets wait: short waits of small events are no harm."""
        script = Script()
        memory = serve(script, write_timeout=10)
        peer = H2Peer(memory, {WINDOW: 0})
        peer.asks()
        memory.loop.run_until_complete(script.send(start()))
        for _ in range(50):
            task = memory.loop.create_task(script.send(body(b"data: x\n\n", True)))
            memory.passes(0.1)  # the way to the peer and back
            peer.sends(window(1, 9))
            assert task.done()
            memory.passes(9)
        assert (len(peer.answer(1).body), peer.answer(1).reset) == (450, None)

    def test_file(self, serve: Serve, tmp_path: Path) -> None:
        """A file that the server reads is a body like others."""
        (tmp_path / "large").write_bytes(b"x" * 1_000_000)

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            await send({"type": "http.response.pathsend", "path": str(tmp_path / "large")})

        memory = serve(application, write_timeout=10)
        peer = H2Peer(memory, {WINDOW: 10})
        peer.asks()
        for _ in range(4):
            peer.sends(window(1, 1))
            memory.passes(5)
        peer.read()
        assert peer.answer(1).reset == CANCEL

    def test_transport(self, serve: Serve) -> None:
        """The transport's buffer has its own timeout, and the stream waits for it."""
        memory = serve(large(1_000_000), write_timeout=10)
        peer = H2Peer(memory)
        peer.asks()
        memory.passes(8)
        peer.wire.stops_reading()
        memory.passes(8)
        peer.wire.reads_on()
        peer.read()
        assert peer.answer(1).reset is None
