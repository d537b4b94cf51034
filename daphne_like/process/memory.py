"""Tells whether there is memory for a second set of workers during a restart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from daphne_like.process.cgroup import own_folders
from daphne_like.process.recycling import resident_memory

MARGIN = 1.1
MACHINE = Path("/proc/meminfo")


def room_for(pids: Sequence[int]) -> bool:
    """Tell whether as much memory is free as these processes use, and a tenth more.

    True where the system does not tell.
    """
    used = sum(resident_memory(pid) or 0 for pid in pids)
    free = available(own_folders())
    return free is None or free > used * MARGIN


def available(folders: Iterable[Path], machine: Path = MACHINE) -> int | None:
    """Return the octets of memory that are left to this process; None if not known.

    Args:
        folders: the control group and those above it; the limit of each applies.
        machine: file with the memory of the machine.
    """
    rooms = [_in_group(folder) for folder in folders]
    rooms.append(_in_machine(machine))
    return min((room for room in rooms if room is not None), default=None)


def _in_group(folder: Path) -> int | None:
    """Return what a control group has left; cached files that nobody reads count as free."""
    try:
        limit = int((folder / "memory.max").read_text())  # fails for "max": no limit
        used = int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return limit - used + _read_number(folder / "memory.stat", "inactive_file ")


def _in_machine(path: Path) -> int | None:
    return _read_number(path, "MemAvailable:") * 1024 or None


def _read_number(path: Path, name: str) -> int:
    """Return the number after a name at the beginning of a line; 0 without one."""
    try:
        lines = path.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0
