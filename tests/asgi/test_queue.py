"""The input of an application instance."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from daphne_like.asgi.queue import (
    EVENT_OVERHEAD,
    HIGH_WATER,
    LOW_WATER,
    InputQueue,
    MessageQueue,
)

LAST = {"type": "http.disconnect"}


def event(body: bytes = b"x") -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": True}


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 5))


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


class Reader:
    def __init__(self) -> None:
        self.told: list[str] = []

    def body_requested(self) -> None:
        self.told.append("wanted")

    def body_consumed(self) -> None:
        self.told.append("read")


class TestAsQueue:
    """Each application instance has an asyncio.Queue as its input."""

    def test_is_an_asyncio_queue(self) -> None:
        """`create_application` returns an asyncio.Queue."""
        queue = InputQueue()
        assert isinstance(queue, asyncio.Queue)
        assert (queue.maxsize, queue.full(), queue.qsize(), queue.empty()) == (0, False, 0, True)
        assert repr(queue).startswith("<InputQueue")

    def test_order_and_size(self) -> None:
        """Events come out in the order in which they were put."""

        async def main() -> None:
            queue = InputQueue()
            queue.put_nowait(event(b"1"))
            await queue.put(event(b"2"))
            assert (queue.qsize(), queue.empty(), queue.unread) == (2, False, 2)
            assert queue.get_nowait() == event(b"1")
            assert await queue.get() == event(b"2")
            assert (queue.qsize(), queue.empty(), queue.unread) == (0, True, 0)
            with pytest.raises(asyncio.QueueEmpty):
                queue.get_nowait()

        run(main())

    def test_join_does_not_wait(self) -> None:
        """Nothing counts as an unfinished task."""

        async def main() -> None:
            queue = InputQueue()
            queue.put_nowait(event())
            await queue.join()

        run(main())

    def test_bodiless_request(self) -> None:
        """H17: a request without a body is one event with an empty last part."""

        async def main() -> None:
            queue = InputQueue()
            queue.bodiless = True
            assert (queue.qsize(), queue.empty()) == (1, False)
            assert await queue.get() == {"type": "http.request", "body": b"", "more_body": False}
            assert (queue.qsize(), queue.empty()) == (0, True)

        run(main())


class TestWaiters:
    """asyncio.Queue: several tasks may wait at once (Starlette's middlewares do)."""

    def test_one_event_wakes_one(self) -> None:
        """Waiting tasks get one event each, first come first served."""

        async def main() -> None:
            queue = InputQueue()
            waiting = [asyncio.create_task(queue.get()) for _ in range(3)]
            await turns()
            queue.put_nowait(event(b"1"))
            queue.put_nowait(event(b"2"))
            await turns()
            assert [task.done() for task in waiting] == [True, True, False]
            assert [task.result() for task in waiting[:2]] == [event(b"1"), event(b"2")]
            queue.put_nowait(event(b"3"))
            assert await waiting[2] == event(b"3")

        run(main())

    def test_end_wakes_all(self) -> None:
        """H28: every `receive` that waits learns of the end."""

        async def main() -> None:
            queue = InputQueue()
            waiting = [asyncio.create_task(queue.get()) for _ in range(3)]
            await turns()
            queue.end(LAST)
            assert await asyncio.gather(*waiting) == [LAST, LAST, LAST]

        run(main())

    def test_cancelled_waiter_is_forgotten(self) -> None:
        """A cancelled `receive` takes no event with it."""

        async def main() -> None:
            queue = InputQueue()
            first, second = [asyncio.create_task(queue.get()) for _ in range(2)]
            await turns()
            first.cancel()
            await turns()
            queue.put_nowait(event())
            assert await second == event()

        run(main())

    def test_cancelled_after_its_turn_passes_it_on(self) -> None:
        """A `receive` that is cancelled in the turn of its event leaves the event to the next."""

        async def main() -> None:
            queue = InputQueue()
            first, second = [asyncio.create_task(queue.get()) for _ in range(2)]
            await turns()
            queue.put_nowait(event())
            first.cancel()
            await turns()
            assert first.cancelled()
            assert second.done()
            assert second.result() == event()

        run(main())

    def test_cancelled_alone_keeps_the_event(self) -> None:
        """Without another waiter the event stays for the next `receive`."""

        async def main() -> None:
            queue = InputQueue()
            first = asyncio.create_task(queue.get())
            await turns()
            queue.put_nowait(event())
            first.cancel()
            await turns()
            assert queue.qsize() == 1
            assert await queue.get() == event()

        run(main())

    def test_taken_by_another_before_its_turn(self) -> None:
        """A waiter whose event was taken in between waits on."""

        async def main() -> None:
            queue = InputQueue()
            first = asyncio.create_task(queue.get())
            await turns()
            queue.put_nowait(event(b"1"))
            assert queue.get_nowait() == event(b"1")
            await turns()
            assert not first.done()
            queue.put_nowait(event(b"2"))
            assert await first == event(b"2")

        run(main())


class TestEnd:
    """ASGI HTTP, "Disconnect - receive event"."""

    def test_unread_is_dropped(self) -> None:
        """H28: after the response `receive` gives http.disconnect, not what was left unread."""

        async def main() -> None:
            queue = InputQueue()
            queue.put_nowait(event())
            queue.end(LAST)
            assert (queue.qsize(), queue.unread) == (0, 0)
            assert await queue.get() == LAST

        run(main())

    def test_bodiless_is_dropped(self) -> None:
        """H28: nor the event of a body that there never was."""

        async def main() -> None:
            queue = InputQueue()
            queue.bodiless = True
            queue.end(LAST)
            assert await queue.get() == LAST

        run(main())

    def test_unread_is_kept(self) -> None:
        """The peer's FIN: what it sent stays readable."""

        async def main() -> None:
            queue = InputQueue()
            queue.put_nowait(event())
            queue.end(LAST, keep_unread=True)
            queue.put_nowait(event(b"too late"))
            assert [await queue.get() for _ in range(3)] == [event(), LAST, LAST]

        run(main())

    def test_each_event_is_new(self) -> None:
        """C08: changing a received event changes no other."""

        async def main() -> None:
            queue = InputQueue()
            queue.end(LAST)
            (await queue.get())["type"] = "changed"
            assert await queue.get() == LAST
            assert LAST == {"type": "http.disconnect"}

        run(main())

    def test_repeated_receive_yields(self) -> None:
        """A loop over `receive` that never looks at its events does not stop the event loop."""

        async def main() -> None:
            queue = InputQueue()
            queue.end(LAST)
            stop: list[bool] = []
            asyncio.get_running_loop().call_soon(stop.append, True)
            count = 0
            while not stop:
                await queue.get()
                count += 1
                assert count < 10
            assert count == 2

        run(main())

    def test_polling_does_not_wait(self) -> None:
        """H28: one that polls with whatever waits cancelled (Starlette's is_disconnected) learns
        of the end, though another task has been told before."""

        async def main() -> None:
            queue = InputQueue()
            queue.end(LAST)
            for _ in range(3):
                with pytest.raises(StopIteration) as returned:
                    queue.get().send(None)
                assert returned.value.value == LAST
                await turns()

        run(main())


class TestReader:
    """K4: what an application does not read stops the reading of its socket."""

    def test_asked_at_each_get(self) -> None:
        """100 (Continue) is due when the application first asks."""

        async def main() -> None:
            queue = InputQueue()
            queue.reader = reader = Reader()
            queue.put_nowait(event())
            assert reader.told == []
            await queue.get()
            assert reader.told == ["wanted", "read"]

        run(main())

    @pytest.mark.parametrize(("left", "told"), [(LOW_WATER, True), (LOW_WATER + 1, False)])
    def test_told_at_low_water(self, left: int, told: bool) -> None:
        """The peer is read again when LOW_WATER octets are left, and not before."""
        queue = InputQueue()
        queue.reader = reader = Reader()
        queue.put_nowait(event(b"x" * HIGH_WATER))
        queue.put_nowait(event(b"x" * left))
        queue.get_nowait()
        assert queue.unread == left
        assert ("read" in reader.told) is told

    def test_nobody_is_told_after_the_end(self) -> None:
        """The connection is not read any more: nobody needs to know."""

        async def main() -> None:
            queue = InputQueue()
            queue.reader = reader = Reader()
            queue.put_nowait(event())
            queue.end(LAST, keep_unread=True)
            await queue.get()
            assert reader.told == []

        run(main())


class TestMessages:
    """MessageQueue: the input of a WebSocket."""

    def test_text_octets_and_empty_messages_count(self) -> None:
        """What waits counts with an overhead, so that empty messages have a bound, too."""
        queue = MessageQueue()
        for message in ({"text": "four"}, {"bytes": b"five!"}, {"text": ""}, {"bytes": b""}):
            queue.put_nowait({"type": "websocket.receive", **message})
        assert queue.unread == 4 + 5 + 4 * EVENT_OVERHEAD
        run(queue.get())
        assert queue.get_nowait()["bytes"] == b"five!"
        assert queue.unread == 2 * EVENT_OVERHEAD
        run(queue.get())
        run(queue.get())
        assert queue.unread == 0

    @pytest.mark.parametrize("nowait", [False, True])
    def test_the_reader_is_told_once(self, nowait: bool) -> None:
        """It is told when what waits has fallen to the low-water mark, and not again."""
        queue = MessageQueue()
        queue.reader = reader = Reader()
        size = LOW_WATER - EVENT_OVERHEAD
        for _ in range(3):
            queue.put_nowait({"type": "websocket.receive", "bytes": bytes(size)})
        for _ in range(3):
            queue.get_nowait() if nowait else run(queue.get())
            assert reader.told == ["read"] * (queue.unread <= LOW_WATER)

    def test_what_came_before_the_end_stays(self) -> None:
        """Messages first, then the end for every get, then nothing is taken any more."""
        queue = MessageQueue()
        queue.put_nowait({"type": "websocket.receive", "text": "last"})
        queue.end({"type": "websocket.disconnect", "code": 1000}, keep_unread=True)
        queue.put_nowait({"type": "websocket.receive", "text": "late"})
        got = [run(queue.get())["type"] for _ in range(3)]
        assert got == ["websocket.receive", "websocket.disconnect", "websocket.disconnect"]

    def test_nothing_there(self) -> None:
        """get_nowait says so, as asyncio.Queue does."""
        with pytest.raises(asyncio.QueueEmpty):
            MessageQueue().get_nowait()

    def test_two_wait(self) -> None:
        """One message wakes one; a waiter that is cancelled passes its turn on."""

        async def both() -> list[str]:
            queue = MessageQueue()
            first, second = (asyncio.ensure_future(queue.get()) for _ in range(2))
            await asyncio.sleep(0)
            queue.put_nowait({"type": "websocket.receive", "text": "one"})
            first.cancel()
            return [(await second)["text"], str(first.cancelled())]

        assert run(both()) == ["one", "True"]
