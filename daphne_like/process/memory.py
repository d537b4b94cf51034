"""Tells whether there is memory for a second set of workers during a restart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from daphne_like.process.recycling import resident_memory

MARGIN = 1.1


def room_for(pids: Sequence[int]) -> bool:
    """Tell whether as much memory is free as these processes use, and a tenth more.

    True where the system does not tell.
    """
    used = sum(resident_memory(pid) or 0 for pid in pids)
    free = available()
    return free is None or free > used * MARGIN


def available() -> int | None:
    """Return the memory that this cgroup or machine has left, in octets; None if not known."""
    limits = [value for value in (_of_cgroup(), _of_machine()) if value is not None]
    return min(limits, default=None)


def _of_cgroup() -> int | None:
    try:
        path = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2]
        folder = Path(f"/sys/fs/cgroup{path}")
        limit = (folder / "memory.max").read_text().strip()
        return None if limit == "max" else int(limit) - int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return None


def _of_machine() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text()
        kibibytes = text.partition("MemAvailable:")[2].split()[0]
        return int(kibibytes) * 1024
    except (OSError, ValueError, IndexError):
        return None
