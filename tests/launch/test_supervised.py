"""What the process of a supervisor loads."""

from __future__ import annotations

import subprocess
import sys

LOADED = """
import sys
import daphne_like.launch.command, daphne_like.launch.supervised
print(*sys.modules, sep="\\n")
"""
"""Both modules that the command loads with --workers."""


def test_no_protocols() -> None:
    """A supervisor serves nothing: it does without 10 MB of protocols and parsers."""
    loaded = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "daphne_like.process.supervisor" in loaded
    unwanted = {"autobahn", "httptools", "daphne_like.http", "daphne_like.server", "watchfiles"}
    assert unwanted.isdisjoint(loaded)
