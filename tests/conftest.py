"""Fixtures for every test."""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from daphne_like.http.exchange import Exchange
from tests.support.memory import Memory
from tests.support.response_states import CheckedState

# Programs that a test starts would ignore these signals, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as under `sh -c "pytest &"`
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as under nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

REAL = ("conformance", "django", "loopback", "testing")
"""Folders whose tests run processes, browsers and proxies, all with deadlines of their own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A second try where a busy machine may be at fault; the summary tells that there was one."""
    for item in items:
        if item.path.parent.name in REAL:
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_collection_finish() -> None:
    """Keep the garbage collector from walking all modules and tests, again and again."""
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
