"""Where a suspended task is stuck, for a person to read."""

from __future__ import annotations

import asyncio
import linecache
from types import FrameType
from typing import Any

DEEPEST = 64


def waiting_at(task: asyncio.Task[Any]) -> list[str]:
    """The places where a task waits, outermost first: `file:line in function: source line`.

    Task.get_stack gives a suspended coroutine's outermost frame alone; this follows what each
    frame awaits, through coroutines and asynchronous generators, down to the one that waits.
    """
    places: list[str] = []
    current: Any = task.get_coro()
    while current is not None and len(places) < DEEPEST:
        frame: FrameType | None = None
        awaited: Any = None
        for prefix in ("cr", "gi", "ag"):
            if hasattr(current, f"{prefix}_frame"):
                frame = getattr(current, f"{prefix}_frame")
                awaited = getattr(current, f"{prefix}_await", None) or getattr(
                    current, f"{prefix}_yieldfrom", None
                )
                break
        if frame is not None:
            places.append(place(frame))
        elif isinstance(current, asyncio.Task):
            current = current.get_coro()
            continue
        current = awaited
    return places


def place(frame: FrameType, line: int | None = None) -> str:
    """One frame as `file:line in function: source line`."""
    name = frame.f_code.co_filename
    line = line or frame.f_lineno
    source = linecache.getline(name, line, frame.f_globals).strip()
    return f"{name}:{line} in {frame.f_code.co_name}" + (f": {source}" if source else "")
