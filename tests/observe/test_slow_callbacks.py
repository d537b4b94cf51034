"""asyncio's debug mode names the application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from daphne_like.asgi.instance import run_instance
from daphne_like.observe.slow_callbacks import LOGGER, create_named, explain

SLOW = "Executing %s took %.3f seconds"


class Owner:
    """What runs an instance."""

    def __str__(self) -> str:
        return "[1 unix] Application for GET '/slow'"

    def application_cancelled(self) -> None:
        pass


async def waits(_scope: Any, _receive: Any, _send: Any) -> None:
    await asyncio.Event().wait()


@pytest.fixture
def filters() -> Iterator[None]:
    before = list(LOGGER.filters)
    yield
    LOGGER.filters[:] = before


@pytest.mark.usefixtures("filters")
def test_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The task has the request as its name, and the line says where the application waits."""

    async def run() -> None:
        owner: Any = Owner()
        running: dict[Any, asyncio.Task[None]] = {}
        loop = asyncio.get_running_loop()
        instance = run_instance(waits, {}, None, None, owner, running)  # type: ignore[arg-type]
        running[owner] = task = create_named(loop, instance)
        explain(running)
        await asyncio.sleep(0)
        LOGGER.warning(SLOW, repr(task), 0.3)
        LOGGER.warning(SLOW, "<TimerHandle of another>", 0.3)
        task.cancel()
        await asyncio.wait([task])

    with caplog.at_level(logging.WARNING, "asyncio"):
        asyncio.run(run())
    ours, other = caplog.messages
    assert "name=\"[1 unix] Application for GET '/slow'\"" in ours
    assert "took 0.300 seconds; now waits waits at " in ours
    assert "test_slow_callbacks.py:" in ours
    assert other == "Executing <TimerHandle of another> took 0.300 seconds"
