"""HTTP connections at the start of a stop, and after its idle grace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.http.h1.request_reader import MAX_PIPELINED
from daphne_like.http.h2.connection import ANNOUNCEMENT_SECONDS, LINGER_SECONDS, STOP_PING
from daphne_like.runtime.drain_plan import IDLE_GRACE_SECONDS, DrainPlan
from daphne_like.runtime.timer_wheel import TICK_SECONDS
from tests.support.applications import Script, body, start
from tests.support.h2_codes import NO_ERROR, REFUSED
from tests.support.h2_frames import ping
from tests.support.h2_peer import H2Peer
from tests.support.memory import Memory
from tests.support.peers import answer_at_once, get, read_answers, respond

Serve = Callable[..., Memory]

MAX_STREAM = 2**31 - 1
PATIENT = DrainPlan(30.0, idle=5.0, lingers=True)
EVENTS = [(b"Content-Type", b"text/event-stream; charset=utf-8")]


class Gated:
    """An application that answers with its path once the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.gate.wait()
        await respond(send, scope["raw_path"])


def begin(memory: Memory, plan: DrainPlan | None = None) -> None:
    """The stop begins."""
    memory.stops(plan)


def end_grace(memory: Memory) -> None:
    """The grace of the stop is over."""
    memory.passes(IDLE_GRACE_SECONDS)


class TestHTTP1:
    """docs/discussion/stopping.rst, on HTTP/1.1."""

    def test_the_next_request(self, serve: Serve) -> None:
        """An idle connection is served one more request, whose response says `close`."""
        memory = serve(answer_at_once)
        wire = memory.connect().sends(get(b"/1"))
        begin(memory)
        assert not wire.closing
        wire.sends(get(b"/2"))
        assert [answer.closes for answer in read_answers(wire.written)] == [False, True]
        assert (wire.half_closed, wire.aborted) == (True, False)

    def test_a_new_connection(self, serve: Serve) -> None:
        """One that the kernel had accepted before is served."""
        memory = serve(answer_at_once)
        memory.connect()  # the stop waits for it meanwhile
        begin(memory)
        wire = memory.connect().sends(get(b"/1"))
        assert [answer.closes for answer in read_answers(wire.written)] == [True]

    def test_nothing_comes(self, serve: Serve) -> None:
        """It is closed, not reset, when the grace is over."""
        memory = serve(answer_at_once)
        wire = memory.connect().sends(get(b"/1"))
        begin(memory)
        end_grace(memory)
        assert (wire.lost, wire.aborted) == (True, False)

    @pytest.mark.parametrize("grace_ends", [False, True])
    def test_pipelined(self, serve: Serve, grace_ends: bool) -> None:
        """Requests that have been read are answered, also those that are not parsed yet."""
        application = Gated()
        memory = serve(application)
        count = 3 * MAX_PIPELINED
        paths = [b"/%d" % index for index in range(count)]
        wire = memory.connect().sends(b"".join(map(get, paths)))
        begin(memory)
        if grace_ends:
            end_grace(memory)
        application.gate.set()
        memory.settle()
        memory.settle()
        answers = read_answers(wire.written)
        assert [answer.body for answer in answers] == paths
        assert [answer.closes for answer in answers] == [False] * (count - 1) + [True]
        assert (wire.half_closed, wire.aborted) == (True, False)

    def test_pipelined_later(self, serve: Serve) -> None:
        """After the idle grace, octets after the requests that were read are ignored."""
        application = Gated()
        memory = serve(application)
        count = 3 * MAX_PIPELINED
        wire = memory.connect().sends(get() * count)
        begin(memory)
        end_grace(memory)
        application.gate.set()
        memory.settle()
        wire.sends(get() * MAX_PIPELINED)
        assert len(read_answers(wire.written)) == count


