"""The shop, served by the real command: what the tests of this folder share."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import needed
from tests.support.real_server import DEADLINE, PROJECTS, TRACEBACK, Running

needed.module("django")

APPLICATION = "shop.asgi:application"


@functools.cache
def _prepared() -> Any:
    """A folder with the shop's empty database, made once in a run, gone with it."""
    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "shop.prepare"],
        cwd=PROJECTS,
        env={**os.environ, "SHOP_FOLDER": folder.name},
        timeout=2 * DEADLINE,
        check=True,
    )
    return folder


@contextlib.contextmanager
def open_shop(
    folder: Path, *arguments: str, expects_traceback: bool = False, **environment: str
) -> Iterator[Running]:
    """The shop on a free port of 127.0.0.1.

    Args:
        folder: empty; gets the database.
        arguments: of the command.
        expects_traceback: its log may hold one.
        environment: variables of the shop's settings.
    """
    shutil.copytree(_prepared().name, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"SHOP_FOLDER": str(folder), **environment}.items():
            patch.setenv(name, value)
        running = Running("-p", "0", *arguments, APPLICATION, expects_traceback=expects_traceback)
    try:
        yield running.wait_until_ready()
    finally:
        log = running.stop()
    assert expects_traceback or TRACEBACK not in log, log


def open_files(running: Running, name: str) -> int:
    """How many descriptors of the server's process show files whose name begins so."""
    count = 0
    for descriptor in Path(f"/proc/{running.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            count += descriptor.readlink().name.startswith(name)
    return count
