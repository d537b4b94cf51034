"""Where a task is stuck."""

from __future__ import annotations

import asyncio
import sys
import threading
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from daphne_like.observe.stacks.waiting import DEEPEST, stuck_at, waiting_at

THIS = __file__


async def innermost() -> None:
    await asyncio.get_running_loop().create_future()


def functions(places: list[str]) -> list[str]:
    """`file:line in function: source line`, each with file, line and source."""
    for place in places:
        where, _, rest = place.partition(" in ")
        name, _, source = rest.partition(": ")
        assert where.rpartition(":")[2].isdigit()
        assert name
        assert source
    return [place.partition(" in ")[2].partition(":")[0] for place in places]


def places_of(function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> list[str]:
    """Where a task waits, after everything that can happen has happened."""

    async def main() -> list[str]:
        task = asyncio.create_task(function(*arguments))
        for _ in range(5):
            await asyncio.sleep(0)
        places = waiting_at(task)
        everything = asyncio.all_tasks() - {asyncio.current_task()}
        for other in everything:
            other.cancel()
        await asyncio.gather(*everything, return_exceptions=True)
        return places

    return asyncio.run(main())


class TestWaitingAt:
    """The warning has the place where the application is stuck, and its task's stack."""

    def test_future(self) -> None:
        """A task that waits for a future: its own frame, with file, line and source."""
        line = innermost.__code__.co_firstlineno + 1
        assert places_of(innermost) == [
            f"{THIS}:{line} in innermost: await asyncio.get_running_loop().create_future()"
        ]

    def test_nested_coroutines(self) -> None:
        """Outermost first, down to the coroutine that waits."""

        async def middle() -> None:
            await innermost()

        async def outermost() -> None:
            await middle()

        assert functions(places_of(outermost)) == ["outermost", "middle", "innermost"]

    def test_another_task(self) -> None:
        """Through the task that is awaited."""

        async def outermost() -> None:
            await asyncio.create_task(innermost())

        assert functions(places_of(outermost)) == ["outermost", "innermost"]

    def test_async_for(self) -> None:
        """Through an asynchronous generator, as Django's and Starlette's streams are."""

        async def stream() -> AsyncIterator[int]:
            yield 1
            await innermost()
            yield 2

        async def outermost() -> None:
            async for _ in stream():
                pass

        assert functions(places_of(outermost)) == ["outermost", "stream", "innermost"]

    def test_nested_generators(self) -> None:
        """Through a generator that loops over another."""

        async def inner() -> AsyncIterator[int]:
            await innermost()
            yield 1

        async def outer() -> AsyncIterator[int]:
            async for number in inner():
                yield number

        async def outermost() -> None:
            async for _ in outer():
                pass

        assert functions(places_of(outermost)) == ["outermost", "outer", "inner", "innermost"]

    def test_async_with(self) -> None:
        """Through the exit of a context manager."""

        class Context:
            async def __aenter__(self) -> None:
                pass

            async def __aexit__(self, *exception: object) -> None:
                await innermost()

        async def outermost() -> None:
            async with Context():
                pass

        assert functions(places_of(outermost)) == ["outermost", "Context.__aexit__", "innermost"]

    def test_awaitable_object(self) -> None:
        """Through `__await__`, written as a generator and as another's."""

        class Written:
            def __await__(self) -> Generator[Any, None, None]:
                yield from innermost().__await__()

        class Anothers:
            def __await__(self) -> Generator[Any, None, None]:
                return innermost().__await__()

        async def outermost(awaited: Any) -> None:
            await awaited

        assert functions(places_of(outermost, Written())) == [
            "outermost",
            "Written.__await__",
            "innermost",
        ]
        assert functions(places_of(outermost, Anothers())) == ["outermost", "innermost"]

    def test_generator_based_coroutine(self) -> None:
        """Through types.coroutine, as uvloop's and older libraries' are."""

        @types.coroutine
        def old() -> Generator[Any, Any, None]:
            yield from asyncio.get_running_loop().create_future()

        async def outermost() -> None:
            await old()

        assert functions(places_of(outermost)) == ["outermost", "old"]

    def test_gather_ends_it(self) -> None:
        """Several tasks at once are no single place: the one that gathers them is the last."""

        async def outermost() -> None:
            await asyncio.gather(innermost(), innermost())

        assert functions(places_of(outermost)) == ["outermost"]

    def test_depth_is_bounded(self) -> None:
        """A recursion shows its outermost places."""

        async def deep(levels: int) -> None:
            await (deep(levels - 1) if levels else innermost())

        assert functions(places_of(deep, 300)) == ["deep"] * DEEPEST

    def test_foreign_awaitable_is_not_asked(self) -> None:
        """K1: an object whose attributes raise stops no checker."""

        class Hostile:
            def __init__(self) -> None:
                self.iterator = asyncio.get_running_loop().create_future().__await__()

            def __getattr__(self, name: str) -> Any:
                raise (RuntimeError if name[:3] in ("cr_", "gi_", "ag_") else AttributeError)(name)

            def __iter__(self) -> Hostile:
                return self

            def __next__(self) -> Any:
                return next(self.iterator)

            def __await__(self) -> Any:
                return self

        async def outermost() -> None:
            await Hostile()

        assert functions(places_of(outermost)) == ["outermost"]

    def test_ended_task(self) -> None:
        """A task that has ended waits nowhere."""

        async def nothing() -> None:
            pass

        assert places_of(nothing) == []


class TestSeveralTasks:
    """The stack continues through tasks that wait for tasks, where there is only one such way."""

    def test_gather(self) -> None:
        """The one that is not done."""

        async def nothing() -> None:
            pass

        async def outermost() -> None:
            await asyncio.gather(nothing(), innermost())

        assert functions(places_of(outermost)) == ["outermost", "innermost"]

    def test_shield(self) -> None:
        """Through the future that stands before the shielded one."""

        async def outermost() -> None:
            await asyncio.shield(innermost())

        assert functions(places_of(outermost)) == ["outermost", "innermost"]

    def test_wait(self) -> None:
        """asyncio.wait, as Channels' await_many_dispatch uses it."""

        async def outermost() -> None:
            await asyncio.wait([asyncio.create_task(innermost())])

        assert functions(places_of(outermost)) == ["outermost", "wait", "_wait", "innermost"]

    def test_wait_for(self) -> None:
        """asyncio.wait_for, which makes a task of its own until Python 3.11."""

        async def outermost() -> None:
            await asyncio.wait_for(innermost(), 60)

        places = functions(places_of(outermost))
        assert (places[0], places[-1]) == ("outermost", "innermost")

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="TaskGroup is of Python 3.11.")
    def test_task_group(self) -> None:
        """A group that waits for its last member."""

        async def outermost() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(innermost())

        assert functions(places_of(outermost))[-1] == "innermost"


