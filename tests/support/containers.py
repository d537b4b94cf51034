"""What a container does to a program, without its images: namespaces, as of unshare(1)."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import pytest

from tests.support import needed
from tests.support.documentation import ROOT
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


RUN_PYTHON = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"


def _mounts() -> list[str]:
    """Shell commands: all files of Python and of this checkout are readable, and no file writable.

    A Python below /root, where only root may look, is mounted on a copy of the folders above it.
    """
    needs = [Path(path).resolve() for path in (sys.base_prefix, sys.prefix, ROOT)]
    closed = [each for path in needs for each in path.parents if not each.stat().st_mode & 0o001]
    commands = []
    if closed:
        hidden = min(closed, key=lambda path: len(path.parts))
        moved = {f"/mnt/{n}": path for n, path in enumerate(needs) if hidden in path.parents}
        commands.append("mount -t tmpfs tmpfs /mnt")
        for place, path in moved.items():
            commands.append(f"mkdir {place} && mount --bind {quote(str(path))} {place}")
        commands.append(f"mount -t tmpfs -o mode=755 tmpfs {quote(str(hidden))}")
        for place, path in moved.items():
            name = quote(str(path))
            commands.append(f"mkdir -p {name} && mount --move {place} {name}")
            commands.append(f"mount -o remount,bind,ro {name}")
        commands += ["umount /mnt", f"mount -o remount,ro {quote(str(hidden))}"]
    return [*commands, "mount -o remount,bind,ro /"]


@functools.cache
def confined(user: str) -> tuple[str, ...]:
    """The command that runs another one with a read-only file system, as a user without privileges.

    Args:
        user: USER of a Containerfile: number of user and group.
    """
    uid, _, gid = user.partition(":")
    privileges = (needed.program("setpriv", "util-linux"), f"--reuid={uid}", f"--regid={gid}",
                  "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
                  "--no-new-privs")  # fmt: skip
    words = ("sh", "-c", " && ".join([*_mounts(), 'exec "$@"']), "sh", *privileges)
    tried = subprocess.run(
        [*unshare(), *words, sys.executable, "-c", RUN_PYTHON],
        capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    if tried.returncode:
        pytest.skip(f"user {user} cannot run Python here: {tried.stderr.strip()[-300:]}")
    return words


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
