"""Runs coroutines concurrently and ends all of them when one ends, for reading and writing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


async def run_until_one_ends(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all coroutines; when one ends, cancel the others and return when all have ended.

    If the caller is cancelled, all are cancelled too, so no task is leaked.

    Raises:
        Exception: the exception of the coroutine that ended first.
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