class TestHTTP2:
    """RFC 9113, 6.8: a GOAWAY that announces the end, then one that names the last stream."""

    def test_streams_on_their_way(self, serve: Serve) -> None:
        """They are served within the grace."""
        memory = serve(answer_at_once)
        peer = H2Peer(memory)
        peer.asks()
        begin(memory)
        number = peer.asks()
        assert peer.answer(number).ended
        end_grace(memory)
        peer.read()
        assert peer.gone == [(NO_ERROR, MAX_STREAM), (NO_ERROR, number)]
        assert (peer.wire.lost, peer.wire.aborted) == (True, False)

    def test_a_new_connection(self, serve: Serve) -> None:
        """One that begins within the grace is told at once, and served."""
        memory = serve(answer_at_once)
        memory.connect()  # the stop waits for it meanwhile
        begin(memory)
        peer = H2Peer(memory)
        number = peer.asks()
        assert peer.answer(number).ended
        assert peer.gone == [(NO_ERROR, MAX_STREAM)]

    def test_announcement_is_read(self, serve: Serve) -> None:
        """The announcement is followed by a ping; after its answer the last stream is named."""
        application = Gated()
        memory = serve(application)
        peer = H2Peer(memory)
        first = peer.asks()
        begin(memory)
        peer.read()
        assert (peer.pings, peer.gone) == ([STOP_PING], [(NO_ERROR, MAX_STREAM)])
        between = peer.asks()
        peer.sends(ping(STOP_PING, ack=True))
        assert peer.gone[1:] == [(NO_ERROR, between)]
        refused = peer.asks()
        assert peer.answer(refused).reset == REFUSED
        application.gate.set()
        memory.settle()
        peer.read()
        assert [peer.answer(number).ended for number in (first, between)] == [True, True]
        assert (peer.wire.half_closed, peer.wire.aborted) == (True, False)

    def test_announcement_is_not_answered(self, serve: Serve) -> None:
        """The last stream is named after a second."""
        memory = serve(Gated())
        peer = H2Peer(memory)
        number = peer.asks()
        begin(memory, PATIENT)
        memory.passes(ANNOUNCEMENT_SECONDS - 0.1)
        peer.read()
        assert len(peer.gone) == 1
        memory.passes(0.1 + TICK_SECONDS)
        peer.read()
        assert peer.gone[1:] == [(NO_ERROR, number)]

    @pytest.mark.parametrize("acknowledges", [False, True])
    def test_idle(self, serve: Serve, acknowledges: bool) -> None:
        """An idle connection is served one more request after three seconds, as on HTTP/1.1."""
        memory = serve(answer_at_once)
        peer = H2Peer(memory)
        begin(memory, PATIENT)
        if acknowledges:
            peer.sends(ping(STOP_PING, ack=True))
        memory.passes(3)
        peer.read()
        assert peer.gone == [(NO_ERROR, MAX_STREAM)]
        number = peer.asks()
        assert peer.answer(number).ended
        assert peer.gone[1:] == [(NO_ERROR, number)]
        assert (peer.wire.half_closed, peer.wire.aborted) == (True, False)

    def test_nothing_comes(self, serve: Serve) -> None:
        """The connection gets the last GOAWAY and FIN, and a moment to close its side."""
        memory = serve(answer_at_once)
        peer = H2Peer(memory)
        stopping = memory.stops(PATIENT)
        memory.passes(PATIENT.idle - 0.1)
        assert not peer.wire.closing
        memory.passes(0.2)
        peer.read()
        assert peer.gone == [(NO_ERROR, MAX_STREAM), (NO_ERROR, 0)]
        assert (peer.wire.half_closed, peer.wire.lost) == (True, False)
        memory.passes(LINGER_SECONDS + TICK_SECONDS)
        assert (peer.wire.lost, peer.wire.aborted, stopping.done()) == (True, False, True)


class TestEventStreams:
    """`text/event-stream` has no end: its application hears of the stop at its beginning."""

    def test_http1(self, serve: Serve) -> None:
        """`http.disconnect`, while what it still sends goes out; its return completes it."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(get())
        run = memory.loop.run_until_complete
        run(script.receive())
        run(script.send(start(200, EVENTS)))
        run(script.send(body(b"data: 1\n\n", True)))
        begin(memory)
        assert run(script.receive())["type"] == "http.disconnect"
        run(script.send(body(b"data: 2\n\n", True)))
        script.returns()
        memory.settle()
        assert read_answers(wire.written)[0].body == b"data: 1\n\ndata: 2\n\n"
        assert not wire.aborted

    def test_http2(self, serve: Serve) -> None:
        """The same on a stream."""
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory)
        number = peer.asks()
        run = memory.loop.run_until_complete
        run(script.receive())
        run(script.send(start(200, EVENTS)))
        run(script.send(body(b"data: 1\n\n", True)))
        begin(memory)
        assert run(script.receive())["type"] == "http.disconnect"
        script.returns()
        memory.settle()
        peer.read()
        answer = peer.answer(number)
        assert (answer.body, answer.ended, answer.reset) == (b"data: 1\n\n", True, None)

    def test_other_streams(self, serve: Serve) -> None:
        """A download is not told: it is finished."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(get())
        run = memory.loop.run_until_complete
        run(script.receive())
        run(script.send(start()))
        run(script.send(body(b"a", True)))
        waiting = memory.loop.create_task(script.receive())
        begin(memory)
        assert not waiting.done()
        run(script.send(body(b"b")))
        assert read_answers(wire.written)[0].body == b"ab"
        waiting.cancel()
