"""A copy of a project, and `manage.py runserver` in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import needed
from tests.support.manage import Manage, environment
from tests.support.real_server import DEADLINE, PROJECTS, TRACEBACK

needed.module("django")


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