class TestNames:
    """A method is named with its class; no object of the application is called."""

    def test_inherited_method(self) -> None:
        """The class is that of the object, not the one that has the method."""

        class Framework:
            async def disconnect(self) -> None:
                await innermost()

        class Chat(Framework):
            pass

        assert functions(places_of(Chat().disconnect)) == ["Chat.disconnect", "innermost"]

    def test_class_method(self) -> None:
        """Of `cls` it is the class itself."""

        class Chat:
            @classmethod
            async def disconnect(cls) -> None:
                await innermost()

        assert functions(places_of(Chat.disconnect)) == ["Chat.disconnect", "innermost"]

    def test_hostile_object(self) -> None:
        """One whose attributes, class and metaclass raise is told all the same."""

        class Meta(type):
            @property
            def __name__(cls) -> str:
                raise RuntimeError

        class Chat(metaclass=Meta):
            def __getattribute__(self, name: str) -> Any:
                raise RuntimeError(name)

            def __repr__(self) -> str:
                raise RuntimeError

            async def disconnect(self) -> None:
                await innermost()

        assert functions(places_of(Chat.disconnect, Chat())) == ["Chat.disconnect", "innermost"]


class TestThreads:
    """A method that blocks a thread is named with its line in that thread."""

    def blocked(self, function: Callable[..., Any], *arguments: Any) -> tuple[str, str]:
        """What is told of a task while a thread is blocked for it."""
        entered, release = threading.Event(), threading.Event()

        async def first() -> None:
            await function(entered, release, *arguments)

        async def main() -> tuple[str, str]:
            task = asyncio.create_task(first())
            await asyncio.to_thread(entered.wait, 20)
            try:
                return stuck_at(task)
            finally:
                release.set()
                await task

        return asyncio.run(main())

    @pytest.mark.parametrize("sensitive", [True, False])
    def test_sync_to_async(self, sensitive: bool) -> None:
        """asgiref's, in its one thread and in any; the innermost own line is first."""

        def blocking(entered: threading.Event, release: threading.Event) -> None:
            entered.set()
            release.wait(20)

        where, stack = self.blocked(sync_to_async(blocking, thread_sensitive=sensitive))
        assert where.startswith(
            f"blocking, in a thread, which cannot be cancelled, waits at {THIS}:"
        )
        assert stack.splitlines()[-1].startswith("  in thread ")

    def test_executor(self) -> None:
        """An executor of the application's own, with the name of its thread."""
        with ThreadPoolExecutor(1, thread_name_prefix="reports") as executor:

            def blocking(entered: threading.Event, release: threading.Event) -> None:
                entered.set()
                release.wait(20)

            async def outermost(*arguments: Any) -> None:
                await asyncio.get_running_loop().run_in_executor(executor, blocking, *arguments)

            _, stack = self.blocked(outermost)
        assert f"  in thread reports_0: {THIS}:" in stack

    def test_queued(self) -> None:
        """One that no thread has taken yet says so."""
        release = threading.Event()
        with ThreadPoolExecutor(1) as pool:

            async def main() -> tuple[str, str]:
                loop = asyncio.get_running_loop()
                first = loop.run_in_executor(pool, release.wait, 20)

                async def outermost() -> None:
                    await loop.run_in_executor(pool, release.is_set)

                task = asyncio.create_task(outermost())
                await asyncio.sleep(0)
                told = stuck_at(task)
                release.set()
                await asyncio.gather(first, task)
                return told

            _, stack = asyncio.run(main())
        assert "no thread of the executor is free" in stack

    def test_behind_another(self) -> None:
        """One that waits for asgiref's one thread is told with who keeps it."""
        entered, release = threading.Event(), threading.Event()

        def keeper() -> None:
            entered.set()
            release.wait(20)

        async def main() -> tuple[str, str]:
            first = asyncio.create_task(sync_to_async(keeper)())
            await asyncio.to_thread(entered.wait, 20)

            async def outermost() -> None:
                await sync_to_async(release.is_set)()

            async def server() -> None:
                await outermost()

            task = asyncio.create_task(server())
            await asyncio.sleep(0)
            told = stuck_at(task)
            release.set()
            await asyncio.gather(first, task)
            return told

        where, _ = asyncio.run(main())
        assert where.startswith("it waits for a thread that is kept by another: keeper at ")
