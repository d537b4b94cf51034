"""Counts the CPUs that this process may use, for `--workers auto`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

from daphne_like.process.cgroup import own_folders


def available_cpus() -> int:
    """Return the number of CPUs within the affinity and the CPU limit of the cgroup, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        number = len(os.sched_getaffinity(0))
    else:
        number = os.cpu_count() or 1
    limit = cpu_limit(own_folders())
    return max(1, number if limit is None else min(number, math.ceil(limit)))


def cpu_limit(folders: Iterable[Path]) -> float | None:
    """Return the number of CPUs that control groups allow; None without a limit.

    Args:
        folders: the control group and those above it; the limit of each applies.
    """
    limits = []
    for folder in folders:
        try:
            quota, period = map(int, (folder / "cpu.max").read_text().split())
            limits.append(quota / period)
        except (OSError, ValueError, ZeroDivisionError):
            continue  # "max" is no number: this group has no limit
    return min(limits, default=None)
