"""The wheel of deadlines."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable

import pytest

from daphne_like.runtime.timer_wheel import NEVER, TICK_SECONDS, TimerWheel


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Waiter:
    """Waits; `then` is what it does when it was late."""

    def __init__(self, wheel: TimerWheel, deadline: float) -> None:
        self.wheel = wheel
        self.deadline = NEVER
        self.scheduled_at = NEVER
        self.passed: list[float] = []
        self.then: Callable[[], None] = lambda: None
        self.move(deadline)

    def move(self, deadline: float) -> None:
        self.deadline = deadline
        if deadline < self.scheduled_at:
            self.wheel.add(self)

    def deadline_passed(self) -> None:
        self.passed.append(self.wheel.now)
        self.then()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wheel(clock: Clock) -> TimerWheel:
    return TimerWheel(clock)


def run(wheel: TimerWheel, clock: Clock, seconds: float, step: float = TICK_SECONDS) -> None:
    end = clock.now + seconds
    while clock.now < end:
        clock.now += step
        wheel.tick()


class TestDeadlines:
    """Every wait has a deadline."""

    @pytest.mark.parametrize("seconds", [0.1, 0.5, 0.6, 1, 10, 60])
    @pytest.mark.parametrize("step", [0.1, 0.3, TICK_SECONDS, 0.7])
    def test_on_time(self, wheel: TimerWheel, clock: Clock, seconds: float, step: float) -> None:
        """A deadline is never early and at most one tick, and one look, late."""
        waiter = Waiter(wheel, clock.now + seconds)
        due = waiter.deadline
        run(wheel, clock, seconds + 5, step)
        (passed,) = waiter.passed
        assert due <= passed <= due + TICK_SECONDS + step

    def test_once(self, wheel: TimerWheel, clock: Clock) -> None:
        """Ticks may come at any time, twice too; a deadline passes once."""
        waiter = Waiter(wheel, clock.now + 1)
        clock.now += 5
        for _ in range(3):
            wheel.tick()
        assert len(waiter.passed) == 1

    def test_moved_later(self, wheel: TimerWheel, clock: Clock) -> None:
        """Moving a deadline later is one store."""
        waiter = Waiter(wheel, clock.now + 1)
        waiter.deadline += 10
        run(wheel, clock, 9)
        assert not waiter.passed
        run(wheel, clock, 4)
        assert len(waiter.passed) == 1

    def test_moved_earlier(self, wheel: TimerWheel, clock: Clock) -> None:
        """Moving it earlier counts, and it passes once though it stands on the wheel twice."""
        waiter = Waiter(wheel, clock.now + 30)
        waiter.move(clock.now + 2)
        run(wheel, clock, 40)
        assert len(waiter.passed) == 1
        assert waiter.passed[0] < 1004

    def test_earlier_and_later_again(self, wheel: TimerWheel, clock: Clock) -> None:
        """However it was moved, the last word counts."""
        waiter = Waiter(wheel, clock.now + 30)
        waiter.move(clock.now + 2)
        waiter.move(clock.now + 50)
        run(wheel, clock, 45)
        assert not waiter.passed
        run(wheel, clock, 10)
        assert len(waiter.passed) == 1

    def test_never(self, wheel: TimerWheel, clock: Clock) -> None:
        """A wait that is over does not pass, and a new one does."""
        waiter = Waiter(wheel, clock.now + 2)
        waiter.deadline = NEVER
        run(wheel, clock, 10)
        assert not waiter.passed
        waiter.move(clock.now + 2)
        run(wheel, clock, 10)
        assert len(waiter.passed) == 1

    @pytest.mark.parametrize("ahead", [-5.0, 0.0, 0.1, TICK_SECONDS, 5.0])
    def test_set_while_it_passes(self, wheel: TimerWheel, clock: Clock, ahead: float) -> None:
        """A wait that is set because another one passed is not lost, were it late already."""
        waiter = Waiter(wheel, clock.now + 1)

        def again() -> None:
            if len(waiter.passed) == 1:
                waiter.move(clock.now + ahead)

        waiter.then = again
        run(wheel, clock, 10)
        assert len(waiter.passed) == 2

    def test_clock_that_jumps(self, wheel: TimerWheel, clock: Clock) -> None:
        """A loop that was blocked for a minute looks at everything that is due, once."""
        waiters = [Waiter(wheel, clock.now + n) for n in range(1, 100)]
        clock.now += 60 + TICK_SECONDS
        wheel.tick()
        assert [len(waiter.passed) for waiter in waiters] == [1] * 60 + [0] * 39

    def test_one_that_fails(
        self, wheel: TimerWheel, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """K1: an error of one is logged and does not keep the others from being looked at."""
        first, second = (Waiter(wheel, clock.now + 1) for _ in range(2))

        def fail() -> None:
            raise ValueError

        first.then = fail
        with caplog.at_level(logging.ERROR):
            run(wheel, clock, 3)
        assert len(caplog.records) == 1
        assert len(second.passed) == 1

    def test_keeps_nothing(self, wheel: TimerWheel, clock: Clock) -> None:
        """An object that dies before its deadline does not stay in memory."""
        gc.collect()
        before = len([o for o in gc.get_objects() if type(o) is Waiter])
        for _ in range(100):
            Waiter(wheel, clock.now + 60).then = bool  # no cycle
        gc.collect()
        assert len([o for o in gc.get_objects() if type(o) is Waiter]) == before
        run(wheel, clock, 70)

    def test_cheap_to_move(self, wheel: TimerWheel, clock: Clock) -> None:
        """An idle connection whose deadline moves on is looked at once a period, not each tick."""
        waiter = Waiter(wheel, clock.now + 60)
        added = 0
        add = wheel.add

        def count(waiting: Waiter) -> None:
            nonlocal added
            added += 1
            add(waiting)

        wheel.add = count  # type: ignore[method-assign, assignment]
        for _ in range(1200):
            clock.now += TICK_SECONDS
            wheel.tick()
            waiter.move(clock.now + 60)
        assert added <= 12
        assert not waiter.passed
