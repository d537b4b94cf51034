"""Reading and writing at the same time: two coroutines of which neither outlives the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


async def run_until_one_ends(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all, end the others when one has ended, and return when all have.

    The same holds when the caller is cancelled meanwhile: no task is left behind.

    Raises:
        Exception: what the one that ended first raised.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()
