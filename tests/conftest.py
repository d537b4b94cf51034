"""Fixtures for every test."""

from __future__ import annotations

import gc
import itertools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daphne_like.http.exchange import Exchange
from tests.support.applications import DATE
from tests.support.memory import Memory
from tests.support.response_states import CheckedState

# Programs that a test starts would ignore these signals, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as under `sh -c "pytest &"`
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as under nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

TESTS = Path(__file__).parent
REAL = ("conformance", "django", "loopback", "testing")
"""Folders whose tests run processes, browsers and proxies, all with deadlines of their own."""
SOCKETS = ("benchmarks", "reactor")
"""Folders whose tests use sockets of the system, or run one process each."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import what `-m "not real"` leaves out: that takes longer than many tests."""
    if config.option.markexpr == "not real" and collection_path.parent == TESTS:
        return collection_path.name in REAL + SOCKETS or None
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is not in memory; run what depends on the machine's load a second time.

    The summary tells that there was a second time. Single tests outside of those folders have the
    mark in their modules.
    """
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in REAL:
            item.add_marker(pytest.mark.flaky(reruns=1))
        if folder in REAL or folder in SOCKETS:
            item.add_marker(pytest.mark.real)


def pytest_collection_finish() -> None:
    """Keep the garbage collector from walking all modules and tests, again and again."""
    gc.collect()
    gc.freeze()


COLLECTED_EVERY = 100
"""Tests after which what they have left behind is collected, and the rest left out for ever."""
_finished = itertools.count(1)


def pytest_runtest_logfinish() -> None:
    """Keep what pytest remembers of each test out of the garbage collector's walks, too."""
    if next(_finished) % COLLECTED_EVERY == 0:
        gc.collect()
        gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Hypothesis looks for who refers to what, which does not find what is frozen."""
    gc.unfreeze()


checked_state = CheckedState()
setattr(Exchange, "state", checked_state)  # noqa: B010  (the type is another one)


@pytest.fixture(autouse=True)
def allowed_transitions() -> Iterator[None]:
    """Fail a test in which a response went from one state into another that may not follow it."""
    checked_state.wrong.clear()
    yield
    assert not checked_state.wrong


@pytest.fixture
def serve() -> Iterator[Callable[..., Memory]]:
    """serve(application, **settings): a server in memory, ended with the test."""
    memories: list[Memory] = []

    def start(application: Any, **settings: Any) -> Memory:
        memories.append(Memory(application, **settings))
        return memories[-1]

    yield start
    for memory in memories:
        memory.close()


@pytest.fixture
def fixed_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every response has the same Date field, applications.DATE."""
    monkeypatch.setattr("daphne_like.runtime.default_fields.date_line", lambda seconds: DATE)
