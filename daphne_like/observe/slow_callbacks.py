"""Makes the warnings of asyncio's debug mode about slow callbacks name the application.

All instances run in one coroutine function of this package, and the warnings would name only that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any

from daphne_like.observe.stacks.waiting import stuck_at

LOGGER = logging.getLogger("asyncio")


def create_named(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]
) -> asyncio.Task[None]:
    """Return a task of an instance, with its request as the task's name.

    Args:
        loop: the event loop.
        coroutine: of run_instance, which has the exchange or session as `owner`.
    """
    owner = coroutine.cr_frame.f_locals["owner"]  # type: ignore[attr-defined] # of a coroutine
    task = loop.create_task(coroutine)
    task.set_name(str(owner))
    return task


class SlowCallbackFilter(logging.Filter):
    """Adds to a warning about a task of an instance the place where the instance waits now.

    Args:
        running: the tasks of instances.
    """

    def __init__(self, running: Mapping[Any, asyncio.Task[None]]) -> None:
        super().__init__()
        self._running = running

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the place; pass every record."""
        if record.msg == "Executing %s took %.3f seconds" and isinstance(record.args, tuple):
            text = str(record.args[0])
            for task in self._running.values():
                where = stuck_at(task)[0] if task.get_name() in text else ""
                if where:
                    record.msg += "; now %s"
                    record.args += (where,)
                    break
        return True


def explain(running: Mapping[Any, asyncio.Task[None]]) -> None:
    """Add the filter to asyncio's logger."""
    LOGGER.addFilter(SlowCallbackFilter(running))
