"""Whole programs in a process of their own, with a deadline."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import Any

DEADLINE = 30.0
"""Seconds for one program; none needs two."""

EITHER_LOOP = [
    "import asyncio; from daphne_like import reactor; reactor.install()",
    "import sys; sys.modules['uvloop'] = None; from daphne_like import reactor; reactor.install()",
]
"""First lines: with uvloop, and where it does not exist."""


def environment() -> dict[str, str]:
    """This process's, with the checkout in front, so that Twisted sees the plug-ins."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    paths = [root, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def run(*parts: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run a program made of these parts, warnings as errors, to its end."""
    program = "\n".join(textwrap.dedent(part) for part in parts)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        env=environment(),
        **how,
    )


def output(*parts: str, **how: Any) -> list[str]:
    """The words a program prints; it must end well and say nothing on standard error."""
    done = run(*parts, **how)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.split()
