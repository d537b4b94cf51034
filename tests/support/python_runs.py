"""Runs of Python in a process of their own, in a folder that they import from."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHANNELS_PROJECT = ROOT / "tests" / "testing" / "project"
"""A Channels project with tests of its own."""
DEADLINE = 90.0

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def runner(folder: Path) -> Run:
    """run(*arguments, **environment): Python, to its end, in a folder that it imports from."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([environment.pop("FIRST", str(folder)), str(ROOT)])
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env={**inherited, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    return run
