"""Describes in words how a worker process has ended."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from daphne_like.process.cgroup import own_folders
from daphne_like.wording import counted

STATUSES = {
    1: "it could not listen, or was ended",
    2: "its configuration or the import of the application failed",
    3: "the application's startup failed",
}
"""Exit statuses of the `daphne-like` command."""


def describe_ending(
    status: int | None,
    number: int | None,
    *,
    age: float,
    requests: int,
    resident: int | None,
    killed_by_us: bool,
    memory_kills: int = 0,
) -> str:
    """Return how a process has ended, for the log.

    Args:
        status: exit status; None if a signal has ended it.
        number: the signal; None if the process has exited.
        age: seconds that it has lived.
        requests: requests that it had started.
        resident: its resident memory in octets, as last seen; None if not known.
        killed_by_us: the supervisor has sent SIGKILL.
        memory_kills: processes that the kernel has killed for want of memory since it started.
    """
    if number is not None:
        how = f"was ended by {signal_name(number)}"
        if number == signal.SIGKILL and not killed_by_us:
            how += (
                ": by the kernel, which was out of memory"
                if memory_kills
                else ": perhaps by the kernel's OOM killer"
            )
    else:
        meaning = STATUSES.get(status or 0)
        how = f"has ended with status {status}" + (f" ({meaning})" if meaning else "")
    memory = "" if resident is None else f", {resident / 1048576:.0f} MiB of memory"
    return f"{how} after {counted(age, 'second', '.1f')}, {counted(requests, 'request')}{memory}"


def signal_name(number: int) -> str:
    """Return the name of a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def count_memory_kills(folders: Callable[[], Iterator[Path]] = own_folders) -> int:
    """Return how many processes of this cgroup the kernel has killed for want of memory.

    Args:
        folders: yields the folders of the control group and of those above.
    """
    try:
        events = (next(folders()) / "memory.events").read_text()
    except (OSError, StopIteration):
        return 0
    for line in events.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.isdecimal():
            return int(value)
    return 0
