"""Processor time and resident memory of a process tree, from /proc (Linux)."""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_OCTETS = os.sysconf("SC_PAGE_SIZE")

# Fields of /proc/PID/stat after the command name, counted from the state (proc_pid_stat(5)).
_PPID = 1
_TIMES = slice(11, 15)  # utime, stime, cutime, cstime


def _stat(pid: int) -> list[str] | None:
    """Return the fields after the command name, which may contain blanks and parentheses."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """Return `root` and its living descendants."""
    children: dict[int, list[int]] = {}
    for name in os.listdir(PROC):
        if name.isdecimal() and (stat := _stat(int(name))) is not None:
            children.setdefault(int(stat[_PPID]), []).append(int(name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def cpu_seconds(root: int) -> float:
    """Return user and system time of the tree with its ended children, to 10 ms."""
    stats = (_stat(pid) for pid in tree(root))
    ticks = sum(int(time) for stat in stats if stat is not None for time in stat[_TIMES])
    return ticks / TICKS_PER_SECOND


def resident_octets(root: int) -> int:
    """Return the sum of the tree's resident set sizes; shared pages count once per process."""
    pages = 0
    for pid in tree(root):
        try:
            pages += int((PROC / str(pid) / "statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return pages * PAGE_OCTETS
