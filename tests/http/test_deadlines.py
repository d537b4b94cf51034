"""The timeouts of a connection, and its end in every state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.http.h1.connection import CLOSED
from daphne_like.http.lingering import LINGER_SECONDS, MAX_LINGER_SECONDS
from daphne_like.runtime.drain_plan import IDLE_GRACE_SECONDS
from daphne_like.runtime.lifecycle import Stage
from daphne_like.runtime.timer_wheel import NEVER
from tests.support.applications import Script, body, start
from tests.support.memory import Memory, Wire
from tests.support.peers import (
    Recorder,
    answer_at_once,
    chunked,
    get,
    never_answer,
    post,
    read_answers,
    respond,
)

Serve = Callable[..., Memory]

NO_HOST = b"GET / HTTP/1.1\r\n\r\n"


async def streams_then_waits(scope: Any, receive: Any, send: Any) -> None:
    """Sends the beginning of a response, and waits for its peer to go."""
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"a", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass


async def never_reads(scope: Any, receive: Any, send: Any) -> None:
    """Neither reads nor answers."""
    await asyncio.get_running_loop().create_future()


async def streams_at_once(scope: Any, receive: Any, send: Any) -> None:
    """Answers in two parts, without reading."""
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"a", "more_body": True})
    await send({"type": "http.response.body"})


async def reads_once(scope: Any, receive: Any, send: Any) -> None:
    """Reads one event, and then no more."""
    await receive()
    await asyncio.get_running_loop().create_future()


# Name of a state: application, what is sent to come there, whether only the application is
# waited for.
STATES: dict[str, tuple[Any, tuple[bytes, ...], bool]] = {
    "new": (Recorder(), (), False),
    "empty line": (Recorder(), (b"\r\n",), False),
    "in the first head": (Recorder(), (b"GET / HT",), False),
    "idle": (Recorder(), (get(),), False),
    "idle after fields that came again": (Recorder(), (get(), get()), False),
    "idle after a body": (Recorder(), (post(b"abc"),), False),
    "idle after an unread body": (answer_at_once, (post(b"abc"),), False),
    "in the second head": (Recorder(), (get(), b"GET / HT"), False),
    "in the second head, which came with the first": (Recorder(), (get() + b"GET / HT",), False),
    "in a body": (Recorder(), (post(b"abc", size=10),), False),
    "in a chunked body": (Recorder(), (chunked(b"abc", end=False),), False),
    "in trailers": (Recorder(), (chunked(b"abc", end=False) + b"0\r\nX",), False),
    "in a body nobody reads": (never_reads, (post(b"abc", size=10),), False),
    "in a full body": (never_reads, (post(bytes(70000), size=100_000),), True),
    "in a body read too late": (reads_once, (post(bytes(70000), size=100_000),), False),
    "in a body that is awaited": (
        never_reads,
        (post(b"", b"Expect: 100-continue", size=3),),
        False,
    ),
    "in a body that is asked for": (
        Recorder(),
        (post(b"", b"Expect: 100-continue", size=3),),
        False,
    ),
    "discarding": (answer_at_once, (post(b"abc", size=10),), False),
    "discarding, full": (answer_at_once, (post(bytes(70000), size=100_000),), False),
    "discarding chunks": (streams_at_once, (chunked(b"abc", end=False),), False),
    "answering": (never_answer, (get(),), True),
    "answering, again": (never_reads, (get(), get()), True),
    "streaming": (streams_then_waits, (get(),), True),
    "answering, one ahead": (never_answer, (get() + get(),), True),
    "answering, sixteen ahead": (never_answer, (get() * 17,), True),
    "answering, more kept": (never_answer, (get() * 30,), True),
    "answering, half a head ahead": (never_answer, (get() + b"GET / HT",), False),
    "answering, half a body ahead": (never_answer, (get() + post(b"abc", size=10),), False),
    "answering, a full body ahead": (never_answer, (get() + post(bytes(70000), size=10**5),), True),
    "answering, then close": (never_answer, (get(b"/", b"Connection: close"),), True),
    "answering, garbage ahead": (never_answer, (get() + NO_HOST,), True),
    "answering, bad body ahead": (never_answer, (get() + chunked(end=False) + b"zz\r\n",), True),
    "refused": (Recorder(), (NO_HOST,), False),
    "refused in a body": (Recorder(), (chunked(end=False) + b"zz\r\n",), False),
    "upgrade": (Recorder(), (get(b"/", b"Upgrade: a", b"Connection: upgrade"),), False),
    "in a body with an upgrade": (
        Recorder(),
        (post(b"", b"Upgrade: a", b"Connection: upgrade", size=3),),
        False,
    ),
}

STATE_NAMES = list(STATES)


def reach(serve: Serve, state: str, **settings: Any) -> tuple[Memory, Wire]:
    """A connection in the state of that name."""
    application, data, _ = STATES[state]
    if isinstance(application, Recorder):
        application = Recorder()
    memory = serve(application, **settings)
    return memory, memory.connect().sends(*data)


def ends(memory: Memory, wire: Wire, within: float) -> None:
    """Let time pass; the connection must be gone by then."""
    for _ in range(int(within)):
        memory.passes(1)
    assert wire.lost
    assert wire.protocol.deadline == NEVER
    assert wire.protocol not in memory.server.connections


class TestEveryState:
    """S24: every connection has a deadline, in each state."""

    @pytest.mark.parametrize("state", STATE_NAMES)
    def test_deadline(self, serve: Serve, state: str) -> None:
        """There is a deadline except while only the application is waited for."""
        _, wire = reach(serve, state)
        assert (wire.protocol.deadline == NEVER) == STATES[state][2]

    @pytest.mark.parametrize("state", STATE_NAMES)
    def test_deadline_with_http_timeout(self, serve: Serve, state: str) -> None:
        """With an http_timeout there always is one."""
        _, wire = reach(serve, state, http_timeout=30)
        assert wire.protocol.deadline < memory_end(wire)

    @pytest.mark.parametrize("state", STATE_NAMES)
    def test_ends(self, serve: Serve, state: str) -> None:
        """A peer that does nothing any more is gone in the end; two answers to one never."""
        memory, wire = reach(serve, state, http_timeout=30)
        ends(memory, wire, 250)
        assert not memory.server.instances

    @pytest.mark.parametrize("state", STATE_NAMES)
    def test_transport_that_does_not_drain(self, serve: Serve, state: str) -> None:
        """Nor does one that reads nothing stay, in whichever state it stopped."""
        memory, wire = reach(serve, state, http_timeout=30)
        if wire.producer is not None:
            wire.stops_reading()
            memory.settle()
        assert wire.protocol.deadline < memory_end(wire)
        ends(memory, wire, 250)

    @pytest.mark.parametrize("state", STATE_NAMES)
    def test_stalls_and_reads_on(self, serve: Serve, state: str) -> None:
        """A peer that stopped reading for a while is where it was before."""
        memory, wire = reach(serve, state)
        deadline, paused = wire.protocol.deadline, wire.paused
        if wire.producer is not None:
            wire.stops_reading()
            memory.settle()
            wire.reads_on()
        assert (wire.protocol.deadline, wire.paused) == (deadline, paused)

    @pytest.mark.parametrize("state", STATE_NAMES)
    def test_fin(self, serve: Serve, state: str) -> None:
        """S24: the peer's FIN: what is owed is answered, and the application is told."""
        memory, wire = reach(serve, state)
        wire.fin()
        ends(memory, wire, 120)
        assert not memory.server.instances

    @pytest.mark.parametrize("state", STATE_NAMES)
    def test_fin_then_reset(self, serve: Serve, state: str) -> None:
        """S24: a reset after it ends everything at once."""
        memory, wire = reach(serve, state)
        wire.fin()
        wire.vanishes()
        assert wire.lost
        assert wire.protocol.deadline == NEVER
        memory.passes(11)
        assert not memory.server.instances

    @pytest.mark.parametrize("state", STATE_NAMES)
    def test_lost(self, serve: Serve, state: str) -> None:
        """A lost connection informs its applications and leaves nothing in memory."""
        memory, wire = reach(serve, state)
        wire.vanishes()
        assert wire.protocol.deadline == NEVER
        assert wire.protocol._read_state is CLOSED
        assert not memory.server.connections
        memory.passes(11)
        assert not memory.server.instances

    @pytest.mark.parametrize("state", STATE_NAMES)
    def test_lost_while_nothing_is_read(self, serve: Serve, state: str) -> None:
        """Nor if the transport was full."""
        memory, wire = reach(serve, state)
        if wire.producer is not None:
            wire.stops_reading()
        wire.vanishes()
        memory.passes(11)
        assert wire.protocol.deadline == NEVER
        assert not memory.server.instances

    @pytest.mark.parametrize("state", STATE_NAMES)
    def test_stop(self, serve: Serve, state: str) -> None:
        """A stop: what is idle closes, what is owed is finished, nothing more is begun."""
        memory, wire = reach(serve, state)
        running = len(memory.server.instances)
        memory.server.lifecycle.enter(Stage.DRAINING)
        for owner in list(memory.server.instances):
            owner.server_stops()
        wire.protocol.close_when_idle()
        memory.settle()
        assert len(memory.server.instances) == running
        wire.protocol.disconnect_application()
        memory.settle()
        for task in list(memory.server.instances.values()):
            task.cancel()
        ends(memory, wire, 120)
        assert not memory.server.instances

    @pytest.mark.parametrize("state", STATE_NAMES)
    @pytest.mark.parametrize("data", [get(), b"\x00" * 100, b"\r\n\r\n", bytes(100_000), NO_HOST])
    def test_more_octets(self, serve: Serve, state: str, data: bytes) -> None:
        """Whatever comes then, nothing escapes and the connection still ends."""
        memory, wire = reach(serve, state, http_timeout=30)
        wire.sends(data)
        wire.sends(data)
        ends(memory, wire, 250)


