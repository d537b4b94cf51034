"""What a container does to a program, without its images: namespaces, as of unshare(1)."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import needed
from tests.support.real_server import COMMAND, DEADLINE, Running


@functools.cache
def unshare() -> tuple[str, ...]:
    """The command that runs another one as process 1, for root or in a user namespace."""
    words = (needed.program("unshare", "util-linux"), "--pid", "--fork", "--mount-proc",
             "--kill-child")  # fmt: skip
    said = ""
    for more in ((), ("--user", "--map-root-user")):
        tried = subprocess.run(
            [*words, *more, "true"], capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        if tried.returncode == 0:
            return (*words, *more)
        said = tried.stderr.strip()
    pytest.skip(f"a process namespace cannot be made here: {said}")


class Contained(Running):
    """The command as process 1.

    Args:
        arguments: of the command.
        program: what is run as process 1, in front of the arguments.
        how: see Running.
    """

    def __init__(self, *arguments: str, program: Sequence[str] = COMMAND, **how: Any) -> None:
        super().__init__(*arguments, program=[*unshare(), *program], **how)

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal to process 1."""
        os.kill(needed.until(self._process_1), number)

    def _process_1(self) -> int | None:
        pid = self.process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except FileNotFoundError:
            children = []
        return int(children[0]) if children else None
