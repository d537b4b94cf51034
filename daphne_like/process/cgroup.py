"""Finds this process in the tree of control groups (version 2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def own_folders(root: Path = ROOT, membership: Path = MEMBERSHIP) -> Iterator[Path]:
    """Yield the folder of this process's control group, then the folders above it, to the root.

    Nothing is yielded on a system without control groups of version 2.

    Args:
        root: where the tree is mounted.
        membership: file that names the groups of this process.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    paths = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    parts = paths[-1].split("/") if paths else []
    if not paths or ".." in parts:  # a group outside of the tree that this process sees
        return
    own = root.joinpath(*parts)
    yield own
    while own != root:
        own = own.parent
        yield own
