"""Counts the CPUs that this process may use, for `--workers auto`."""

from __future__ import annotations

import math
import os
from pathlib import Path


def available_cpus() -> int:
    """Return the number of CPUs within the affinity and the CPU limit of the cgroup, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        number = len(os.sched_getaffinity(0))
    else:
        number = os.cpu_count() or 1
    limit = _cgroup_limit()
    return max(1, number if limit is None else min(number, math.ceil(limit)))


def _cgroup_limit(root: str = "/sys/fs/cgroup") -> float | None:
    """Return the CPUs that the cgroup may use; None without a limit or without a cgroup (v2)."""
    try:
        path = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2]
    except OSError:
        return None
    limits = []
    # The limit of each cgroup above applies as well.
    for folder in [Path(f"{root}{path}"), *Path(f"{root}{path}").parents]:
        if not str(folder).startswith(root):
            break
        try:
            quota, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            continue
        if quota != "max":
            limits.append(int(quota) / int(period))
    return min(limits, default=None)
