"""When the silence of a worker means that its event loop is blocked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daphne_like.process import liveness
from daphne_like.process.liveness import LATE_SECONDS, Liveness, is_stopped

INTERVAL = 0.5
TIMEOUT = 30.0
linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


class Watch:
    """A supervisor's clock, which asks about one worker at each tick."""

    def __init__(self, pid: int = 2**22) -> None:
        self.now = 1000.0
        self.liveness = Liveness(INTERVAL)
        self._pid = pid

    def blocked_after(self, beat: float, until: float) -> float | None:
        """Tick on time; return the first time at which the worker counts as blocked."""
        while self.now < until:
            self.now += INTERVAL
            self.liveness.tick(self.now)
            if self.liveness.is_blocked(self._pid, beat, self.now, TIMEOUT):
                return self.now
        return None


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list; its item tells whether the worker is stopped."""
    state = [False]
    monkeypatch.setattr(liveness, "is_stopped", lambda pid: state[0])
    return state


class TestSilence:
    """A worker is blocked after the whole timeout, and not before."""

    def test_a_blocked_loop(self) -> None:
        """The timeout counts from the last beat."""
        assert Watch().blocked_after(1000.0, 1100.0) == 1000.0 + TIMEOUT

    def test_a_beating_loop(self) -> None:
        """A worker that beats is never blocked, however long it lives."""
        watch = Watch()
        for _ in range(200):
            assert watch.blocked_after(watch.now, watch.now + INTERVAL) is None

    def test_a_supervisor_that_was_late(self) -> None:
        """After a suspend, a frozen cgroup or starvation a worker gets the whole time again."""
        watch = Watch()
        assert watch.blocked_after(1000.0, 1020.0) is None
        watch.now += 2 * LATE_SECONDS
        woken = watch.now + INTERVAL
        found = watch.blocked_after(1000.0, 2000.0)
        assert found is not None
        assert found == woken + TIMEOUT

    def test_a_night_asleep(self) -> None:
        """The first tick after hours blames nobody."""
        watch = Watch()
        assert watch.blocked_after(1000.0, 1001.0) is None
        watch.now += 8 * 3600
        assert watch.blocked_after(1000.0, watch.now + TIMEOUT - 1) is None

    def test_a_tick_that_is_a_little_late(self) -> None:
        """A busy machine does not put a blocked worker off for ever."""
        watch = Watch()
        while watch.now < 1000.0 + TIMEOUT + 5:
            watch.now += LATE_SECONDS / 2
            if watch.blocked_after(1000.0, watch.now + INTERVAL):
                return
        pytest.fail("never blocked")

    def test_another_timeout(self) -> None:
        """The timeout may change with a restart; each question has its own."""
        watch = Watch()
        watch.blocked_after(1000.0, 1010.0)
        judged = [watch.liveness.is_blocked(1, 1000.0, 1010.0, seconds) for seconds in (5, 30, 0.1)]
        assert judged == [True, False, True]


class TestStopped:
    """A worker that a signal or a debugger has stopped is not blocked."""

    def test_while_it_is_stopped(self, stopped: list[bool]) -> None:
        """However long that takes."""
        stopped[0] = True
        assert Watch().blocked_after(1000.0, 2000.0) is None

    @pytest.mark.parametrize("seconds", [4, 29, 400])
    def test_after_it_goes_on(self, stopped: list[bool], seconds: int) -> None:
        """It gets the whole time after SIGCONT, from the last tick that has seen it stopped."""
        watch = Watch()
        stopped[0] = True
        assert watch.blocked_after(1000.0, 1000.0 + seconds) is None
        stopped[0] = False
        assert watch.blocked_after(1000.0, 2000.0) == 1000.0 + seconds + TIMEOUT

    def test_an_excuse_is_forgotten(self, stopped: list[bool]) -> None:
        """With the next beat, and with the process."""
        watch = Watch()
        stopped[0] = True
        watch.blocked_after(1000.0, 1040.0)
        stopped[0] = False
        watch.liveness.forget(2**22)
        assert watch.blocked_after(1000.0, 1041.0) == 1040.5

    @linux
    @pytest.mark.real
    def test_a_real_process(self, child: subprocess.Popen[bytes]) -> None:
        """SIGSTOP and SIGCONT are seen; a process that runs or has gone is not stopped."""
        assert not is_stopped(child.pid)
        os.kill(child.pid, signal.SIGSTOP)
        until(lambda: is_stopped(child.pid))
        os.kill(child.pid, signal.SIGCONT)
        until(lambda: not is_stopped(child.pid))
        child.kill()
        child.wait()
        assert not is_stopped(child.pid)

    @linux
    @pytest.mark.real
    def test_a_traced_process(self) -> None:
        """A debugger is attached, though the process runs at this moment."""
        traced = "import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(0, 0, 0, 0) and 77)\n"
        # PTRACE_TRACEME: the parent, which is this process, traces the child.
        run = subprocess.run([sys.executable, "-c", traced], check=False)
        if run.returncode == 77:
            pytest.skip("ptrace is not allowed here")
        wait = traced.replace("sys.exit(", "print(").rstrip() + "; sys.stdout.flush(); input()\n"
        with subprocess.Popen(
            [sys.executable, "-c", wait], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            assert is_stopped(child.pid)
            child.kill()


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Return a process that waits."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is true, for two seconds at most."""
    deadline = time.monotonic() + 2
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)
