"""A Channels project in a folder, and test runs in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = Path(__file__).parent / "project"
DEADLINE = 90.0

collect_ignore = ["project"]  # its tests are run from within ours

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


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A runner in the test's folder."""
    return runner(tmp_path)


@pytest.fixture
def program(run: Run, tmp_path: Path) -> Run:
    """program(source, **environment): run it; it must succeed."""

    def program(source: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "program.py").write_text(source)
        done = run("-W", "error", "program.py", **environment)
        assert done.returncode == 0, done.stderr
        return done

    return program
