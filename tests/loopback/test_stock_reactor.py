"""Runs on_stock_reactor.py in a process of its own: pytest-twisted's reactor is global."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_on_twisted_s_own_asyncio_reactor() -> None:
    """The cases of on_stock_reactor.py, with pytest-twisted's asyncio reactor installed."""
    cases = Path(__file__).with_name("on_stock_reactor.py")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--reactor=asyncio", str(cases)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 passed" in ended.stdout
