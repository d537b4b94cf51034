"""Connections are balanced between workers that accept from the same sockets."""

from __future__ import annotations

import heapq
import itertools
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from daphne_like.process.balance import (
    MARGIN,
    PAUSE_SECONDS,
    SILENT_NANOSECONDS,
    Balance,
    watch_connections,
)
from daphne_like.process.scoreboard import Scoreboard, WorkerState, create_memory


class Loop:
    """An event loop whose time a test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()

    def call_later(self, delay: float, call: Callable[[], None]) -> None:
        """Plan a call."""
        heapq.heappush(self.calls, (self.now + delay, next(self._number), call))

    def nanoseconds(self) -> int:
        """Return the time as CLOCK_MONOTONIC has it."""
        return int(self.now * 1e9)

    def advance(self, seconds: float) -> None:
        """Let time pass, and run what is due."""
        until = self.now + seconds
        while self.calls and self.calls[0][0] <= until:
            self.now, _, call = heapq.heappop(self.calls)
            call()
        self.now = until


class FakeWorker:
    """A worker with a port in memory."""

    def __init__(self, board: Scoreboard, loop: Loop) -> None:
        self.accepting = True
        self.connections = 0
        self.turns: list[bool] = []
        self.entry = board.allocate()
        self._loop = loop
        given: Any = loop
        self.balance = Balance(
            board,
            self.entry,
            given,
            lambda: self._turn(False),
            lambda: self._turn(True),
            loop.nanoseconds,
        )
        self.entry.set_state(WorkerState.READY)
        self.beat()

    def _turn(self, accepting: bool) -> None:
        assert self.accepting is not accepting
        self.accepting = accepting
        self.turns.append(accepting)

    def beat(self) -> None:
        """Let the event loop turn."""
        self.entry.beat(self._loop.nanoseconds(), 0)

    def connect(self, number: int = 1) -> None:
        """Accept connections, as many as the balance lets."""
        for _ in range(number):
            if self.accepting:
                self.connections += 1
                self.balance.connected(self.connections)

    def disconnect(self, number: int = 1) -> None:
        """Lose connections."""
        for _ in range(number):
            self.connections -= 1
            self.balance.disconnected(self.connections)


@pytest.fixture
def loop() -> Loop:
    """Return an event loop."""
    return Loop()


@pytest.fixture
def board() -> Iterator[Scoreboard]:
    """Return a scoreboard."""
    descriptor = create_memory()
    yield Scoreboard(descriptor)
    os.close(descriptor)


class TestPauses:
    """When a worker stops accepting, and when it accepts again."""

    def test_the_least_loaded_never_pauses(self, board: Scoreboard, loop: Loop) -> None:
        """With one worker there is no pause; nor with others that have more."""
        worker = FakeWorker(board, loop)
        worker.connect(500)
        other = FakeWorker(board, loop)
        other.connect(500)
        assert (worker.turns, other.connections) == ([], 500)

    def test_too_many(self, board: Scoreboard, loop: Loop) -> None:
        """A worker pauses with more than the margin, and looks again every 20 ms."""
        worker, other = FakeWorker(board, loop), FakeWorker(board, loop)
        worker.connect(100)
        assert (worker.connections, worker.balance.paused) == (MARGIN + 1, True)
        loop.advance(PAUSE_SECONDS)
        assert not worker.accepting
        other.connect()
        loop.advance(PAUSE_SECONDS)
        assert (worker.turns, worker.balance.paused) == ([False, True], False)
        assert loop.calls == []

    def test_connections_that_close(self, board: Scoreboard, loop: Loop) -> None:
        """A worker that has lost enough accepts again, though no other one has got more."""
        worker, _ = FakeWorker(board, loop), FakeWorker(board, loop)
        worker.connect(100)
        worker.disconnect()
        loop.advance(PAUSE_SECONDS)
        assert worker.accepting

    def test_the_margin_grows(self, board: Scoreboard, loop: Loop) -> None:
        """With 800 connections each, 100 more are no reason to pause; 101 are."""
        worker, other = FakeWorker(board, loop), FakeWorker(board, loop)
        other.entry.set_connections(800)
        worker.balance.connected(900)
        assert worker.accepting
        worker.balance.connected(901)
        assert not worker.accepting

    def test_a_blocked_worker_is_not_waited_for(self, board: Scoreboard, loop: Loop) -> None:
        """Its port is open for the kernel, but nobody accepts there."""
        worker, _blocked = FakeWorker(board, loop), FakeWorker(board, loop)
        worker.connect(100)
        assert not worker.accepting
        loop.now += SILENT_NANOSECONDS / 1e9
        worker.beat()
        loop.advance(PAUSE_SECONDS)
        assert worker.accepting
        worker.connect(100)
        assert worker.connections == MARGIN + 1 + 100

    def test_a_worker_that_drains(self, board: Scoreboard, loop: Loop) -> None:
        """Once it drains, the balance touches its ports no more."""
        worker, other = FakeWorker(board, loop), FakeWorker(board, loop)
        worker.connect(100)
        worker.balance.stop()
        other.connect(8)
        loop.advance(1)
        other.balance.stop()
        other.connect(100)
        assert (worker.turns, other.turns, loop.calls) == ([False], [], [])

    def test_a_server_tells_its_connections(self, board: Scoreboard, loop: Loop) -> None:
        """`watch_connections` counts after the server has added or removed a connection."""
        worker = FakeWorker(board, loop)
        held: list[str] = []

        def admit(connection: str) -> bool:
            held.append(connection)
            return connection != "refused"

        context = SimpleNamespace(connected=admit, disconnected=held.remove)
        watch_connections(context, worker.balance, held)
        assert [context.connected(name) for name in ("a", "b", "refused")] == [True, True, False]
        assert worker.entry.read().connections == 3
        context.disconnected("b")
        assert worker.entry.read().connections == 2


class TestSpread:
    """Many connections that stay, as WebSockets do."""

    @pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
    @pytest.mark.parametrize("gap", [0.0, 0.0005, 0.01])
    def test_1000_over_4(
        self, board: Scoreboard, loop: Loop, order: tuple[int, ...], gap: float
    ) -> None:
        """The kernel always wakes the same worker first: fullest at most 1.25 times emptiest."""
        workers = [FakeWorker(board, loop) for _ in range(4)]
        longest_wait = 0.0
        for _ in range(1000):
            for worker in workers:
                worker.beat()
            arrived = loop.now
            while not any(worker.accepting for worker in workers):
                loop.advance(0.001)
                assert loop.now - arrived < 1, "nobody accepts any more"
            longest_wait = max(longest_wait, loop.now - arrived)
            next(workers[index] for index in order if workers[index].accepting).connect()
            loop.advance(gap)
        assert longest_wait < PAUSE_SECONDS + 0.002
        numbers = [worker.connections for worker in workers]
        assert sum(numbers) == 1000
        assert max(numbers) <= 1.25 * min(numbers)
