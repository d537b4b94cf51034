"""Fixtures that run Python in the folder of a test."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.python_runs import Run, runner

collect_ignore = ["project"]  # its tests are run from within ours


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
