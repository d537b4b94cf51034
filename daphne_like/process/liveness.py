"""Decides whether a worker's event loop is blocked, and when not to trust its silence."""

from __future__ import annotations

from pathlib import Path

LATE_SECONDS = 1.0
"""A supervisor whose own tick is later than this was suspended, frozen or starved itself."""
SILENT_TICKS = 3
"""Ticks without a beat after which it is looked whether a process is stopped."""
STOPPED = ("T", "t")
"""States of a process that a signal or a debugger has stopped (proc_pid_stat(5))."""


class Liveness:
    """Judges the beats of all workers.

    The silence of a worker counts only while the supervisor itself ran on time and the worker was
    not stopped: after a suspend, a frozen cgroup or a SIGCONT each worker gets the whole time.

    Args:
        interval: seconds between two calls of `tick`.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._last_tick: float | None = None
        self._trusted_since = 0.0
        self._excused: dict[int, float] = {}

    def tick(self, now: float) -> None:
        """Record that the supervisor runs.

        Args:
            now: seconds of CLOCK_MONOTONIC.
        """
        if self._last_tick is not None and now - self._last_tick > self._interval + LATE_SECONDS:
            self._trusted_since = now
        self._last_tick = now

    def is_blocked(self, pid: int, beat: float, now: float, timeout: float) -> bool:
        """Tell whether the event loop of a worker is blocked.

        Args:
            pid: the worker's process.
            beat: time of its last beat, or of its start.
            now: seconds of CLOCK_MONOTONIC, as for `tick`.
            timeout: seconds without a beat after which an event loop counts as blocked.
        """
        if now - beat < min(timeout / 2, SILENT_TICKS * self._interval):
            self._excused.pop(pid, None)
            return False
        if is_stopped(pid):
            self._excused[pid] = now
        since = max(beat, self._trusted_since, self._excused.get(pid, 0.0))
        return now - since >= timeout

    def forget(self, pid: int) -> None:
        """Forget a process that has ended."""
        self._excused.pop(pid, None)


def is_stopped(pid: int) -> bool:
    """Tell whether a signal or a debugger has stopped a process; False where /proc is missing."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
        traced = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    state = status.rpartition(")")[2].split()[0]
    return state in STOPPED or "\nTracerPid:\t0\n" not in traced
