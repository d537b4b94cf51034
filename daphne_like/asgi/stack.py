"""Where a suspended task is stuck, for a person to read."""

from __future__ import annotations

import asyncio
import gc
import linecache
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any

DEEPEST = 64
MOST_LINKS = 256
"""Objects looked at on the way down; between two frames stand one or two that have none."""

FOLLOWED = (CoroutineType, GeneratorType, AsyncGeneratorType)


def waiting_at(task: asyncio.Task[Any]) -> list[str]:
    """The places where a task waits, outermost first: `file:line in function: source line`.

    Task.get_stack gives a suspended coroutine's outermost frame alone; this follows what each
    frame awaits, through coroutines, generators, asynchronous generators and tasks, down to the
    one that waits. Never raises: of objects of a foreign type no attribute is asked.
    """
    places: list[str] = []
    current: Any = task.get_coro()
    for _ in range(MOST_LINKS):
        if current is None or len(places) >= DEEPEST:
            break
        frame, awaited = _step(current)
        if frame is not None:
            places.append(place(frame))
        current = awaited
    return places


def _step(current: Any) -> tuple[FrameType | None, Any]:
    """The frame of something awaited, if it has one, and what it awaits itself."""
    kind = type(current)
    if kind is CoroutineType:
        return current.cr_frame, current.cr_await
    if kind is GeneratorType:  # of types.coroutine, or an __await__
        return current.gi_frame, current.gi_yieldfrom
    if kind is AsyncGeneratorType:
        return current.ag_frame, current.ag_await
    if issubclass(kind, asyncio.Task):
        return None, current.get_coro()
    if issubclass(kind, asyncio.Future):
        return None, None  # whoever will set it is not known to it
    # What stands in between (the iterator of `await task`, the step of `async for`) is C without
    # attributes; the garbage collector knows what it holds.
    for held in gc.get_referents(current):
        if type(held) in FOLLOWED or issubclass(type(held), asyncio.Task):
            return None, held
    return None, None


def place(frame: FrameType, line: int | None = None) -> str:
    """One frame as `file:line in function: source line`."""
    name = frame.f_code.co_filename
    line = line or frame.f_lineno
    source = linecache.getline(name, line, frame.f_globals).strip()
    return f"{name}:{line} in {frame.f_code.co_name}" + (f": {source}" if source else "")
