"""Records what a process does, for the status page: an observer of its server."""

from __future__ import annotations

import time
import weakref
from itertools import islice
from typing import Any, Protocol

from daphne_like.observe.observer import Observer
from daphne_like.runtime.connections import Connections
from daphne_like.runtime.context import ServerContext
from daphne_like.runtime.lifecycle import Lifecycle
from daphne_like.runtime.timer_wheel import TICK_SECONDS
from daphne_like.status.buckets import bucket_of
from daphne_like.status.sample import Sample

SLOW_SECONDS = 5.0
"""Seconds after which a response that has not begun is slow."""
MAX_LOOKED_AT = 1000
"""Instances that are looked at once a second, the oldest ones."""


class Recorded(Protocol):
    """The part of a Server that is recorded."""

    context: ServerContext
    connections: Connections
    lifecycle: Lifecycle

    def add_observer(self, observer: Observer) -> None:
        """Tell an observer what happens."""


class Recorder(Observer):
    """Counts for the charts, and since when connections and instances are in their states.

    Args:
        context: of the server's connections.
        connections: the live connections.

    Attributes:
        opened: connection -> time of its beginning.
        paused: connection -> time since which its applications wait for the peer to read.
        gone: exchange or session whose instance still runs -> time when its peer went.
    """

    def __init__(self, context: ServerContext, connections: Connections) -> None:
        self.context = context
        self.connections = connections
        self.opened: dict[Any, float] = {}
        self.paused: dict[Any, float] = {}
        self.gone: dict[Any, float] = {}
        self._websockets = 0
        self._last_tick: float | None = None
        self._sample = Sample()
        self._slow: weakref.WeakSet[Any] = weakref.WeakSet()

    @classmethod
    def of(cls, server: Recorded) -> Recorder:
        """Record what a server does from now on; return the recorder."""
        recorder = cls(server.context, server.connections)
        server.add_observer(recorder)
        server.lifecycle.add_check(recorder.tick)
        return recorder

    def tick(self) -> None:
        """Measure how late the event loop is; called every TICK_SECONDS."""
        now = self.context.clock()
        if self._last_tick is not None:
            delay = max(0.0, now - self._last_tick - TICK_SECONDS)
            self._sample.delay = max(self._sample.delay, delay)
        self._last_tick = now

    def take(self) -> Sample:
        """Return what was counted since the last call, and the present values."""
        sample, self._sample = self._sample, Sample()
        sample.delay = round(sample.delay, 6)
        sample.cpu = time.process_time()
        sample.connections = len(self.connections)
        sample.websockets = self._websockets
        sample.instances = len(self.context.applications.running)
        sample.leaving = len(self.gone)
        sample.slow = self._count_slow()
        return sample

    def _count_slow(self) -> int:
        """Count slow instances among the oldest ones.

        Messages of a WebSocket often wait for a moment, so it must be slow in two samples.
        """
        before, self._slow = self._slow, weakref.WeakSet()
        now = self.context.clock()
        number = 0
        for owner in list(islice(self.context.applications.running, MAX_LOOKED_AT)):
            if self.is_slow(owner, now):
                self._slow.add(owner)
                number += owner in before or not is_open(owner)
        return number

    def is_slow(self, owner: Any, now: float) -> bool:
        """Tell whether the peer of an instance waits for the application.

        The peer of a request waits if it has no response after SLOW_SECONDS. The peer of a
        WebSocket waits if the application does not receive a message that has arrived.
        """
        if owner in self.gone:
            return False
        if is_open(owner):
            queue = owner.queue
            return queue is not None and queue.qsize() > 0 and not queue.is_awaited
        if owner.state.name not in ("AWAITING_START", "HEAD_BUFFERED"):
            return False
        queue = owner.queue
        if queue is not None and queue.is_awaited:
            return False  # the application waits for the body
        return bool(owner.started) and now - owner.started > SLOW_SECONDS

    # Observer.

    def exchange_ended(self, exchange: Any) -> None:
        # Flat, because this runs for every request.
        sample = self._sample
        sample.requests += 1
        status = exchange.status
        if status >= 500 or not status or exchange.is_cut:
            sample.errors += 1
        sample.bytes_in += exchange.received
        sample.bytes_out += exchange.body_octets_sent
        bucket = bucket_of(exchange.ended - exchange.started)
        buckets = sample.buckets
        buckets[bucket] = buckets.get(bucket, 0) + 1

    def connection_opened(self, connection: Any) -> None:
        self.opened[connection] = self.context.clock()

    def connection_switched(self, before: Any, after: Any) -> None:
        since = self.opened.pop(before, None)
        self.opened[after] = self.context.clock() if since is None else since
        self.paused.pop(before, None)

    def connection_closed(self, connection: Any) -> None:
        self.opened.pop(connection, None)
        self.paused.pop(connection, None)

    def refused(self, reason: str) -> None:
        self._sample.refusals += 1

    def handshake_failed(self, reason: str) -> None:
        self._sample.refusals += 1

    def session_opened(self, session: Any) -> None:
        self._websockets += 1

    def session_closed(self, session: Any, code: int, by: str) -> None:
        self._websockets -= 1

    def message_received(self, size: int) -> None:
        self._sample.messages_in += 1
        self._sample.bytes_in += size

    def message_sent(self, size: int) -> None:
        self._sample.messages_out += 1
        self._sample.bytes_out += size

    def sending_paused(self, connection: Any) -> None:
        self.paused[connection] = self.context.clock()

    def sending_resumed(self, connection: Any) -> None:
        self.paused.pop(connection, None)

    def application_leaving(self, owner: Any) -> None:
        self.gone[owner] = self.context.clock()

    def application_left(self, owner: Any, seconds: float) -> None:
        self.gone.pop(owner, None)


def is_open(owner: Any) -> bool:
    """Tell whether an exchange or session is an open WebSocket."""
    return getattr(owner, "protocol", None) is not None
