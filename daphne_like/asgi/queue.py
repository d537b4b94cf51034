"""The input of one application instance: an asyncio.Queue of ASGI events, bounded in memory."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from typing import Any

HIGH_WATER = 65536
"""Unread octets of body from which the peer is read no further."""

LOW_WATER = 16384
"""Unread octets of body from which the peer is read again."""

TURNS_TO_HEAR = 3
"""Turns of the event loop until all tasks of an application count as told of the end that one of
them has received: with `asyncio.wait` it takes them to cancel the others, as Django does."""

EVENT_OVERHEAD = 256
"""Octets of memory that an event takes beside its content: a dict, and the head of a str or bytes
(230 to 250 were measured in CPython 3.11). A WebSocket message counts as much beside its own
length: empty ones fill memory, too."""

MAX_EVENTS = HIGH_WATER // EVENT_OVERHEAD
"""Unread events of a body from which the peer is read no further, though they hold few octets."""

FEW_EVENTS = LOW_WATER // EVENT_OVERHEAD
"""Unread events of a body from which the peer is read again."""


class InputQueue(asyncio.Queue):  # type: ignore[type-arg] # Queue[dict] is no base class in 3.10
    """Events for one application instance; its `get` is the application's `receive`.

    The events are ASGI's: dicts with `type`; what counts towards the water marks is the length
    of `body`, and the number of events by itself. Once `end` has been called, `get` never waits
    again. A subclass of asyncio.Queue that keeps its reading side alone: `join` and `task_done`
    count nothing, `maxsize` is 0.

    Attributes:
        bodiless: the next event is that of a request without a body; it is made when it is got,
            because most applications never ask for it.
        unread: octets of body put and not yet got.
        reader: told `body_requested()` at each get and `body_consumed()` when both `unread` and the
            number of events have fallen to the low-water mark; None when nobody needs to know.
    """

    # asyncio.Queue builds two deques and an Event for each instance; one queue is made per
    # request, and most stay empty.
    __init__ = object.__init__
    _maxsize = 0
    _unfinished_tasks = 0
    _is_shutdown = False  # Python 3.13's; read by repr()
    _queue: Any = ()
    _getters: Any = ()
    _putters: Any = ()
    _last: dict[str, Any] | None = None
    _told = False
    _end_receiver: Any = None  # a weak reference to the first task that received the end
    _turns_since_end = 0
    bodiless = False
    reader: Any = None
    unread = 0

    def qsize(self) -> int:
        """Events that are there."""
        return len(self._queue) + self.bodiless

    def empty(self) -> bool:
        """Whether no event is there."""
        return not self._queue and not self.bodiless

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
        """As put_nowait: the bound is kept by not reading the peer, never by waiting here."""
        self.put_nowait(item)

    def end(self, event: dict[str, Any], *, keep_unread: bool = False) -> None:
        """Give `event` to every `get` from now on.

        Args:
            event: `http.disconnect` or `websocket.disconnect`.
            keep_unread: let the application read what is there already first.
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
                # An application that loops over `receive` without looking at what it gets must
                # not stop the event loop. One that only polls (Starlette's is_disconnected cancels
                # whatever waits) has its answer without waiting.
                if self._told:
                    await asyncio.sleep(0)
                if not self._told:
                    self._told = True
                    asyncio.get_running_loop().call_soon(self._next_turn)
                if self._end_receiver is None:
                    self._end_received()
                return self._last.copy()
            # No coroutine of its own: this is the way of every part of an upload.
            waiter = self._waiter()
            try:
                await waiter
            except BaseException:
                self._withdraw(waiter)
                raise
        return self.get_nowait()

    def get_nowait(self) -> dict[str, Any]:
        """The next event that is there.

        Raises:
            asyncio.QueueEmpty: there is none.
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
            if unread <= LOW_WATER and len(queue) <= FEW_EVENTS and self.reader is not None:
                self.reader.body_consumed()
        return event

    @property
    def application_knows_end(self) -> bool:
        """Whether the task that asks has received the event of `end`, or could have heard of it.

        Other tasks than the one that received it may be in the middle of something, and are given
        TURNS_TO_HEAR.
        """
        receiver = self._end_receiver
        if receiver is None:
            return False
        return self._turns_since_end >= TURNS_TO_HEAR or receiver() is asyncio.current_task()

    def _end_received(self) -> None:
        task = asyncio.current_task()
        self._end_receiver = _no_task if task is None else weakref.ref(task)
        asyncio.get_running_loop().call_soon(self._count_turn)

    def _count_turn(self) -> None:
        self._turns_since_end += 1
        if self._turns_since_end < TURNS_TO_HEAR:
            asyncio.get_running_loop().call_soon(self._count_turn)

    def _next_turn(self) -> None:
        self._told = False

    def _waiter(self) -> asyncio.Future[None]:
        """A future that the next event wakes."""
        getters = self._getters
        if getters.__class__ is tuple:
            self._getters = getters = deque()
        waiter = asyncio.get_running_loop().create_future()
        getters.append(waiter)
        return waiter

    def _withdraw(self, waiter: asyncio.Future[None]) -> None:
        """Somebody waits no longer."""
        if waiter in self._getters:
            self._getters.remove(waiter)
        elif self._queue:
            self._wake()  # it was this one's turn: pass it on

    def _wake(self) -> None:
        waiters = self._getters
        while waiters:
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                if self._last is None:
                    return  # one event wakes one; the end wakes all


def _no_task() -> None:
    """Stand in for the reference to a task, where a coroutine is run without one."""


class MessageQueue(InputQueue):
    """The input of a WebSocket's application: `text` and `bytes` count towards the water marks.

    Each message counts with EVENT_OVERHEAD. Text counts its characters, of which each takes up to
    four octets of memory. The methods are flatter, as a session has many messages.
    """

    def put_nowait(self, item: dict[str, Any]) -> None:
        """Add an event; dropped when the input has ended."""
        self.put_sized(item, _size(item))

    def put_sized(self, item: dict[str, Any], size: int) -> None:
        """As put_nowait, for whoever knows the size: characters of text, or octets."""
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
        # Flat on purpose: this is the way of every message.
        queue = self._queue
        if not queue:
            if self._last is not None:
                return await super().get()
            getters = self._getters  # as _waiter, which would be a call more for each
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
            if not queue:  # another task was faster, or this is the end
                return await super().get()
        event: dict[str, Any] = queue.popleft()
        before = self.unread
        self.unread = unread = before - _size(event) - EVENT_OVERHEAD if queue else 0
        if unread <= LOW_WATER < before and self.reader is not None:
            self.reader.body_consumed()
        return event

    def get_nowait(self) -> dict[str, Any]:
        """The next event that is there.

        Raises:
            asyncio.QueueEmpty: there is none.
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