def memory_end(wire: Wire) -> float:
    return wire.memory.now + 61


class TestHead:
    """S35: `--header-timeout` is for the whole head, absolute (408)."""

    def test_slow_head(self, serve: Serve) -> None:
        """S35: an octet now and then does not move the deadline."""
        memory = serve(Recorder())
        wire = memory.connect()
        for n in range(10):
            assert not wire.written
            wire.gets(b"GET / HTTP/1.1"[n : n + 1])
            memory.passes(1)
        memory.passes(1)
        assert [answer.status for answer in read_answers(wire.written)] == [408]
        assert wire.half_closed

    def test_just_in_time(self, serve: Serve) -> None:
        """A head that is whole before the deadline is served."""
        memory = serve(Recorder())
        wire = memory.connect().sends(get()[:-1])
        memory.passes(9.9)
        wire.sends(get()[-1:])
        memory.passes(30)
        assert [answer.status for answer in read_answers(wire.written)] == [200]
        assert not wire.closing

    def test_empty_lines(self, serve: Serve) -> None:
        """Empty lines are a beginning of a head: they do not keep an idle connection."""
        memory = serve(Recorder())
        wire = memory.connect()
        for _ in range(11):
            wire.gets(b"\r\n\r\n")
            memory.passes(1)
        assert [answer.status for answer in read_answers(wire.written)] == [408]

    @pytest.mark.parametrize("before", [get(), post(b"abc"), post(b"ab", size=3)])
    def test_of_the_next_request(self, serve: Serve, before: bytes) -> None:
        """It holds for every head, also for one whose beginning came behind a body."""
        memory = serve(answer_at_once)
        wire = memory.connect().sends(before)
        wire.sends(b"c" * (b"Length: 3" in before and not before.endswith(b"c")) + b"GET / HT")
        memory.passes(9)
        assert len(read_answers(wire.written)) == 1
        memory.passes(1.5)
        assert [answer.status for answer in read_answers(wire.written)] == [200, 408]

    def test_option(self, serve: Serve) -> None:
        """It is an option."""
        memory = serve(Recorder(), header_timeout=3)
        wire = memory.connect().sends(b"G")
        memory.passes(3.5)
        assert [answer.status for answer in read_answers(wire.written)] == [408]

    def test_one_answer(self, serve: Serve) -> None:
        """A head that was refused in its middle is not refused again when its time is over."""
        memory = serve(Recorder())
        wire = memory.connect().sends(b"GET / HT", b"\x00")
        for _ in range(15):
            wire.gets(b"a")
            memory.passes(1)
        assert len(read_answers(wire.written)) == 1


