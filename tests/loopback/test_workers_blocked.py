"""`--worker-timeout`: a worker whose event loop is blocked is replaced, and nobody else."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.support import needed
from tests.support.supervised import Row, Supervised, is_alive

Start = Callable[..., Supervised]

TIMEOUT = 2
BLOCKS = {
    "/sleep": "do_sleep",
    "/expression": "do_expression",
    "/gil": "do_gil",
}


@pytest.fixture
def watched(supervised: Start) -> Start:
    """Start a server with a short timeout."""

    def start(*arguments: str, **how: object) -> Supervised:
        return supervised("--worker-timeout", str(TIMEOUT), *arguments, **how)

    return start


@pytest.mark.parametrize("path", BLOCKS)
def test_blocked(watched: Start, path: str) -> None:
    """The successor is ready first; the log has the stack with the slot; then the worker ends."""
    running = watched(workers="1")
    (before,) = running.until_workers(1)
    with running.send(path) as connection:
        running.wait_for(
            rf"CRITICAL +The event loop of worker 1 \(process {before.pid}, generation 1\) has "
            r"been blocked for \d+ seconds"
        )
        running.wait_for(
            rf"process {before.pid}, generation 1\) was executing:\n(?s:.*){BLOCKS[path]}"
        )
        running.wait_for(rf"process {before.pid}, generation 1\) was ended by SIG(ABRT|KILL)")
        assert connection.recv(65536) == b""
    (after,) = running.until_workers(1)
    assert (after.slot, after.generation) == (1, 1)
    log = running.log
    ready = log.index(f"Worker 1 (process {after.pid}, generation 1) is ready")
    assert ready < log.index("was executing:")
    assert running.ask()["pid"] == after.pid
    assert "started again in" not in log


def test_sibling_serves_meanwhile(watched: Start) -> None:
    """A worker that is blocked gets nothing new: the sibling answers at once."""
    running = watched()
    first = {row.pid for row in running.until_workers(2)}
    with running.send("/sleep"):
        blocked = int(running.wait_for(r"event loop of worker \d \(process (\d+),")[1])
        assert running.ask()["pid"] in first - {blocked}
        needed.until(lambda: not is_alive(blocked))
    assert first - {blocked} <= {row.pid for row in running.until_workers(2)}


class TestNever:
    """Silence that is no reason."""

    def test_supervisor_was_stopped(self, watched: Start) -> None:
        """The supervisor was suspended for longer than the timeout."""
        running = watched()
        before = running.until_workers(2)
        running.signal(signal.SIGSTOP)
        suspended(TIMEOUT + 1)
        running.signal(signal.SIGCONT)
        suspended(TIMEOUT + 1)
        self.assert_untouched(running, before)

    def test_worker_was_stopped(self, watched: Start) -> None:
        """A worker was suspended, as by a debugger or a terminal, and runs again."""
        running = watched()
        before = running.until_workers(2)
        os.kill(before[0].pid, signal.SIGSTOP)
        try:
            suspended(2 * TIMEOUT + 1)
        finally:
            os.kill(before[0].pid, signal.SIGCONT)
        suspended(TIMEOUT + 1)
        self.assert_untouched(running, before)

    def test_both_were_stopped(self, watched: Start) -> None:
        """A machine was suspended: all processes at the same time, the supervisor wakes first."""
        running = watched()
        before = running.until_workers(2)
        pids = [running.process.pid, *(row.pid for row in before)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        suspended(2 * TIMEOUT)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
            suspended(0.3)
        suspended(TIMEOUT + 1)
        self.assert_untouched(running, before)

    def test_slow_import(self, watched: Start) -> None:
        """A start-up that takes longer than the timeout."""
        running = watched(environment={"IMPORT_SECONDS": str(2 * TIMEOUT)})
        before = running.until_workers(2)
        self.assert_untouched(running, before)

    def test_load(self, watched: Start) -> None:
        """wrk keeps all of them busy."""
        running = watched()
        before = running.until_workers(2)
        done = subprocess.run(
            [needed.program("wrk", "wrk"), "-t2", "-c200", f"-d{3 * TIMEOUT}s", running.url],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert int(re.search(r"(\d+) requests in", done.stdout)[1]) > 100  # type: ignore[index]
        self.assert_untouched(running, before)

    def test_disabled(self, supervised: Start) -> None:
        """With 0, a worker may be blocked as long as it wants."""
        running = supervised("--worker-timeout", "0", workers="1")
        before = running.until_workers(1)
        assert running.ask("/sleep?seconds=4")["pid"] == before[0].pid
        self.assert_untouched(running, before)

    def assert_untouched(self, running: Supervised, before: list[Row]) -> None:
        """Everybody is still there, serves, and the log accuses nobody."""
        assert running.workers == before
        assert running.serving(len(before)) == {row.pid for row in before}
        assert ": replacing it" not in running.log
        assert "ERROR" not in running.log


def suspended(seconds: float) -> None:
    """Let time pass: the tests of this module are about time in which nothing happens."""
    time.sleep(seconds)
