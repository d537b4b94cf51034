"""The stop of a server, step by step, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.http.lingering import IDLE_LINGER_SECONDS
from daphne_like.options import Options
from daphne_like.runtime.drain_plan import IDLE_GRACE_SECONDS, LEAVE_SECONDS, DrainPlan
from daphne_like.runtime.lifecycle import Stage
from daphne_like.runtime.timer_wheel import TICK_SECONDS
from tests.support.memory import Memory, Wire
from tests.support.peers import answer_at_once, get, read_answers, respond
from tests.support.websocket_frames import closing, opening, read_frames

Serve = Callable[..., Memory]

GRACE = 30.0
SERVER = "daphne_like.server"


class Deaf:
    """An application that waits for ever: for the disconnect event first, if it listens.

    Attributes:
        told: it has got the disconnect event.
        cancelled: how often it was cancelled.
    """

    def __init__(self, *, leaves: bool = False) -> None:
        self.leaves = leaves
        self.told = False
        self.cancelled = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.told = True
            if not self.leaves:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def chat(scope: Any, receive: Any, send: Any) -> None:
    """Accept WebSockets and listen until they end; answer requests."""
    if scope["type"] == "http":
        await respond(send, b"ok")
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def count_events(scope: Any, receive: Any, send: Any) -> None:
    """An event stream that ends when its client has gone."""
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass


def open_websockets(memory: Memory, count: int) -> list[Wire]:
    """Wires with an open WebSocket, the answers to the handshakes taken."""
    wires = [memory.connect().sends(opening()) for _ in range(count)]
    for wire in wires:
        assert wire.take().startswith(b"HTTP/1.1 101 ")
    return wires


def told(wires: list[Wire]) -> list[bool]:
    """Which of them have had a close frame with 1012, and nothing else."""
    for wire in wires:
        assert read_frames(wire.written) in ([], [closing(1012, b"The server is stopping")])
    return [bool(wire.written) for wire in wires]


class TestStop:
    """docs/discussion/stopping.rst: the steps, and the time that each of them has."""

    def test_nothing_to_wait_for(self, serve: Serve) -> None:
        """A server without connections stops at once."""
        memory = serve(answer_at_once)
        stopping = memory.stops()
        assert stopping.done()
        assert memory.server.lifecycle.stage is Stage.STOPPED

    def test_idle_connections_have_a_grace(self, serve: Serve) -> None:
        """An idle connection is left open for a moment, then closed; then the stop is over."""
        memory = serve(answer_at_once)
        wire = memory.connect().sends(get(b"/1"))
        stopping = memory.stops()
        memory.passes(IDLE_GRACE_SECONDS * 0.9)
        assert (wire.closing, stopping.done()) == (False, False)
        assert memory.server.lifecycle.stage is Stage.DRAINING
        memory.passes(IDLE_GRACE_SECONDS * 0.2)
        assert (wire.lost, wire.aborted, stopping.done()) == (True, False, True)

    def test_a_request_is_finished(self, serve: Serve) -> None:
        """The stop waits for a response, for at most `graceful_timeout`."""
        gate = asyncio.Event()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await gate.wait()
            await respond(send, b"late")

        memory = serve(application, graceful_timeout=GRACE)
        wire = memory.connect().sends(get(b"/1"))
        stopping = memory.stops()
        memory.passes(GRACE - 1)
        assert not stopping.done()
        gate.set()
        memory.settle()
        (answer,) = read_answers(wire.written)
        assert (answer.body, answer.closes) == (b"late", True)
        wire.vanishes()
        assert stopping.done()

    def test_another_patience(self, serve: Serve) -> None:
        """Whoever stops the server may give open requests another time than the option."""
        application = Deaf(leaves=True)
        memory = serve(application, graceful_timeout=GRACE)
        drainer = memory.server.drainer
        before = drainer.limit
        drainer.plan = DrainPlan(2 * GRACE)
        assert drainer.limit == before + GRACE
        memory.connect().sends(get(b"/1"))
        memory.stops()
        memory.passes(IDLE_GRACE_SECONDS)
        memory.passes(2 * GRACE - IDLE_GRACE_SECONDS - 1)
        assert not application.told
        memory.passes(1)
        assert application.told

    def test_an_application_is_told(self, serve: Serve) -> None:
        """After `graceful_timeout` an application gets the disconnect event, and may end."""
        application = Deaf(leaves=True)
        memory = serve(application, graceful_timeout=GRACE)
        wire = memory.connect().sends(get(b"/1"))
        stopping = memory.stops()
        memory.passes(IDLE_GRACE_SECONDS)
        memory.passes(GRACE - IDLE_GRACE_SECONDS - 1)
        assert not application.told
        memory.passes(1)
        assert (application.told, application.cancelled) == (True, 0)
        assert memory.server.instances == {}
        wire.vanishes()
        assert stopping.done()

    def test_an_application_is_cancelled(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One that does not end then is cancelled, and the log says where it hung."""
        application = Deaf()
        memory = serve(application, graceful_timeout=GRACE)
        memory.connect().sends(get(b"/1"))
        with caplog.at_level(logging.WARNING, SERVER):
            stopping = memory.stops()
            memory.passes(IDLE_GRACE_SECONDS)
            memory.passes(GRACE)
            memory.passes(LEAVE_SECONDS * 0.9)
            assert (application.told, application.cancelled) == (True, 0)
            memory.passes(LEAVE_SECONDS * 0.2)
        assert application.cancelled == 1
        memory.passes(LEAVE_SECONDS)
        assert stopping.done()
        assert [text for text in caplog.messages if "does not end; cancelling it" in text]

    def test_a_second_signal(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """It ends each wait, whatever its time is."""
        application = Deaf(leaves=True)
        memory = serve(application, graceful_timeout=GRACE)
        wire = memory.connect().sends(get(b"/1"))
        stopping = memory.stops()
        assert not stopping.done()
        with caplog.at_level(logging.WARNING, SERVER):
            memory.server.drainer.force()
            memory.settle()
        assert caplog.messages[0] == "Second signal: stopping without waiting any longer"
        assert application.cancelled == 1
        assert (wire.aborted, stopping.done()) == (True, True)


class TestPatientStop:
    """docs/discussion/stopping.rst: the stop of SIGTERM."""

    def test_a_request_after_three_seconds(self, serve: Serve) -> None:
        """An idle connection is served once more, and then closed."""
        memory = serve(answer_at_once)
        wires = [memory.connect().sends(get(b"/1")), memory.connect()]
        memory.stops(DrainPlan(GRACE, idle=5, lingers=True))
        memory.passes(3)
        for wire in wires:
            assert not wire.closing
            wire.sends(get(b"/2"))
            assert read_answers(wire.written)[-1].closes
            assert (wire.half_closed, wire.aborted) == (True, False)

    def test_nothing_comes(self, serve: Serve) -> None:
        """FIN first; the connection is closed when the peer does not react within a second."""
        memory = serve(answer_at_once)
        wire = memory.connect().sends(get(b"/1"))
        stopping = memory.stops(DrainPlan(GRACE, idle=5, lingers=True))
        memory.passes(4.9)
        assert not wire.closing
        memory.passes(0.2)
        assert (wire.half_closed, wire.lost) == (True, False)
        memory.passes(IDLE_LINGER_SECONDS + TICK_SECONDS)
        assert (wire.lost, wire.aborted, stopping.done()) == (True, False, True)

    def test_the_graceful_timeout_is_shorter(self, serve: Serve) -> None:
        """It bounds the time of idle connections."""
        memory = serve(answer_at_once)
        wire = memory.connect()
        memory.stops(DrainPlan(1, idle=5, lingers=True))
        memory.passes(0.9)
        assert not wire.closing
        memory.passes(0.2)
        assert (wire.half_closed, wire.aborted) == (True, False)

    @pytest.mark.parametrize("plan", [DrainPlan(0, idle=5), DrainPlan(GRACE, idle=0)])
    def test_no_time(self, serve: Serve, plan: DrainPlan) -> None:
        """Without any time for idle connections they are closed at once."""
        memory = serve(answer_at_once)
        wire = memory.connect().sends(get(b"/1"))
        stopping = memory.stops(dataclasses.replace(plan, lingers=True))
        memory.settle()
        assert (wire.lost, wire.aborted, stopping.done()) == (True, False, True)


class TestDelay:
    """`--shutdown-delay`: the server is not ready, but serves as before."""

    def test_serves_as_before(self, serve: Serve) -> None:
        """Responses do not close connections until the delay is over."""
        memory = serve(answer_at_once)
        lifecycle = memory.server.lifecycle
        lifecycle.enter(Stage.SERVING)
        wire = memory.connect().sends(get(b"/1"))
        memory.stops(DrainPlan(GRACE, delay=7))
        assert (lifecycle.stage, lifecycle.is_ready) == (Stage.LEAVING, False)
        assert memory.server.stopping
        memory.passes(6.9)
        wire.sends(get(b"/2"))
        new = memory.connect().sends(get(b"/1"))
        memory.passes(0.2)
        assert lifecycle.stage is Stage.DRAINING
        wire.sends(get(b"/3"))
        assert [answer.closes for answer in read_answers(wire.written)] == [False, False, True]
        assert [answer.closes for answer in read_answers(new.written)] == [False]

    def test_a_second_signal(self, serve: Serve) -> None:
        """It ends the delay, too."""
        memory = serve(answer_at_once)
        wire = memory.connect().sends(get(b"/1"))
        stopping = memory.stops(DrainPlan(GRACE, delay=7))
        memory.server.drainer.force()
        memory.settle()
        assert (wire.lost, stopping.done()) == (True, True)

    def test_before_it_accepts(self, serve: Serve) -> None:
        """A server that has not served does not wait."""
        memory = serve(answer_at_once)
        memory.server.lifecycle.enter(Stage.BOUND)
        assert memory.stops(DrainPlan(GRACE, delay=7)).done()

    def test_the_longest_stop(self, serve: Serve) -> None:
        """The time after which the event loop counts as blocked includes the delay."""
        drainer = serve(answer_at_once).server.drainer
        before = drainer.limit
        drainer.plan = dataclasses.replace(drainer.plan, delay=7)
        assert drainer.limit == before + 7


class TestSpread:
    """`--drain-spread`: WebSockets and event streams are told one after the other."""

    def test_websockets(self, serve: Serve) -> None:
        """1012, evenly, the first at once; requests are served meanwhile."""
        memory = serve(chat)
        wires = open_websockets(memory, 4)
        idle = memory.connect()
        memory.stops(DrainPlan(GRACE, idle=5, spread=8))
        assert told(wires) == [True, False, False, False]
        memory.passes(1.9)
        assert told(wires) == [True, False, False, False]
        memory.passes(0.2)
        assert told(wires) == [True, True, False, False]
        idle.sends(get(b"/1"))
        assert len(read_answers(idle.written)) == 1
        memory.passes(2)
        assert told(wires) == [True, True, True, False]
        memory.passes(2)
        assert told(wires) == [True] * 4

    def test_event_streams(self, serve: Serve) -> None:
        """`http.disconnect` likewise; each response is complete, and its connection gets FIN."""
        memory = serve(count_events)
        wires = [memory.connect().sends(get(b"/events")) for _ in range(2)]
        memory.stops(DrainPlan(GRACE, idle=5, spread=8, lingers=True))
        memory.passes(3.9)
        assert [wire.half_closed for wire in wires] == [True, False]
        memory.passes(0.2)
        assert [wire.half_closed for wire in wires] == [True, True]
        for wire in wires:
            (answer,) = read_answers(wire.written)
            assert (answer.body, wire.aborted) == (b"data: 1\n\n", False)

    def test_a_second_signal(self, serve: Serve) -> None:
        """It does not wait for the turns, and each client still hears why."""
        memory = serve(chat)
        wires = open_websockets(memory, 4)
        memory.stops(DrainPlan(GRACE, spread=20))
        memory.server.drainer.force()
        memory.settle()
        assert told(wires) == [True] * 4

    def test_an_event_stream_that_begins_later(self, serve: Serve) -> None:
        """It is told soon, and takes no turn."""
        memory = serve(count_events)
        wire = memory.connect()
        memory.stops(DrainPlan(GRACE, idle=5, spread=20))
        wire.sends(get(b"/events"))
        assert not wire.closing
        memory.passes(0.6)
        assert read_answers(wire.written)[0].body == b"data: 1\n\n"


class TestPlan:
    """Options become plans, by the kind of the stop."""

    def test_quick(self) -> None:
        """Ctrl-C: nothing is spread, nothing is delayed."""
        options = Options(graceful_timeout=20, drain_idle=9, drain_spread=9, shutdown_delay=9)
        assert DrainPlan.quick(options) == DrainPlan(20, IDLE_GRACE_SECONDS, 0, 0, lingers=False)

    def test_patient(self) -> None:
        """SIGTERM: as the options say."""
        options = Options(graceful_timeout=20, drain_idle=7, drain_spread=8, shutdown_delay=9)
        assert DrainPlan.patient(options) == DrainPlan(20, 7, 8, 9, lingers=True)

    def test_replaced(self) -> None:
        """A successor accepts connections already, so nothing is delayed."""
        options = Options(graceful_timeout=20, drain_idle=7, shutdown_delay=9)
        assert DrainPlan.replaced(options) == DrainPlan(20, 7, None, 0, lingers=True)

    @pytest.mark.parametrize(
        "asked", [{"drain_idle": 1}, {"drain_spread": 0}, {"shutdown_delay": 1}]
    )
    def test_without_signal(self, asked: dict[str, float]) -> None:
        """A stop by a program is quick, unless an option asks for the other kind."""
        options = Options(**asked)  # type: ignore[arg-type] # mypy does not know the names
        assert DrainPlan.without_signal(Options()) == DrainPlan.quick(Options())
        assert DrainPlan.without_signal(options) == DrainPlan.patient(options)

    @pytest.mark.parametrize(
        ("spread", "count", "seconds"),
        [(None, 0, 0), (None, 500, 0.5), (None, 50_000, 10), (3, 1, 3), (30, 1, 20), (0, 9, 0)],
    )
    def test_spread(self, spread: float | None, count: int, seconds: float) -> None:
        """1000 in a second by default, at most half of the graceful timeout."""
        assert DrainPlan(20, spread=spread).spread_for(count) == seconds
