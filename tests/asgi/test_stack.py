"""Where a task is stuck."""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any

from daphne_like.asgi.stack import DEEPEST, waiting_at

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
    """The issue: the warning has the place where the application is stuck, its task's stack."""

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

        assert functions(places_of(outermost)) == ["outermost", "__aexit__", "innermost"]

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

        assert functions(places_of(outermost, Written())) == ["outermost", "__await__", "innermost"]
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
