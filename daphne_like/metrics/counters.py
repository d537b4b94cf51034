"""Counts what a server does: the observer behind the metrics."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from typing import Any

from daphne_like.metrics.counts import MAX_ROWS, OTHER, Counts, Labels, add_row
from daphne_like.metrics.series import (
    ACTIVE_CONNECTIONS,
    ACTIVE_REQUESTS,
    ACTIVE_WEBSOCKETS,
    APPLICATION_CLOSE,
    APPLICATIONS,
    APPLICATIONS_CANCELLED,
    BACKPRESSURE,
    CONNECTION_DURATION,
    CONNECTIONS,
    CPU,
    DURATIONS,
    HANDSHAKE_DURATION,
    HANDSHAKES_FAILED,
    LOOP_DELAY,
    LOOP_STALLS,
    QUEUE_TIME,
    REFUSALS,
    REQUEST_BODY,
    REQUEST_DURATION,
    RESPONSE_BODY,
    SIZES,
    WEBSOCKET_BYTES,
    WEBSOCKET_CLOSES,
    WEBSOCKET_MESSAGES,
    WEBSOCKETS,
    Series,
)
from daphne_like.observe.observer import Observer
from daphne_like.runtime.context import ServerContext
from daphne_like.runtime.timer_wheel import TICK_SECONDS

METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
)
"""The methods that are labels; others are counted together."""
MAX_KEYS = 4096
"""Combinations of method, status, scheme and version that are looked up directly."""
FIRST_PRIVATE_CODE = 3000
DEFAULT_STALL_SECONDS = 5.0

# A request is counted in one list: the sum and the buckets of its duration, then those of the sizes
# of both bodies.
BODY = len(DURATIONS) + 2
RESPONSE = BODY + len(SIZES) + 2
END = RESPONSE + len(SIZES) + 2


class Counters(Observer):
    """The counts of one process.

    A request costs one tuple in a list. At each tick equal tuples are counted in C, and only
    different ones are looked at: the clock of the event loop counts milliseconds, so most requests
    of a busy server are equal.

    Args:
        context: of the server's connections.
    """

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._ended: list[tuple[Any, ...]] = []
        self._exchanges: dict[tuple[Any, ...], list[float]] = {}
        self._by_labels: dict[Labels, list[float]] = {}  # the same lists
        self._rows: Counts = {}
        self._connections: dict[Any, float] = {}
        self._paused: dict[Any, float] = {}
        self._leaving = 0
        self._sessions = 0
        self._received = self._add(WEBSOCKET_MESSAGES, "received")
        self._received_bytes = self._add(WEBSOCKET_BYTES, "received")
        self._sent = self._add(WEBSOCKET_MESSAGES, "sent")
        self._sent_bytes = self._add(WEBSOCKET_BYTES, "sent")
        self._delays = self._add(LOOP_DELAY)
        self._stalls = self._add(LOOP_STALLS)
        self._last_tick: float | None = None
        self._stall_seconds = context.options.stall_warning or DEFAULT_STALL_SECONDS
        for series in (WEBSOCKETS, APPLICATIONS_CANCELLED):
            self._add(series)

    def _add(self, series: Series, *labels: str) -> list[float]:
        return add_row(series, self._rows.setdefault(series.name, {}), labels)

    def _count(self, series: Series, *labels: str, value: float = 1) -> None:
        self._add(series, *labels)[0] += value

    def _measure(self, series: Series, value: float, *labels: str) -> None:
        put(self._add(series, *labels), series.bounds, value)

    # Requests.

    def request_queued(self, seconds: float) -> None:
        self._measure(QUEUE_TIME, seconds)

    def exchange_ended(self, exchange: Any) -> None:
        # Every request passes here.
        self._ended.append(
            (
                exchange.method,
                exchange.status,
                exchange.scheme,
                exchange.version,
                exchange.ended - exchange.started,
                exchange.received,
                exchange.body_octets_sent,
            )
        )

    def _count_exchanges(self) -> None:
        ended, self._ended = self._ended, []
        for (*labels, seconds, received, sent), number in Counter(ended).items():
            key = tuple(labels)
            row = self._exchanges.get(key)
            if row is None:
                row = self._new_row(key)
            row[0] += seconds * number
            row[1 + bisect_left(DURATIONS, seconds)] += number
            row[BODY] += received * number
            row[BODY + 1 + bisect_left(SIZES, received)] += number
            row[RESPONSE] += sent * number
            row[RESPONSE + 1 + bisect_left(SIZES, sent)] += number

    def _new_row(self, key: tuple[Any, ...]) -> list[float]:
        """Return the list for a combination that has not been counted before."""
        method, status, scheme, version = key
        labels: Labels = (
            method if method in METHODS else OTHER,
            str(status) if status else "",  # no response was sent
            scheme if scheme in ("http", "https") else OTHER,
            version,
        )
        if labels not in self._by_labels and len(self._by_labels) >= MAX_ROWS:
            labels = (OTHER,) * len(labels)
        row = self._by_labels.setdefault(labels, [0.0] * END)
        if len(self._exchanges) < MAX_KEYS:
            self._exchanges[key] = row  # for the next request
        return row

    # Connections.

    def connection_opened(self, connection: Any) -> None:
        self._connections[connection] = self._context.clock()
        self._count(CONNECTIONS, connection.protocol_name)

    def connection_switched(self, before: Any, after: Any) -> None:
        since = self._connections.pop(before, None)
        self._connections[after] = self._context.clock() if since is None else since
        self._count(CONNECTIONS, after.protocol_name)
        self.sending_resumed(before)

    def connection_closed(self, connection: Any) -> None:
        since = self._connections.pop(connection, None)
        if since is not None:
            seconds = self._context.clock() - since
            self._measure(CONNECTION_DURATION, seconds, connection.protocol_name)
        self.sending_resumed(connection)

    def refused(self, reason: str) -> None:
        self._count(REFUSALS, reason)

    def handshake_ended(self, seconds: float) -> None:
        self._measure(HANDSHAKE_DURATION, seconds)

    def handshake_failed(self, reason: str) -> None:
        self._count(HANDSHAKES_FAILED, reason)

    def sending_paused(self, connection: Any) -> None:
        self._paused[connection] = self._context.clock()

    def sending_resumed(self, connection: Any) -> None:
        since = self._paused.pop(connection, None)
        if since is not None:
            seconds = self._context.clock() - since
            self._count(BACKPRESSURE, connection.protocol_name, value=seconds)

    # WebSockets.

    def session_opened(self, session: Any) -> None:
        self._sessions += 1
        self._count(WEBSOCKETS)

    def session_closed(self, session: Any, code: int, by: str) -> None:
        self._sessions -= 1
        # A peer may send two thousand codes, so those that have no meaning here are put together.
        word = f"{code // 1000}xxx" if by == "peer" and code >= FIRST_PRIVATE_CODE else str(code)
        self._count(WEBSOCKET_CLOSES, word, by)

    def message_received(self, size: int) -> None:
        self._received[0] += 1
        self._received_bytes[0] += size

    def message_sent(self, size: int) -> None:
        self._sent[0] += 1
        self._sent_bytes[0] += size

    # Applications and the event loop.

    def application_leaving(self, owner: Any) -> None:
        self._leaving += 1

    def application_left(self, owner: Any, seconds: float) -> None:
        self._leaving -= 1
        self._measure(APPLICATION_CLOSE, seconds)

    def application_cancelled(self, owner: Any) -> None:
        self._count(APPLICATIONS_CANCELLED)

    def tick(self) -> None:
        """Count requests, and measure how late the event loop is; called every TICK_SECONDS."""
        self._count_exchanges()
        now = self._context.clock()
        if self._last_tick is not None:
            delay = max(0.0, now - self._last_tick - TICK_SECONDS)
            put(self._delays, LOOP_DELAY.bounds, delay)
            if delay > self._stall_seconds:
                self._stalls[0] += 1
        self._last_tick = now

    # The counts.

    def counts(self) -> Counts:
        """Return the present counts; they do not change any more."""
        self._count_exchanges()
        counts = {
            name: {labels: values[:] for labels, values in rows.items()}
            for name, rows in self._rows.items()
        }
        counts |= self._of_exchanges()
        counts |= self._gauges()
        counts[CPU.name] = {(): [time.process_time()]}
        paused = counts.setdefault(BACKPRESSURE.name, {})
        now = self._context.clock()
        for connection, since in self._paused.items():
            add_row(BACKPRESSURE, paused, (connection.protocol_name,))[0] += now - since
        return counts

    def _of_exchanges(self) -> Counts:
        rows = self._by_labels.items()
        return {
            REQUEST_DURATION.name: {labels: row[:BODY] for labels, row in rows},
            REQUEST_BODY.name: {labels: row[BODY:RESPONSE] for labels, row in rows},
            RESPONSE_BODY.name: {labels: row[RESPONSE:] for labels, row in rows},
        }

    def _gauges(self) -> Counts:
        requests: dict[Labels, list[float]] = {}
        running = self._context.applications.running
        for owner in list(running):
            if getattr(owner, "is_waiting_for_response", False):
                method = owner.method if owner.method in METHODS else OTHER
                add_row(ACTIVE_REQUESTS, requests, (method, owner.scheme))[0] += 1
        connections: dict[Labels, list[float]] = {}
        for connection in self._connections:
            add_row(ACTIVE_CONNECTIONS, connections, (connection.protocol_name,))[0] += 1
        leaving = min(self._leaving, len(running))
        return {
            ACTIVE_REQUESTS.name: requests,
            ACTIVE_CONNECTIONS.name: connections,
            ACTIVE_WEBSOCKETS.name: {(): [self._sessions]},
            APPLICATIONS.name: {
                ("running",): [len(running) - leaving],
                ("leaving",): [leaving],
            },
        }


def put(row: list[float], bounds: tuple[float, ...], value: float) -> None:
    """Count a value in the sum and the buckets of a histogram."""
    row[0] += value
    row[1 + bisect_left(bounds, value)] += 1
