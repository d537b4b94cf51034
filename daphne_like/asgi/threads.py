"""Threads of executors: where they are, for a person to read, and who follows a blocked one."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType
from typing import Any

from asgiref.sync import SyncToAsync

from daphne_like.asgi.frames import local

WORK_ITEMS = ("concurrent.futures.thread", "asgiref.current_thread_executor")
"""Modules with a `_WorkItem`, whose `run` runs one call and whose `future` is its result."""


def running(future: Future[Any]) -> tuple[str, list[FrameType]] | None:
    """The thread that computes a future's result.

    Returns:
        Its name and its frames from the call on, the innermost last; None when no thread does.
    """
    for name, frames, work in _at_work():
        if work.future is future:
            return name, frames
    return None


def occupying(executor: object) -> tuple[str, list[FrameType]] | None:
    """What keeps an executor that has one thread, as asgiref's thread-sensitive ones have."""
    if type(executor) is not ThreadPoolExecutor or executor._max_workers != 1:
        return None
    names = {thread.name for thread in executor._threads}
    return next(((name, frames) for name, frames, _ in _at_work() if name in names), None)


def succeed(executor: object) -> bool:
    """Let a new thread take over from asgiref's one thread, which a call blocks for good.

    That thread runs all sensitive code of all consumers, one call after the other: one that never
    returns would stop them all until the process ends. What waits behind it goes on in a thread of
    its own; code after this runs in another thread than code before.

    Args:
        executor: that the call keeps.
    Returns:
        Whether it was asgiref's one, and has a successor now.
    """
    if executor is not SyncToAsync.single_thread_executor:
        return False
    successor = ThreadPoolExecutor(max_workers=1)
    successor.submit(int)  # it starts its thread now, and not when somebody else submits
    SyncToAsync.single_thread_executor = successor
    # No public name for what waits, from Python 3.10 to 3.14.
    waiting, following = executor._work_queue, successor._work_queue
    while True:
        try:
            following.put(waiting.get_nowait())
        except queue.Empty:
            return True


def at_work() -> list[tuple[str, list[FrameType]]]:
    """All threads of executors that run something; Python waits for them before it exits."""
    return [(name, frames) for name, frames, _ in _at_work()]


def _at_work() -> Iterator[tuple[str, list[FrameType], Any]]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for number, innermost in sys._current_frames().items():
        frames: list[FrameType] = []
        frame: FrameType | None = innermost
        while frame is not None:
            if frame.f_code.co_name == "run":
                work = local(frame, "self")
                if type(work).__name__ == "_WorkItem" and type(work).__module__ in WORK_ITEMS:
                    yield names.get(number, str(number)), frames[::-1], work
            frames.append(frame)
            frame = frame.f_back