class TestIdle:
    """`--keep-alive-timeout`: an idle connection is closed."""

    @pytest.mark.parametrize("data", [(), (get(),), (get(), get()), (post(b"abc"),)])
    def test_closed(self, serve: Serve, data: tuple[bytes, ...]) -> None:
        """An idle connection is closed without a word, not before its time."""
        memory = serve(Recorder())
        wire = memory.connect().sends(*data)
        answers = len(data)
        memory.passes(59)
        assert not wire.closing
        memory.passes(1.5)
        assert wire.lost
        assert not wire.aborted
        assert len(read_answers(wire.written)) == answers

    def test_moves_on(self, serve: Serve) -> None:
        """Each request begins it anew; an application that takes longer is not meant."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await free.wait()
            await respond(send)

        free = asyncio.Event()
        free.set()
        memory = serve(application)
        wire = memory.connect()
        for _ in range(5):
            wire.sends(get())
            memory.passes(50)
        free.clear()
        wire.sends(get())
        memory.passes(100)
        assert not wire.closing
        free.set()
        memory.settle()
        assert len(read_answers(wire.written)) == 6

    def test_behind_a_discarded_body(self, serve: Serve) -> None:
        """A request that came with the end of a discarded body is no idle time."""
        free = asyncio.Event()
        free.set()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await free.wait()
            await respond(send)

        memory = serve(application)
        wire = memory.connect().sends(post(b"", size=3))
        free.clear()
        wire.sends(b"abc" + get())
        memory.passes(100)
        assert not wire.closing
        free.set()
        memory.settle()
        assert len(read_answers(wire.written)) == 2


class TestBody:
    """S35: a body has a minimum rate."""

    @pytest.mark.parametrize("make", [lambda: post(b"", size=10**6), lambda: chunked(end=False)])
    def test_stalled(self, serve: Serve, make: Callable[[], bytes]) -> None:
        """S35: a body that does not come is refused; the application is told."""
        application = Recorder()
        memory = serve(application)
        wire = memory.connect().sends(make())
        memory.passes(29)
        assert not wire.written
        memory.passes(1.5)
        assert [answer.status for answer in read_answers(wire.written)] == [408]
        assert application.ends == ["http.disconnect"]

    @pytest.mark.parametrize(("octets", "status"), [(7000, 408), (7300, 200)])
    def test_rate(self, serve: Serve, octets: int, status: int) -> None:
        """S35: 240 octets a second must come, over 30 seconds; single octets move nothing."""
        memory = serve(Recorder())
        wire = memory.connect().sends(post(b"", size=octets * 4))
        for _ in range(4 * 10):
            if wire.written:
                break
            wire.gets(bytes(octets // 10))
            memory.passes(3.05)
        assert [answer.status for answer in read_answers(wire.written)] == [status]

    def test_short_body(self, serve: Serve) -> None:
        """A short body may take the time of one look, not more."""
        memory = serve(Recorder())
        wire = memory.connect().sends(post(b"", size=3))
        for part in (b"a", b"b", b"c"):
            memory.passes(9)
            wire.gets(part)
        assert [answer.status for answer in read_answers(wire.written)] == [200]

    def test_application_that_does_not_read(self, serve: Serve) -> None:
        """The peer is not slow while the server does not read."""
        memory = serve(never_reads)
        wire = memory.connect().gets(post(bytes(1000), size=100_000), bytes(70000))
        for _ in range(10):
            memory.passes(20)
        assert not wire.closing

    @pytest.mark.parametrize("before", [0, 70000])
    def test_application_that_reads_late(self, serve: Serve, before: int) -> None:
        """From the moment on at which we read again the peer has its time."""
        go = asyncio.Event()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await go.wait()
            while (await receive())["type"] != "http.disconnect":
                pass

        memory = serve(application)
        wire = memory.connect()
        wire.gets(post(bytes(before), size=100_000), bytes(70000 - before))
        memory.passes(45)
        assert wire.paused
        go.set()
        memory.settle()
        assert not wire.paused
        memory.passes(29)
        assert not wire.written
        memory.passes(1.5)
        assert [answer.status for answer in read_answers(wire.written)] == [408]

    def test_application_that_asks_late(self, serve: Serve) -> None:
        """A peer that was told to wait has its time from 100 (Continue) on."""
        go = asyncio.Event()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await go.wait()
            while (await receive())["type"] != "http.disconnect":
                pass

        memory = serve(application)
        wire = memory.connect().sends(post(b"", b"Expect: 100-continue", size=3))
        memory.passes(31)
        memory.passes(28)
        go.set()
        memory.passes(0)
        memory.passes(29)
        assert [answer.status for answer in read_answers(wire.written)] == [100]
        memory.passes(1.5)
        assert [answer.status for answer in read_answers(wire.written)] == [100, 408]

    def test_of_a_discarded_body(self, serve: Serve) -> None:
        """A body nobody reads has to come, too; there is no second answer."""
        memory = serve(answer_at_once)
        wire = memory.connect().sends(post(b"", size=1000))
        memory.passes(31)
        assert len(read_answers(wire.written)) == 1
        assert wire.half_closed

    def test_of_a_request_ahead(self, serve: Serve) -> None:
        """Of a request that waits for its turn, too; the refusal comes in its turn."""
        memory = serve(never_answer, http_timeout=50)
        wire = memory.connect().sends(get() + post(b"", size=1000))
        memory.passes(31)
        assert not wire.written
        memory.passes(20)
        assert [answer.status for answer in read_answers(wire.written)] == [503]


class TestAnswer:
    """Daphne's --http-timeout."""

    def test_no_answer(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """503 when nothing of the answer is out; the application is told."""
        application = Recorder()

        async def waits(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await application(scope, receive, send)

        memory = serve(waits, http_timeout=5)
        wire = memory.connect().sends(get(b"/1") + get(b"/2"))
        memory.passes(4.9)
        assert not wire.written
        memory.passes(1)
        (answer,) = read_answers(wire.written)
        assert (answer.status, answer.closes) == (503, True)
        assert application.ends == ["http.disconnect"]
        assert wire.half_closed

    def test_head_is_out(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """With the head out the connection is cut."""
        memory = serve(streams_then_waits, http_timeout=5)
        wire = memory.connect().sends(get())
        memory.passes(6)
        assert wire.aborted

    def test_each_has_its_own(self, serve: Serve) -> None:
        """Pipelined requests have their time one after the other."""
        waiting: list[asyncio.Future[None]] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            waiting.append(asyncio.get_running_loop().create_future())
            await waiting[-1]
            await respond(send)

        memory = serve(application, http_timeout=5)
        wire = memory.connect().sends(get() * 4)
        for _ in range(4):
            memory.passes(4)
            waiting[-1].set_result(None)
            memory.settle()
        assert [answer.status for answer in read_answers(wire.written)] == [200] * 4
        memory.passes(30)
        assert not wire.closing


class TestWrite:
    """`--write-timeout`: a peer that does not read its response is cut off."""

    @pytest.mark.parametrize("http_timeout", [None, 500])
    def test_stalled(self, serve: Serve, http_timeout: int | None) -> None:
        """A peer that reads nothing for 60 s is cut, idle or not."""
        for application in (answer_at_once, streams_then_waits):
            memory = serve(application, http_timeout=http_timeout)
            wire = memory.connect().sends(get())
            wire.stops_reading()
            memory.passes(59)
            assert not wire.closing
            memory.passes(1.5)
            assert wire.aborted

    def test_reads_on(self, serve: Serve) -> None:
        """One that reads in time is idle afterwards."""
        memory = serve(answer_at_once)
        wire = memory.connect().sends(get())
        wire.stops_reading()
        memory.passes(50)
        wire.reads_on()
        memory.passes(50)
        assert not wire.closing
        wire.sends(get())
        memory.passes(61)
        assert len(read_answers(wire.written)) == 2
        assert wire.lost


class TestLingering:
    """RFC 9112, 9.6."""

    def test_ends(self, serve: Serve) -> None:
        """A peer that sends nothing more has a moment to close."""
        memory = serve(Recorder())
        wire = memory.connect().sends(NO_HOST)
        memory.passes(LINGER_SECONDS - 0.1)
        assert not wire.lost
        memory.passes(1)
        assert wire.lost
        assert not wire.aborted

    def test_still_sends(self, serve: Serve) -> None:
        """One that still sends is let finish, for a bounded time."""
        memory = serve(Recorder())
        wire = memory.connect().sends(NO_HOST)
        for _ in range(int(MAX_LINGER_SECONDS) - 2):
            wire.gets(b"a" * 1000)
            memory.passes(1)
            assert not wire.lost
        for _ in range(5):
            if not wire.lost:
                wire.gets(b"a")
            memory.passes(1)
        assert wire.lost

    def test_response_in_the_transport(self, serve: Serve) -> None:
        """A peer that reads slowly is not taken for a silent one."""
        script = Script()
        memory = serve(script, max_requests_per_connection=1)
        wire = memory.connect()
        wire._write_side_closed = lambda: None  # type: ignore[method-assign] # octets come first
        wire.sends(get())
        memory.loop.run_until_complete(script.send(start()))
        memory.loop.run_until_complete(script.send(body(b"a", True)))
        wire.stops_reading()
        sent = memory.loop.create_task(script.send(body(b"b")))
        memory.settle()
        assert wire.half_closed
        memory.passes(LINGER_SECONDS * 3)
        assert not wire.lost
        memory.passes(MAX_LINGER_SECONDS)
        assert wire.lost
        memory.loop.run_until_complete(asyncio.wait([sent]))


class TestStop:
    """A stop loses nothing that it need not lose."""

    def stop(self, memory: Memory, wire: Wire) -> None:
        memory.stops()
        memory.passes(IDLE_GRACE_SECONDS)

    def test_new_connection(self, serve: Serve) -> None:
        """A connection that is accepted after the grace of the stop is closed."""
        memory = serve(Recorder())
        memory.server.lifecycle.enter(Stage.CLOSING)
        wire = memory.connect()
        memory.settle()
        assert wire.lost

    def test_half_a_head(self, serve: Serve) -> None:
        """A request that has begun to come is served, with a close."""
        for before in ((), (get(b"/1"),)):
            memory = serve(Recorder())
            wire = memory.connect().sends(*before, get(b"/2")[:10])
            self.stop(memory, wire)
            wire.sends(get(b"/2")[10:])
            answers = read_answers(wire.written)
            assert (answers[-1].body, answers[-1].closes) == (b"/2", True)

    def test_half_a_body(self, serve: Serve) -> None:
        """A body that is on its way is read."""
        application = Recorder()
        memory = serve(application)
        wire = memory.connect().sends(post(b"ab", size=3))
        self.stop(memory, wire)
        wire.sends(b"c" + get())
        (answer,) = read_answers(wire.written)
        assert answer.closes
        assert application.bodies == [b"abc"]

    @pytest.mark.parametrize("requests", [1, 5])
    def test_in_flight(self, serve: Serve, requests: int) -> None:
        """Requests that have been read get responses, in order; the last one says close."""
        go = asyncio.Event()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await go.wait()
            await respond(send, scope["raw_path"])

        memory = serve(application)
        wire = memory.connect().sends(b"".join(get(b"/%d" % n) for n in range(requests)))
        self.stop(memory, wire)
        wire.sends(get(b"/late"))
        go.set()
        memory.settle()
        answers = read_answers(wire.written)
        assert [answer.body for answer in answers] == [b"/%d" % n for n in range(requests)]
        assert [answer.closes for answer in answers] == [False] * (requests - 1) + [True]
        wire.fin()
        assert wire.lost

    def test_streaming(self, serve: Serve) -> None:
        """A response whose head has not said close is finished, and then the connection closes."""
        go = asyncio.Event()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            await go.wait()
            await send({"type": "http.response.body", "body": b"b"})

        memory = serve(application)
        wire = memory.connect().sends(get())
        self.stop(memory, wire)
        go.set()
        memory.settle()
        assert [answer.body for answer in read_answers(wire.written)] == [b"ab"]
        assert wire.half_closed

    def test_disconnected(self, serve: Serve) -> None:
        """After the timeout the application is informed, and no other one starts."""
        memory = serve(never_answer)
        wire = memory.connect().sends(get() * 5)
        self.stop(memory, wire)
        wire.protocol.disconnect_application()
        memory.settle()
        assert not memory.server.instances
        assert wire.half_closed


class TestFin:
    """The peer closes its sending side."""

    def test_answers_are_read(self, serve: Serve) -> None:
        """A peer that sends its requests and a FIN gets all answers."""
        free = asyncio.Event()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await free.wait()
            await respond(send, scope["raw_path"])

        memory = serve(application)
        wire = memory.connect().sends(b"".join(get(b"/%d" % n) for n in range(10)))
        wire.fin()
        free.set()
        memory.settle()
        answers = read_answers(wire.written)
        assert [answer.body for answer in answers] == [b"/%d" % n for n in range(10)]
        assert wire.lost
        assert not wire.aborted

    def test_unfinished_ones_are_not(self, serve: Serve) -> None:
        """A request cut off by FIN is dropped; the requests before it get responses."""
        for cut in (b"GET / HT", post(b"ab", size=3), chunked(b"ab", end=False)):
            free = asyncio.Event()

            async def application(scope: Any, receive: Any, send: Any, free: Any = free) -> None:
                await free.wait()
                await respond(send, scope["raw_path"])

            memory = serve(application)
            wire = memory.connect().sends(get(b"/1") + cut)
            wire.fin()
            free.set()
            memory.settle()
            assert [answer.body for answer in read_answers(wire.written)] == [b"/1"]
            assert wire.lost

    def test_applications_are_told(self, serve: Serve) -> None:
        """S24: each application is told, also one that is begun later, and cancelled in time."""
        told: list[bytes] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            told.append(scope["raw_path"])
            await respond(send, scope["raw_path"])

        memory = serve(application)
        wire = memory.connect().sends(get(b"/1") + get(b"/2"))
        wire.fin()
        assert told == [b"/1", b"/2"]
        assert len(read_answers(wire.written)) == 2
        assert wire.lost
