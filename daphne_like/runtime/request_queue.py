"""Limits the requests that the application handles at the same time; further ones wait their turn.

Without --max-concurrent-requests nothing of this runs. WebSockets are neither counted nor delayed:
they stay for hours, and --max-connections limits them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from daphne_like.asgi.queue import InputQueue
from daphne_like.exceptions import PeerError

if TYPE_CHECKING:
    from asyncio import Task

    from daphne_like.runtime.context import ServerContext


def too_many_requests() -> PeerError:
    """Return the error of a request for which the queue has no room, or which waited too long."""
    return PeerError(
        503, "Too many requests; try again.", reason="max_concurrent_requests_exceeded"
    )


class Waiting(NamedTuple):
    """A request whose application has not been started.

    Attributes:
        exchange: the request.
        scope: for its application.
        queue: the input of its application, which fills meanwhile as far as back-pressure lets it.
        deadline: time when it is refused.
    """

    exchange: Any
    scope: dict[str, Any]
    queue: InputQueue
    deadline: float

    def get_queue(self) -> InputQueue:
        """Return the queue, instead of a new one."""
        return self.queue

    @property
    def is_over(self) -> bool:
        """True if the request needs no application any more: its client has gone."""
        return not self.exchange.is_waiting_for_response


class RequestQueue:
    """Starts applications in the order of their requests, as many at a time as the option says.

    Args:
        context: of the server's connections. Its `create_application` is replaced.

    Attributes:
        running: applications of requests that run.
    """

    def __init__(self, context: ServerContext) -> None:
        options = context.options
        assert options.max_concurrent_requests is not None
        self.running = 0
        self._most = options.max_concurrent_requests
        self._most_waiting = options.max_queued_requests
        self._timeout = options.request_queue_timeout
        self._context = context
        self._waiting: deque[Waiting] = deque()
        self._create: Callable[..., InputQueue] = context.create_application
        context.create_application = self.create

    def create(
        self,
        exchange: Any,
        scope: dict[str, Any],
        input_type: Callable[[], InputQueue] = InputQueue,
    ) -> InputQueue:
        """Start an application now or later; see Applications.create."""
        if scope["type"] != "http":
            return self._create(exchange, scope, input_type)
        if self.running < self._most and not self._waiting:
            return self._start(exchange, scope, input_type)
        queue = input_type()
        context = self._context
        self._forget_lost()
        if len(self._waiting) < self._most_waiting:
            deadline = context.clock() + self._timeout
            self._waiting.append(Waiting(exchange, scope, queue, deadline))
        else:
            # Not now: the caller has not stored the queue yet.
            context.loop.call_soon(self._refuse, exchange)
        return queue

    def check(self) -> None:
        """Refuse the requests that have waited too long; may be called at any time."""
        now = self._context.clock()
        while self._waiting and self._waiting[0].deadline <= now:
            self._refuse(self._waiting.popleft().exchange)

    def _start(
        self, exchange: Any, scope: dict[str, Any], input_type: Callable[[], InputQueue]
    ) -> InputQueue:
        queue = self._create(exchange, scope, input_type)
        task = self._context.applications.running.get(exchange)
        if task is not None:  # a subclass of the server may run it elsewhere
            self.running += 1
            task.add_done_callback(self._ended)
        return queue

    def _ended(self, _task: Task[None]) -> None:
        self.running -= 1
        while self._waiting and self.running < self._most:
            waiting = self._waiting.popleft()
            if not waiting.is_over:
                self._start(waiting.exchange, waiting.scope, waiting.get_queue)

    def _forget_lost(self) -> None:
        """If the queue is full, remove the requests whose clients have gone."""
        if len(self._waiting) >= self._most_waiting:
            self._waiting = deque(each for each in self._waiting if not each.is_over)

    def _refuse(self, exchange: Any) -> None:
        if exchange.is_waiting_for_response:
            error = too_many_requests()
            self._context.refused(exchange.carrier.log_label(exchange.scope["client"]), error)
            exchange.refuse(error)
