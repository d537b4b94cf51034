"""Ports accept unless there is a reason to pause; a shortage of descriptors is one."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from daphne_like.listening.accepting import Accepting, PauseReason
from daphne_like.listening.descriptor_reserve import LOOK_SECONDS, ROOM, DescriptorReserve
from daphne_like.observe.descriptors import DescriptorWatch
from daphne_like.runtime import descriptor_limit

BALANCE, DESCRIPTORS = PauseReason.BALANCE, PauseReason.DESCRIPTORS


class Turns:
    """Ports in memory: True for each resume and False for each pause."""

    def __init__(self) -> None:
        self.turns: list[bool] = []
        self.accepting = Accepting(
            lambda: self.turns.append(True), lambda: self.turns.append(False)
        )


class TestAccepting:
    """Reasons of several parts."""

    def test_until_the_last_reason_has_gone(self) -> None:
        """The ports are touched at the first reason and at the end of the last one only."""
        ports = Turns()
        ports.accepting.open()
        for reason in (BALANCE, DESCRIPTORS, BALANCE):
            ports.accepting.pause(reason)
        ports.accepting.resume(BALANCE)
        ports.accepting.resume(BALANCE)
        assert ports.turns == [True, False]
        ports.accepting.resume(DESCRIPTORS)
        assert ports.turns == [True, False, True]

    def test_before_the_ports_are_open(self) -> None:
        """A reason that exists at the start delays it; one that has gone opens nothing."""
        ports = Turns()
        ports.accepting.pause(BALANCE)
        ports.accepting.resume(BALANCE)
        assert ports.turns == []
        ports.accepting.pause(DESCRIPTORS)
        ports.accepting.open()
        assert ports.turns == []
        ports.accepting.resume(DESCRIPTORS)
        assert ports.turns == [True]


class FakeProcess:
    """The descriptors of a process, as a test wants them."""

    def __init__(self) -> None:
        self.used, self.limit, self.error = 100, 1000, 0
        self.counts = 0

    def soft_limit(self) -> int:
        """Return the limit."""
        return self.limit

    def lowest_free(self) -> int:
        """Return the next number: there are no gaps."""
        if self.error:
            raise OSError(self.error, "on purpose")
        return self.used

    def count_used(self) -> int:
        """Count."""
        self.counts += 1
        return self.lowest_free()


class Shortage:
    """A server's ports that accept connections of a process with few descriptors."""

    def __init__(self) -> None:
        self.ports = Turns()
        self.ports.accepting.open()
        self.clock = Clock()
        self.process = FakeProcess()
        self.changes: list[bool] = []
        self.reserve = DescriptorReserve(
            self.ports.accepting, lambda: 2, self.process, DescriptorWatch(self.clock.seconds)
        )
        self.reserve.changed = self.changes.append
        loop: Any = Loop(self.clock)
        self.reserve.use_loop(loop)

    def accept(self, number: int = 1) -> None:
        """Accept connections, whether the ports are paused or not."""
        for _ in range(number):
            self.process.used += 1
            self.reserve.accepted()


@pytest.fixture
def short() -> Shortage:
    """Return a server with 1000 descriptors, of which 100 are used."""
    return Shortage()


class TestDescriptorReserve:
    """Pauses below the limit."""

    def test_exactly(self, short: Shortage) -> None:
        """Paused when 50 are left, after few counts; resumed with some room."""
        short.accept(849)
        assert short.ports.turns == [True]
        short.accept()
        assert (short.process.used, short.ports.turns, short.changes) == (
            950,
            [True, False],
            [True],
        )
        assert short.process.counts < 20
        short.accept(3)
        short.reserve.check()
        short.process.used = 951 - ROOM
        short.clock.advance(LOOK_SECONDS)
        assert short.ports.turns == [True, False]
        short.process.used -= 2
        short.clock.advance(LOOK_SECONDS)
        assert (short.ports.turns, short.changes) == ([True, False, True], [True, False])
        assert short.clock.getDelayedCalls() == []

    def test_no_creep(self, short: Shortage) -> None:
        """However often connections end and others come, the reserve stays."""
        short.accept(850)
        for _ in range(100):
            short.process.used -= ROOM
            short.clock.advance(LOOK_SECONDS)
            while short.ports.turns[-1]:
                short.accept()
            assert short.process.used == 950

    def test_little_room(self, short: Shortage) -> None:
        """Where an application leaves few descriptors to connections, these are used.

        The ports need one each, and one is for a connection.
        """
        short.accept(850)
        short.process.used = 950 - 3
        short.clock.pump([LOOK_SECONDS] * 5)
        assert short.ports.turns == [True, False]
        short.clock.advance(LOOK_SECONDS)
        assert short.ports.turns == [True, False, True]

    def test_the_application_uses_them(self, short: Shortage) -> None:
        """Without new connections the periodic check finds the shortage."""
        short.accept()
        short.reserve.check()
        assert short.ports.turns == [True]
        short.process.used = 950
        short.reserve.check()
        assert short.ports.turns == [True, False]

    def test_the_application_lowers_the_limit(self, short: Shortage) -> None:
        """The new limit holds at once."""
        short.accept()
        short.process.limit = 132
        short.reserve.check()
        assert short.ports.turns == [True, False]

    @pytest.mark.parametrize(
        ("error", "turns"),
        [(errno.EMFILE, [True, False]), (errno.ENFILE, [True, False]), (errno.ENOENT, [True])],
    )
    def test_errors(self, short: Shortage, error: int, turns: list[bool]) -> None:
        """No descriptor at all, in the process or in the system; other errors say nothing."""
        short.process.error = error
        short.reserve.check()
        assert short.ports.turns == turns

    def test_stop(self, short: Shortage) -> None:
        """The ports of a server that has stopped are left alone."""
        short.accept(850)
        short.reserve.stop()
        short.process.used = 100
        short.clock.advance(1)
        short.accept(900)
        short.reserve.check()
        assert short.ports.turns == [True, False]


class Loop:
    """The timers of an event loop on a Clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def time(self) -> float:
        """Return the time."""
        return self._clock.seconds()

    def call_later(self, delay: float, call: Any) -> Any:
        """Plan a call, which can be cancelled."""
        return self._clock.callLater(delay, call)


class TestLimit:
    """runtime/descriptor_limit.py, with the descriptors of this process."""

    @pytest.mark.parametrize(
        ("limit", "kept"), [(20, 5), (100, 25), (256, 32), (1024, 51), (524288, 26214)]
    )
    def test_reserve(self, limit: int, kept: int) -> None:
        """One twentieth, at least 32, at most a quarter."""
        assert descriptor_limit.reserve(limit) == kept

    def test_count(self) -> None:
        """One more counts as one more; counting itself leaves none open."""
        before = descriptor_limit.count_used()
        assert descriptor_limit.lowest_free() <= before
        with Path(os.devnull).open():
            assert descriptor_limit.count_used() == before + 1
        assert descriptor_limit.count_used() == before
