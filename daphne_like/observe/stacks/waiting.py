"""Where a suspended task is stuck, for a person to read."""

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
"""Objects looked at on the way down; between two frames stand one or two that have none."""

FOLLOWED = (CoroutineType, GeneratorType, AsyncGeneratorType)

WAITS_FOR = {("asyncio.tasks", "_wait"): "fs", ("asyncio.tasks", "wait_for"): "fut"}
"""Functions that wait through a future of their own: where they keep what they wait for."""

IN_THREAD = "in thread"
BEHIND = "behind another call, in thread"

GROUPS = ("asyncio.taskgroups", "anyio._backends._asyncio")


def waiting_at(task: asyncio.Task[Any]) -> list[str]:
    """The places where a task waits, outermost first: `file:line in function: source line`.

    Task.get_stack gives a suspended coroutine's outermost frame alone; this follows what each
    frame awaits, through coroutines, generators, asynchronous generators, tasks (groups of them
    too, as long as one alone is not done) and threads of executors, down to the one that waits.
    Never raises: of objects of a foreign type no attribute is asked.
    """
    return [line for line, _ in _places(task)]


def stuck_at(task: asyncio.Task[Any]) -> tuple[str, str]:
    """Where a task waits, as the end of a log line.

    Returns:
        The innermost place of the application's own code, as `function waits at file:line: source`
        with the thread it is in, and all places, a line each, without the server's own first one.
        Both may be empty.
    """
    places = _places(task)[1:]
    stack = "\n".join(f"  {line}" for line, _ in places)
    framed = [(line, frame) for line, frame in places if frame is not None]
    if not framed:
        return "", stack
    line, best = next((pair for pair in reversed(framed) if is_own(pair[1])), framed[-1])
    name = function(best)
    # A name may hold anything but stands in each line once, before the source.
    where = place(best).replace(f" in {name}", "", 1)
    if line.startswith(IN_THREAD):
        return f"{name}, in a thread, which cannot be cancelled, waits at {where}", stack
    if line.startswith(BEHIND):
        return f"it waits for a thread that is kept by another: {name} at {where}", stack
    return f"{name} waits at {where}", stack


def executor_kept_by(task: asyncio.Task[Any]) -> object:
    """The executor of asgiref's whose one thread runs what a task waits for, if it does."""
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
    """The frames on the way to what a task waits for, and the call of a thread behind them."""
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
    """Places in the thread that computes a future, or in the one that it has to wait for."""
    found = threads.running(future)
    said = IN_THREAD
    if found is None and awaiting is not None:
        # asgiref's sync_to_async: its local variable is the executor it has chosen.
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
        return None, _only_pending(_tasks_behind(last)) or _source_of(current)
    # What stands in between (the iterator of `await task`, the step of `async for`) is C without
    # attributes; the garbage collector knows what it holds.
    for held in gc.get_referents(current):
        if type(held) in FOLLOWED or issubclass(type(held), asyncio.Future):
            return None, held
    return None, None


def _source_of(future: Any) -> Any:
    """What will set a future that mirrors another: gather's, shield's, or an executor's.

    Their callbacks know each other; whoever else will set a future is not known to it.
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
    """The tasks that a frame waits for by a future of its own."""
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
    """The one that is not done; None when there are several, which are no single place."""
    pending = [task for task in tasks if issubclass(type(task), asyncio.Future) and not task.done()]
    return pending[0] if len(pending) == 1 else None
