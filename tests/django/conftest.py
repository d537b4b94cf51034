"""A copy of a project, and `manage.py runserver` in it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import needed
from tests.support.real_server import DEADLINE, PROJECTS, TRACEBACK, Running

needed.module("django")

BANNER = re.compile(r"server at (https?)://([^\s,]+):(\d+)/")


class Manage(Running):
    """A `manage.py` process, the leader of a process group.

    Args:
        folder: with manage.py.
        arguments: of manage.py.
    """

    def __init__(self, folder: Path, *arguments: str, expects_traceback: bool = False) -> None:
        self.folder = folder
        self.expects_traceback = expects_traceback
        self.url = self.host = ""
        self.port = 0
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._connections = []
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_ready(self, times: int = 1) -> Manage:
        """Wait for the banner, for that many of them in all."""
        self.wait_for(f"(?s)(?:{BANNER.pattern}.*?){{{times}}}")
        scheme, self.host, port = BANNER.findall(self.log)[times - 1]
        self.port = int(port)
        self.url = f"{scheme}://{self.host}:{port}"
        return self

    def interrupt(self) -> None:
        """Ctrl-C on a terminal: every process of the group gets it."""
        os.killpg(self.process.pid, signal.SIGINT)

    def stop(self) -> str:
        """End it, with every process that it has started."""
        log = super().stop()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        return log


def environment() -> dict[str, str]:
    """Of a developer's shell, in which nothing of Django's is set."""
    kept = {name: value for name, value in os.environ.items() if "DJANGO" not in name}
    kept.pop("RUN_MAIN", None)
    return {**kept, "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """project(*settings): a copy with lines at the end of its settings; its folder."""

    def copy(*settings: str) -> Path:
        folder = tmp_path_factory.mktemp("project") / "developed"
        shutil.copytree(PROJECTS / "developed", folder,
                        ignore=shutil.ignore_patterns("__pycache__", "db.sqlite3"))  # fmt: skip
        with (folder / "developed" / "settings.py").open("a") as file:
            file.writelines(f"{line}\n" for line in settings)
        return folder

    return copy


@pytest.fixture(scope="module")
def manage() -> Iterator[Callable[..., Manage]]:
    """manage(folder, *arguments): runs until the module's tests are over."""
    started: list[Manage] = []

    def start(folder: Path, *arguments: str, expects_traceback: bool = False) -> Manage:
        started.append(Manage(folder, *arguments, expects_traceback=expects_traceback))
        return started[-1]

    yield start
    for running in started:
        log = running.stop()
        assert running.expects_traceback or TRACEBACK not in log, log


@pytest.fixture(scope="module")
def runserver(manage: Callable[..., Manage]) -> Callable[..., Manage]:
    """runserver(folder, *arguments): on a free port unless told; without the autoreloader."""

    def start(folder: Path, *arguments: str, port: str = "0", **more: Any) -> Manage:
        words = ["runserver", "--noreload", *([port] if port else []), *arguments]
        return manage(folder, *words, **more).wait_until_ready()

    return start


@pytest.fixture
def fails() -> Callable[..., subprocess.CompletedProcess[str]]:
    """fails(folder, *arguments): run manage.py to its end, which is not a good one."""

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=folder, env=environment(), capture_output=True, text=True, timeout=DEADLINE,
            check=False,
        )  # fmt: skip
        assert ended.returncode > 0, ended
        return ended

    return run
