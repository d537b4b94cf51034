"""Find a Python 2.7 that has pip: the suite was never ported to anything newer."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.conformance.problems import MissingError

CHECK = "import sys, pip; sys.version_info[:2] == (2, 7) or sys.exit(1); print(sys.executable)"
CHECK_SECONDS = 60


class Interpreter(NamedTuple):
    """A Python 2.7.

    Attributes:
        path: of the executable itself, not of a shim.
    """

    path: str

    def environment(self, **more: str) -> dict[str, str]:
        """This process's environment without what is meant for its own Python."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return {**ours, "PYTHONNOUSERSITE": "1", "PYTHONWARNINGS": "ignore", **more}


def find() -> Interpreter:
    """Look on the search path, then among pyenv's versions.

    Raises:
        MissingError: there is none.
    """
    for candidate in _candidates():
        try:
            checked = subprocess.run(
                [candidate, "-c", CHECK],
                env=Interpreter(candidate).environment(),
                capture_output=True,
                text=True,
                timeout=CHECK_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if checked.returncode == 0:
            return Interpreter(checked.stdout.strip())
    raise MissingError(
        "Python 2.7 with pip is missing, the Autobahn test suite runs on nothing newer: "
        "install it with `pyenv install 2.7.18`."
    )


def _candidates() -> Iterator[str]:
    for name in ("python2.7", "python2"):
        path = shutil.which(name)
        if path is not None:
            yield path
    roots = [Path.home() / ".pyenv"]
    if "PYENV_ROOT" in os.environ:
        roots.insert(0, Path(os.environ["PYENV_ROOT"]))
    for root in roots:
        yield from map(str, sorted(root.glob("versions/2.7*/bin/python2.7"), reverse=True))
