"""Reports where executor threads are blocked, and replaces a thread that never returns."""

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
"""Modules with a class `_WorkItem`: `run` makes one call, `future` is the call's result."""
EXECUTOR_WORKS = ("concurrent.futures.thread", "_worker")
ANYIO_WORKS = ("anyio._backends._asyncio", "run")
"""Worker thread of anyio (as of 4.16.0): its variable `func` is the call, None between calls."""
ANYIO_WAITS = ("anyio._backends._asyncio", "run_sync_in_worker_thread")
"""Coroutine that waits for a worker thread of anyio; its variable `worker` is the thread."""


def running(future: Future[Any]) -> tuple[str, list[FrameType]] | None:
    """Find the thread that computes a future's result.

    Returns:
        Name of the thread and its frames from the call inwards, the innermost last; None if no
        thread computes the result.
    """
    for _, name, frames, work in _at_work():
        if work.future is future:
            return name, frames
    return None


def occupying(executor: object) -> tuple[str, list[FrameType]] | None:
    """Find the call that occupies a single-thread executor, such as asgiref's thread-sensitive one.

    Returns:
        Name of the thread and its frames, as `running`; None if it is idle or has more threads.
    """
    if type(executor) is not ThreadPoolExecutor or executor._max_workers != 1:
        return None
    names = {thread.name for thread in executor._threads}
    return next(((name, frames) for _, name, frames, _ in _at_work() if name in names), None)


def replace_executor(executor: object) -> bool:
    """Replace asgiref's single thread with a new one, because a call blocks it permanently.

    That thread runs all thread-sensitive code of all consumers, one call after the other. A call
    that never returns would stop them all until the process ends. Queued calls continue in the new
    thread, so thread-sensitive code runs in a different thread from now on.

    Args:
        executor: executor that the call occupies.
    Returns:
        Whether the executor was asgiref's and has been replaced.
    """
    if executor is not SyncToAsync.single_thread_executor:
        return False
    successor = ThreadPoolExecutor(max_workers=1)
    successor.submit(int)  # start the thread now, not at the next `submit`
    SyncToAsync.single_thread_executor = successor
    # The queue of an executor has no public name (Python 3.10 to 3.14).
    waiting, following = executor._work_queue, successor._work_queue
    while True:
        try:
            following.put(waiting.get_nowait())
        except queue.Empty:
            return True


class Awaited(NamedTuple):
    """A thread that Python waits for before it exits.

    Attributes:
        name: name of the thread.
        frames: frames from the current call inwards, the innermost last; empty for an idle thread
            that still waits for work.
    """

    name: str
    frames: list[FrameType]


def awaited() -> list[Awaited]:
    """Return the threads that would keep the process from ending.

    These are busy threads of executors (Python ends idle ones itself) and all non-daemon threads
    except the main thread: threads that the application has started, and anyio's workers, which
    run synchronous endpoints of Starlette and FastAPI.
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
    """Return name and frames of the anyio worker thread that a frame waits for; None if none."""
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
    """Return the frames below anyio's worker function; none while the worker is idle."""
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
