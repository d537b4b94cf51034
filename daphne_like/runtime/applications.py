"""Creates, tracks and ends the running application instances of a server."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from daphne_like.asgi.instance import run_instance
from daphne_like.asgi.queue import InputQueue
from daphne_like.exceptions import ConnectionClosed
from daphne_like.observe import slow_callbacks
from daphne_like.observe.observer import Observer
from daphne_like.observe.request_identity import within
from daphne_like.observe.stacks import threads
from daphne_like.observe.stacks.waiting import executor_kept_by, stuck_at
from daphne_like.wording import counted

log = logging.getLogger("daphne_like.server")

MAX_TOLD_CANCELLATIONS = 2
"""Number of cancellations of one instance that are logged; an instance may ignore any number."""


@dataclass
class DisconnectGrace:
    """The grace period of an application instance whose peer has gone.

    Attributes:
        since: time of the disconnect.
        deadline: time of the next cancellation.
        cancelled: number of cancellations so far.
        dropped_sends: messages sent before the instance received the disconnect event.
        informed_sends: messages sent after the instance received the disconnect event.
    """

    since: float
    deadline: float
    cancelled: int = 0
    dropped_sends: int = 0
    informed_sends: int = 0

    def may_drop_send(self, exchange: Any, now: float) -> bool:
        """Tell whether to drop a message to a peer that has gone, instead of raising (H30, W40).

        Raising at once would stop frameworks from running their own disconnect handling: Channels
        would not call a consumer's `disconnect`, and Django would not send `request_finished`.
        Dropping every message, as Daphne does, would let an application that never receives run
        for ever. An application that has received the disconnect event expects the exception
        (H29). Channels calls `disconnect` only after that event, so a WebSocket application may
        still send a few messages.
        """
        if exchange.disconnect_received:
            self.informed_sends += 1
            if self.informed_sends > exchange.max_informed_sends:
                return False
        else:
            self.dropped_sends += 1
            if self.dropped_sends > exchange.max_dropped_sends:
                return False
        return now < (self.since + self.deadline) / 2


class Applications:
    """Runs one application instance for each scope, and ends instances whose peer has gone.

    Args:
        close_timeout: seconds that an application has after its peer has gone.

    Attributes:
        application: an ASGI 3 application.
        handle_reply: called with an exchange or session and one message of its application.
        running: maps an exchange or session to the task of its instance.
    """

    def __init__(self, close_timeout: float) -> None:
        self.application: Any = None
        self.handle_reply: Callable[..., Any] = self.reply
        self.running: dict[Any, asyncio.Task[None]] = {}
        self.observer: Observer | None = None
        self._close_timeout = close_timeout
        self._clock: Callable[[], float]
        self._create_task: Callable[..., asyncio.Task[None]]
        self._run_in_context: Callable[..., Any]
        # Weak references, so that an exchange whose application ends in time is not kept alive
        # until its deadline.
        self._disconnected: WeakKeyDictionary[Any, DisconnectGrace] = WeakKeyDictionary()

    def use_loop(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float]) -> None:
        """Run instances on this event loop, each in a copy of the current context."""
        self._clock = clock
        self.keep_context()
        self._create_task = loop.create_task
        if loop.get_task_factory() in (None, getattr(asyncio, "eager_task_factory", None)):
            # A task with a given name does not format one ("Task-4711"). An eager task would run
            # before its exchange has the application's input queue.
            self._create_task = partial(asyncio.Task, loop=loop, name="application")
        if loop.get_debug():
            self._create_task = partial(slow_callbacks.create_named, loop)
            slow_callbacks.explain(self.running)

    def sibling(self, application: Any) -> Applications:
        """Return a copy for another application; both share the register of instances."""
        other = copy.copy(self)
        other.application = application
        return other

    def keep_context(self) -> None:
        """Start later instances in copies of the current context.

        Running `create_task` in a context costs less than passing the context to the task, and
        works on Python 3.10, where tasks accept no context.
        """
        self._run_in_context = copy_context().run

    def set_in_context(self, variable: ContextVar[Any], value: Any) -> None:
        """Set a variable in the context that the next instances start with a copy of."""
        self._run_in_context(variable.set, value)

    def create(
        self, protocol: Any, scope: dict[str, Any], input_type: type[InputQueue] = InputQueue
    ) -> InputQueue:
        """Run an application instance for a scope.

        The instance starts in a copy of the server's context. It does not inherit the context of
        the caller, because the caller may be another application's task: the end of one response
        starts the next pipelined request.

        Args:
            protocol: exchange or session that handles the instance's messages and its end.
            scope: a new dict.
            input_type: class of the queue, which depends on the kind of events.
        Returns:
            The instance's input, an asyncio.Queue of ASGI events.
        """
        queue: InputQueue = input_type()
        # A local variable: calling an instance attribute as a method takes a longer look-up.
        run_in_context = self._run_in_context
        running = self.running
        running[protocol] = run_in_context(
            self._create_task,
            run_instance(
                self.application,
                scope,
                queue.get,
                partial(self.handle_reply, protocol),
                protocol,
                running,
            ),
        )
        return queue

    async def reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Pass one message of an application to its exchange or session.

        Return when the transport has room again or the connection is closed (ASGI C09).

        Raises:
            ApplicationError: ASGI does not allow this message here.
            ConnectionClosed: the connection is gone, and the application has received the
                disconnect event or has had time to: see DisconnectGrace.
        """
        try:
            waiting = protocol.handle_reply(message)
            if waiting is not None:
                await waiting
        except ConnectionClosed:
            grace = self._disconnected.get(protocol)
            if grace is None or not grace.may_drop_send(protocol, self._clock()):
                raise
            await asyncio.sleep(0)  # let another task of the application receive the disconnect

    def peer_gone(self, exchange: Any) -> None:
        """Start the grace period of an instance whose peer has gone, unless it has ended."""
        if exchange in self.running and exchange not in self._disconnected:
            now = self._clock()
            self._disconnected[exchange] = DisconnectGrace(now, now + self._close_timeout)
            if self.observer is not None:
                self.observer.application_leaving(exchange)
                self.running[exchange].add_done_callback(partial(self._left, exchange, now))

    def _left(self, exchange: Any, since: float, _task: object) -> None:
        if self.observer is not None:
            self.observer.application_left(exchange, self._clock() - since)

    def response_too_slow(self, exchange: Any) -> None:
        """Log that `--http-timeout` passed without a complete response; start the grace period."""
        with within(exchange):
            log.warning(
                "%s took longer than %s for its response%s",
                exchange,
                counted(exchange.time_limit or 0, "second"),
                self.describe_stuck(exchange),
            )
        self.peer_gone(exchange)

    def reap(self) -> None:
        """Cancel instances whose grace period is over; forget instances that have ended."""
        now = self._clock()
        for protocol, grace in list(self._disconnected.items()):
            if grace.deadline > now:
                continue
            task = self.running.get(protocol)
            if task is None or task.done():
                self._disconnected.pop(protocol, None)
                self.running.pop(protocol, None)
            else:
                with within(protocol):
                    self._cancel(protocol, task, grace, now)

    def _cancel(
        self, protocol: Any, task: asyncio.Task[None], grace: DisconnectGrace, now: float
    ) -> None:
        """Cancel an instance, and log where it was stuck.

        An instance that ignores its cancellation, or cannot obey because its thread is blocked, is
        cancelled again at each deadline. If writing the log line fails, the instance is cancelled
        all the same, and the other instances are handled at the next check (K1).
        """
        grace.deadline = now + max(1, self._close_timeout)
        grace.cancelled += 1
        is_told = grace.cancelled <= MAX_TOLD_CANCELLATIONS
        try:  # before the cancellation, because a cancelled future forgets its executor
            where = self.describe_stuck(protocol) if is_told else ""
            replaced = threads.replace_executor(executor_kept_by(task))
        finally:
            task.cancel()
        if self.observer is not None:
            self.observer.application_cancelled(protocol)
        if is_told:
            log.warning(
                "%s still runs %s after its peer has gone; %s%s",
                protocol,
                counted(now - grace.since, "second", ".0f"),
                "cancelling it" if grace.cancelled == 1 else "it was cancelled but still runs",
                where,
            )
        if replaced:
            log.warning(
                "%s blocks the thread that all synchronous code shares; a new one takes over "
                "for the others",
                protocol,
            )

    async def kill_all(self) -> None:
        """Cancel every instance, and wait until all have ended.

        An instance that swallows its cancellation delays the return.
        """
        tasks = list(self.running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def describe_stuck(self, protocol: Any) -> str:
        """Return the place where the instance of an exchange waits, as the end of a log line."""
        task = self.running.get(protocol)
        if task is None:
            return ""
        where, stack = stuck_at(task)
        return f"; {where}\n{stack}" if where else ""
