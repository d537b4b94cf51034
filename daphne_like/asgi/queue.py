"""The input of one application instance: an asyncio.Queue of ASGI events, bounded in memory."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from typing import Any

HIGH_WATER = 65536
"""Unread octets of body at which the server stops reading from the peer."""

LOW_WATER = 16384
"""Unread octets of body at which the server reads from the peer again."""

TURNS_UNTIL_INFORMED = 3
"""Turns of the event loop after which all tasks of an application count as informed of the end.

Django receives the end in one task and then cancels the others through `asyncio.wait`, which takes
this long.
"""

EVENT_OVERHEAD = 256
"""Octets of memory for one event in addition to its content.

A dict and the header of a str or bytes take 230 to 250 octets (measured in CPython 3.11). Each
WebSocket message counts these in addition to its length, because empty messages fill memory too.
"""

MAX_EVENTS = HIGH_WATER // EVENT_OVERHEAD
"""Unread events of a body at which the server stops reading, however few octets they hold."""

LOW_WATER_EVENTS = LOW_WATER // EVENT_OVERHEAD
"""Unread events of a body at which the server reads from the peer again."""


class InputQueue(asyncio.Queue):  # type: ignore[type-arg] # Queue[dict] is no base class in 3.10
    """Events for one application instance; its `get` is the application's `receive`.

    The events are ASGI events: dicts with `type`. The length of `body` and the number of events
    have water marks of their own. Once `end` has been called, `get` never waits again. This
    subclass of asyncio.Queue supports only the reading side: `join` and `task_done` count nothing,
    and `maxsize` is 0.

    Attributes:
        bodiless: the next event is that of a request without a body; it is created on `get`,
            because most applications never ask for it.
        unread: octets of body in the queue.
        reader: `body_requested()` is called at each `get`, and `body_consumed()` when both `unread`
            and the number of events have fallen to the low-water mark; None if nobody needs that.
    """

    # asyncio.Queue builds two deques and an Event for each instance. Every request has a queue,
    # and most queues stay empty.
    __init__ = object.__init__
    _maxsize = 0
    _unfinished_tasks = 0
    _is_shutdown = False  # an attribute of Python 3.13; repr() reads it
    _queue: Any = ()
    _getters: Any = ()
    _putters: Any = ()
    _last: dict[str, Any] | None = None
    _end_given_this_turn = False
    _end_receiver: Any = None  # a weak reference to the first task that received the end
    _turns_since_end = 0
    bodiless = False
    reader: Any = None
    unread = 0

    def qsize(self) -> int:
        """Return the number of events in the queue."""
        return len(self._queue) + self.bodiless

    def empty(self) -> bool:
        """Tell whether the queue has no event."""
        return not self._queue and not self.bodiless

    @property
    def is_awaited(self) -> bool:
        """True while the application waits for an event."""
        return any(not waiter.done() for waiter in self._getters)

    def put_nowait(self, item: dict[str, Any]) -> None:
        """Add an event; dropped when the input has ended."""
        if self._last is None:
            queue = self._queue
            if queue.__class__ is tuple:
                self._queue = queue = deque()
            queue.append(item)
            body = item.get("body")
            if body:
                self.unread += len(body)
            if self._getters:
                self._wake()

    async def put(self, item: dict[str, Any]) -> None:
        """Call put_nowait; never wait, because the server keeps the bound by not reading."""
        self.put_nowait(item)

    def end(self, event: dict[str, Any], *, keep_unread: bool = False) -> None:
        """Return `event` from every `get` from now on.

        Args:
            event: `http.disconnect` or `websocket.disconnect`.
            keep_unread: the application first receives the events that are already queued.
        """
        if not keep_unread:
            self.bodiless = False
            if self._queue:
                self._queue = ()
                self.unread = 0
        self._last = event
        self.reader = None
        if self._getters:
            self._wake()

    async def get(self) -> dict[str, Any]:
        """Wait for the next event."""
        reader = self.reader
        if reader is not None:
            reader.body_requested()
        while not self._queue and not self.bodiless:
            if self._last is not None:
                # An application that calls `receive` in a loop and ignores the events must not
                # block the event loop. A poll must not wait: Starlette's is_disconnected cancels
                # a `receive` that waits. So the first `get` of a turn returns at once.
                if self._end_given_this_turn:
                    await asyncio.sleep(0)
                if not self._end_given_this_turn:
                    self._end_given_this_turn = True
                    asyncio.get_running_loop().call_soon(self._allow_next_end)
                if self._end_receiver is None:
                    self._end_received()
                return self._last.copy()
            # Not in a coroutine of its own, because every part of an upload passes here.
            waiter = self._waiter()
            try:
                await waiter
            except BaseException:
                self._withdraw(waiter)
                raise
        return self.get_nowait()

    def get_nowait(self) -> dict[str, Any]:
        """Return the next event without waiting.

        Raises:
            asyncio.QueueEmpty: the queue has no event.
        """
        if self.bodiless:
            self.bodiless = False
            return {"type": "http.request", "body": b"", "more_body": False}
        if not self._queue:
            raise asyncio.QueueEmpty
        queue = self._queue
        event: dict[str, Any] = queue.popleft()
        unread = self.unread
        if unread:
            self.unread = unread = unread - len(event.get("body", b""))
            if unread <= LOW_WATER and len(queue) <= LOW_WATER_EVENTS and self.reader is not None:
                self.reader.body_consumed()
        return event

    @property
    def application_knows_end(self) -> bool:
        """True if the current task has received the event of `end` or can know of it.

        Other tasks than the one that received the event may be in the middle of an operation. They
        count as informed after TURNS_UNTIL_INFORMED turns of the event loop.
        """
        receiver = self._end_receiver
        if receiver is None:
            return False
        return self._turns_since_end >= TURNS_UNTIL_INFORMED or receiver() is asyncio.current_task()

    def _end_received(self) -> None:
        task = asyncio.current_task()
        self._end_receiver = _no_task if task is None else weakref.ref(task)
        asyncio.get_running_loop().call_soon(self._count_turn)

    def _count_turn(self) -> None:
        self._turns_since_end += 1
        if self._turns_since_end < TURNS_UNTIL_INFORMED:
            asyncio.get_running_loop().call_soon(self._count_turn)

    def _allow_next_end(self) -> None:
        self._end_given_this_turn = False

    def _waiter(self) -> asyncio.Future[None]:
        """Create a future that the next event completes."""
        getters = self._getters
        if getters.__class__ is tuple:
            self._getters = getters = deque()
        waiter = asyncio.get_running_loop().create_future()
        getters.append(waiter)
        return waiter

    def _withdraw(self, waiter: asyncio.Future[None]) -> None:
        """Remove a waiter that was cancelled."""
        if waiter in self._getters:
            self._getters.remove(waiter)
        elif self._queue:
            self._wake()  # an event had woken it: wake the next waiter instead

    def _wake(self) -> None:
        waiters = self._getters
        while waiters:
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                if self._last is None:
                    return  # an event wakes one waiter; the end wakes all


def _no_task() -> None:
    """Act as the reference to a task when a coroutine runs without a task."""


class MessageQueue(InputQueue):
    """The input of a WebSocket's application: `text` and `bytes` count towards the water marks.

    Each message counts EVENT_OVERHEAD in addition. Text counts its characters, each of which takes
    up to four octets of memory. The methods call few others, because a session has many messages.
    """

    def put_nowait(self, item: dict[str, Any]) -> None:
        """Add an event; dropped when the input has ended."""
        self.put_sized(item, _size(item))

    def put_sized(self, item: dict[str, Any], size: int) -> None:
        """Add an event of known size, in characters or octets; dropped when the input has ended."""
        if self._last is None:
            queue = self._queue
            if queue.__class__ is tuple:
                self._queue = queue = deque()
            queue.append(item)
            self.unread += size + EVENT_OVERHEAD
            if self._getters:
                self._wake()

    async def get(self) -> dict[str, Any]:
        """Wait for the next event."""
        # Every message passes here, so nothing is moved into methods of its own.
        queue = self._queue
        if not queue:
            if self._last is not None:
                return await super().get()
            getters = self._getters  # the same as `_waiter`, without the call
            if getters.__class__ is tuple:
                self._getters = getters = deque()
            waiter = asyncio.get_running_loop().create_future()
            getters.append(waiter)
            try:
                await waiter
            except BaseException:
                self._withdraw(waiter)
                raise
            queue = self._queue
            if not queue:  # another task took the event, or the input has ended
                return await super().get()
        event: dict[str, Any] = queue.popleft()
        before = self.unread
        self.unread = unread = before - _size(event) - EVENT_OVERHEAD if queue else 0
        if unread <= LOW_WATER < before and self.reader is not None:
            self.reader.body_consumed()
        return event

    def get_nowait(self) -> dict[str, Any]:
        """Return the next event without waiting.

        Raises:
            asyncio.QueueEmpty: the queue has no event.
        """
        if not self._queue:
            raise asyncio.QueueEmpty
        event: dict[str, Any] = self._queue.popleft()
        before = self.unread
        self.unread = unread = before - _size(event) - EVENT_OVERHEAD
        if unread <= LOW_WATER < before and self.reader is not None:
            self.reader.body_consumed()
        return event


def _size(event: dict[str, Any]) -> int:
    return len(event.get("text") or event.get("bytes") or b"")
