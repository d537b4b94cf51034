"""Fixtures: a supervisor in memory (tests/support/worker_processes.py)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.worker_processes import Supervision


@pytest.fixture
def starting(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., Supervision]]:
    """starting(workers, **options): a supervisor that has started its workers."""
    caplog.set_level(logging.INFO, "daphne_like.server")
    made: list[Supervision] = []

    def start(workers: int = 2, **options: Any) -> Supervision:
        made.append(Supervision(workers, **options))
        return made[-1]

    yield start
    for supervision in made:
        supervision.close()


@pytest.fixture
def serving(starting: Callable[..., Supervision]) -> Callable[..., Supervision]:
    """serving(workers, **options): a supervisor whose workers are ready."""

    def start(workers: int = 2, **options: Any) -> Supervision:
        supervision = starting(workers, **options)
        supervision.make_ready()
        return supervision

    return start
