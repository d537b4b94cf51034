"""Describes the place where a suspended task waits."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
from collections.abc import Iterable, Iterator
from types import AsyncGeneratorType, CoroutineType, FrameType, FunctionType, GeneratorType
from typing import Any

from daphne_like.observe.stacks import threads
from daphne_like.observe.stacks.python_frames import function, is_own, local
from daphne_like.observe.stacks.python_frames import place as place

DEEPEST = 64
MAX_LINKS = 256
"""Maximum objects followed; between two frames there are one or two objects without a frame."""

FOLLOWED = (CoroutineType, GeneratorType, AsyncGeneratorType)

WAITS_FOR = {("asyncio.tasks", "_wait"): "fs", ("asyncio.tasks", "wait_for"): "fut"}
"""Functions that wait through a future of their own -> the variable with what they wait for."""

IN_THREAD = "in thread"
BEHIND = "behind another call, in thread"

GROUPS = ("asyncio.taskgroups", "anyio._backends._asyncio")


def waiting_at(task: asyncio.Task[Any]) -> list[str]:
    """Return the places where a task waits, outermost first: `file:line in function: source line`.

    Task.get_stack returns only the outermost frame of a suspended coroutine. This function follows
    what each frame awaits, through coroutines, generators, asynchronous generators, tasks (task
    groups too, if exactly one task is pending) and executor threads, to the innermost frame. It
    never raises, because it reads no attribute of objects of unknown types.
    """
    return [line for line, _ in _places(task)]


def stuck_at(task: asyncio.Task[Any]) -> tuple[str, str]:
    """Describe for a log line where a task waits.

    Returns:
        The innermost place in the application's code, as `function waits at file:line: source`
        with its thread if any; and all places, one per line, without the server's frame at the
        top. Both may be empty.
    """
    places = _places(task)[1:]
    stack = "\n".join(f"  {line}" for line, _ in places)
    framed = [(line, frame) for line, frame in places if frame is not None]
    if not framed:
        return "", stack
    line, best = next((pair for pair in reversed(framed) if is_own(pair[1])), framed[-1])
    name = function(best)
    # The name may contain any text, but its first occurrence is the one before the source line.
    where = place(best).replace(f" in {name}", "", 1)
    if line.startswith(IN_THREAD):
        return f"{name}, in a thread, which cannot be cancelled, waits at {where}", stack
    if line.startswith(BEHIND):
        return f"it waits for a thread that is kept by another: {name} at {where}", stack
    return f"{name} waits at {where}", stack


def executor_kept_by(task: asyncio.Task[Any]) -> object:
    """Return asgiref's executor if its single thread runs the call that a task waits for."""
    frames, future = _chain(task)
    if future is None or not frames or threads.running(future) is None:
        return None
    return local(frames[-1], "executor")  # a variable of sync_to_async, as in _in_thread


def _places(task: asyncio.Task[Any]) -> list[tuple[str, FrameType | None]]:
    frames, future = _chain(task)
    places: list[tuple[str, FrameType | None]] = [(place(frame), frame) for frame in frames]
    if future is not None:
        places.extend(_in_thread(future, frames[-1] if frames else None))
    elif frames:
        name, inner = threads.running_for(frames[-1]) or ("", [])
        places.extend((f"{IN_THREAD} {name}: {place(frame)}", frame) for frame in inner)
    return places[:DEEPEST]


def _chain(
    task: asyncio.Task[Any],
) -> tuple[list[FrameType], concurrent.futures.Future[Any] | None]:
    """Return the frames down to where a task waits, and the future of a thread's call, if any."""
    frames: list[FrameType] = []
    current: Any = task.get_coro()
    for _ in range(MAX_LINKS):
        if current is None or len(frames) >= DEEPEST:
            break
        if isinstance(current, concurrent.futures.Future):
            return frames, current
        frame, current = _step(current, frames[-1] if frames else None)
        if frame is not None:
            frames.append(frame)
    return frames, None


def _in_thread(
    future: concurrent.futures.Future[Any], awaiting: FrameType | None
) -> Iterator[tuple[str, FrameType | None]]:
    """Yield places in the thread that computes a future, or in the thread that delays it."""
    found = threads.running(future)
    said = IN_THREAD
    if found is None and awaiting is not None:
        # asgiref's sync_to_async keeps the chosen executor in its variable `executor`.
        found = threads.occupying(local(awaiting, "executor"))
        said = BEHIND
    if found is None:
        if not future.done():
            yield "(queued: no thread of the executor is free)", None
        return
    name, frames = found
    for frame in frames:
        yield f"{said} {name}: {place(frame)}", frame


def _step(current: Any, last: FrameType | None) -> tuple[FrameType | None, Any]:
    """Return the frame of an awaited object, if any, and the object that it awaits itself."""
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
        return None, _only_pending(_tasks_behind(last)) or _find_source(current)
    # Objects in between (the iterator of `await task`, the step of `async for`) are C objects
    # without attributes; the garbage collector knows their referents.
    for held in gc.get_referents(current):
        if type(held) in FOLLOWED or issubclass(type(held), asyncio.Future):
            return None, held
    return None, None


def _find_source(future: Any) -> Any:
    """Return the source of a future that mirrors another one (of gather, shield or an executor).

    The callbacks of such futures refer to each other. Other futures do not know who sets them.
    """
    if type(future).__module__ == "asyncio.tasks" and type(future).__name__ == "_GatheringFuture":
        return _only_pending(future._children)
    for callback in gc.get_referents(future):
        if type(callback) is not FunctionType or callback.__module__ not in (
            "asyncio.futures",  # wrap_future, under run_in_executor
            "asyncio.tasks",  # shield
        ):
            continue
        for cell in callback.__closure__ or ():
            held = cell.cell_contents
            if held is future:
                continue
            if issubclass(type(held), (asyncio.Future, concurrent.futures.Future)):
                return held
    return None


def _tasks_behind(frame: FrameType | None) -> Iterable[Any]:
    """Return the tasks that a frame waits for through a future of its own."""
    if frame is None:
        return ()
    function = (frame.f_globals.get("__name__"), frame.f_code.co_name)
    if function in WAITS_FOR:
        found = local(frame, WAITS_FOR[function])
        return found if isinstance(found, (set, frozenset, list)) else (found,)
    group = local(frame, "self")
    if function[0] in GROUPS and type(group).__name__ == "TaskGroup":
        return list(group._tasks)
    return ()


def _only_pending(tasks: Iterable[Any]) -> Any:
    """Return the only pending task; None if there are several, since one place cannot name them."""
    pending = [task for task in tasks if issubclass(type(task), asyncio.Future) and not task.done()]
    return pending[0] if len(pending) == 1 else None
