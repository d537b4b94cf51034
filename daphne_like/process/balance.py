"""Balances connections between workers that accept from the same sockets.

The kernel wakes the worker that it likes best, so that one worker may get most connections. With
short requests that does not matter; WebSockets stay for hours. So a worker that has clearly more
connections than the least loaded one stops accepting for a moment. The least loaded worker does not
stop, or accepts again within PAUSE_SECONDS if the others have got more connections meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from daphne_like.process.scoreboard import Entry, Scoreboard

MARGIN = 8
"""Connections that a worker may have more than the least loaded one."""
SHARE = 8
"""The margin grows with the load, to one eighth of the connections of the least loaded worker."""
PAUSE_SECONDS = 0.02
"""Seconds between two looks at the other workers while this one does not accept."""
SILENT_NANOSECONDS = 1_200_000_000
"""A worker without a beat for this long, two beats and a margin, is not compared with: it would
accept nothing while the others wait for it."""


class Balance:
    """Counts the connections of a worker, and pauses its ports while it has too many.

    Args:
        scoreboard: shows the connections of all workers.
        entry: this worker's entry.
        loop: the event loop.
        pause: stops accepting.
        resume: accepts again.
        clock: returns nanoseconds of CLOCK_MONOTONIC.

    Attributes:
        paused: the worker does not accept.
    """

    def __init__(
        self,
        scoreboard: Scoreboard,
        entry: Entry,
        loop: asyncio.AbstractEventLoop,
        pause: Callable[[], None],
        resume: Callable[[], None],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.paused = False
        self._scoreboard = scoreboard
        self._entry = entry
        self._loop = loop
        self._pause = pause
        self._resume = resume
        self._clock = clock
        self._number = 0
        self._stopped = False

    def connected(self, number: int) -> None:
        """Record a new connection.

        Args:
            number: open connections of this worker.
        """
        self._number = number
        self._entry.set_connections(number)
        if not self.paused and not self._stopped and self._has_too_many():
            self.paused = True
            self._pause()
            self._loop.call_later(PAUSE_SECONDS, self._look_again)

    def disconnected(self, number: int) -> None:
        """Record a closed connection."""
        self._number = number
        self._entry.set_connections(number)

    def stop(self) -> None:
        """Pause and resume no more, because the worker drains."""
        self._stopped = True

    def _has_too_many(self) -> bool:
        number = self._number
        if number <= MARGIN:
            return False
        least = self._scoreboard.least_connections(self._clock() - SILENT_NANOSECONDS)
        return least is not None and number > least + max(MARGIN, least // SHARE)

    def _look_again(self) -> None:
        if self._stopped:
            return
        if self._has_too_many():
            self._loop.call_later(PAUSE_SECONDS, self._look_again)
            return
        self.paused = False
        self._resume()


def watch_connections(context: Any, balance: Balance, connections: Any) -> None:
    """Let a balance hear of the connections of a server.

    Args:
        context: the server's ServerContext, before it listens.
        balance: told about each connection.
        connections: the server's Connections.
    """
    admit, discard = context.connected, context.disconnected

    def connected(connection: Any) -> bool:
        admitted = bool(admit(connection))
        balance.connected(len(connections))
        return admitted

    def disconnected(connection: Any) -> None:
        discard(connection)
        balance.disconnected(len(connections))

    context.connected, context.disconnected = connected, disconnected
