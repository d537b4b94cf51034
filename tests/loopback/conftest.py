"""The real command in a subprocess, on a free port, ended with the test."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import real_server
from tests.support.real_server import COMMAND, DEADLINE, TRACEBACK, Running
from tests.support.supervised import Supervised


@pytest.fixture
def program() -> Iterator[Callable[..., Running]]:
    """program(*arguments, ...): see Running; ended with the test."""
    started: list[Running] = []

    def start(*arguments: str, **how: Any) -> Running:
        started.append(Running(*arguments, **how))
        return started[-1]

    yield start
    for running in started:
        log = running.stop()
        assert running.expects_traceback or TRACEBACK not in log, log


@pytest.fixture
def server(program: Callable[..., Running]) -> Callable[..., Running]:
    """server(application, *arguments): it listens on a free port of 127.0.0.1."""

    def start(
        application: str, *arguments: str, port: str = "0", expects_traceback: bool = False
    ) -> Running:
        everything = ["-p", port, *arguments, application]
        return program(*everything, expects_traceback=expects_traceback).wait_until_ready()

    return start


@pytest.fixture
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """command(*arguments): run it to its end; another program as of Running."""

    def run(
        *arguments: str, program: Sequence[str] = COMMAND, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program, *arguments],
            cwd=cwd or real_server.PROJECTS,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    return run


@pytest.fixture
def supervised() -> Iterator[Callable[..., Supervised]]:
    """supervised(*arguments, ...): see Supervised; it serves, and is ended with the test."""
    started: list[Supervised] = []

    def start(*arguments: str, ready: bool = True, **how: Any) -> Supervised:
        started.append(Supervised(*arguments, **how))
        return started[-1].wait_until_ready() if ready else started[-1]

    yield start
    for running in started:
        log = running.stop()
        assert running.expects_traceback or TRACEBACK not in log, log
