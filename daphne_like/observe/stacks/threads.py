"""Threads of executors: where they are, for a person to read, and who follows a blocked one."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType
from typing import Any, NamedTuple

from asgiref.sync import SyncToAsync

from daphne_like.observe.stacks.python_frames import local

WORK_ITEMS = ("concurrent.futures.thread", "asgiref.current_thread_executor")
"""Modules with a `_WorkItem`, whose `run` runs one call and whose `future` is its result."""
EXECUTOR_WORKS = ("concurrent.futures.thread", "_worker")
ANYIO_WORKS = ("anyio._backends._asyncio", "run")
"""A worker thread of anyio (as of 4.16.0): its variable `func` is the call, None between two."""
ANYIO_WAITS = ("anyio._backends._asyncio", "run_sync_in_worker_thread")
"""The coroutine that waits for it; its variable `worker` is the thread."""


def running(future: Future[Any]) -> tuple[str, list[FrameType]] | None:
    """The thread that computes a future's result.

    Returns:
        Its name and its frames from the call on, the innermost last; None when no thread does.
    """
    for _, name, frames, work in _at_work():
        if work.future is future:
            return name, frames
    return None


def occupying(executor: object) -> tuple[str, list[FrameType]] | None:
    """What keeps an executor that has one thread, as asgiref's thread-sensitive ones have."""
    if type(executor) is not ThreadPoolExecutor or executor._max_workers != 1:
        return None
    names = {thread.name for thread in executor._threads}
    return next(((name, frames) for _, name, frames, _ in _at_work() if name in names), None)


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


class Awaited(NamedTuple):
    """A thread that Python waits for before it exits.

    Attributes:
        name: of the thread.
        frames: from the call on that it runs, the innermost last; empty while it has nothing to
            do, and waits to be told so.
    """

    name: str
    frames: list[FrameType]


def awaited() -> list[Awaited]:
    """Return the threads that would keep the process from ending.

    These are threads of executors that run something (idle ones end when Python tells them), and
    all that are no daemons but the main thread: those that the application has started, and
    anyio's workers, in which synchronous endpoints of Starlette and FastAPI run.
    """
    found = {number: Awaited(name, frames) for number, name, frames, _ in _at_work()}
    stacks = sys._current_frames()
    for thread in threading.enumerate():
        number = thread.ident
        if number is None or number in found or thread.daemon:
            continue
        if thread in (threading.main_thread(), threading.current_thread()):
            continue
        frames = _frames(stacks.get(number))
        if not any(_is_idle_executor(frame) for frame in frames):
            found[number] = Awaited(thread.name, _below_worker(frames))
    return list(found.values())


def running_for(frame: FrameType) -> tuple[str, list[FrameType]] | None:
    """Return the name and the frames of the worker thread of anyio that a frame waits for."""
    if (frame.f_globals.get("__name__"), frame.f_code.co_name) != ANYIO_WAITS:
        return None
    worker = local(frame, "worker")
    if not isinstance(worker, threading.Thread) or worker.ident is None:
        return None
    frames = _below_worker(_frames(sys._current_frames().get(worker.ident)))
    return (worker.name, frames) if frames else None


def _frames(innermost: FrameType | None) -> list[FrameType]:
    frames: list[FrameType] = []
    while innermost is not None:
        frames.append(innermost)
        innermost = innermost.f_back
    return frames[::-1]


def _below_worker(frames: list[FrameType]) -> list[FrameType]:
    """Leave out the frames of anyio's worker, all of them while it is idle."""
    for index, frame in enumerate(frames):
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) == ANYIO_WORKS:
            return frames[index + 1 :] if local(frame, "func") is not None else []
    return frames


def _is_idle_executor(frame: FrameType) -> bool:
    return (frame.f_globals.get("__name__"), frame.f_code.co_name) == EXECUTOR_WORKS


def _at_work() -> Iterator[tuple[int, str, list[FrameType], Any]]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for number, innermost in sys._current_frames().items():
        frames: list[FrameType] = []
        frame: FrameType | None = innermost
        while frame is not None:
            if frame.f_code.co_name == "run":
                work = local(frame, "self")
                if type(work).__name__ == "_WorkItem" and type(work).__module__ in WORK_ITEMS:
                    yield number, names.get(number, str(number)), frames[::-1], work
            frames.append(frame)
            frame = frame.f_back
