"""Logs requests that run for too long, while they run: --slow-request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from daphne_like.observe.observer import Observer
from daphne_like.observe.request_identity import within
from daphne_like.runtime.applications import Applications
from daphne_like.wording import counted

log = logging.getLogger("daphne_like.server")


class SlowRequests(Observer):
    """Logs each request once that is older than some seconds, with the place where it waits.

    It is an observer without events: exchanges know their age only while somebody listens. An open
    WebSocket and a stream of events are not requests that one waits for.

    Args:
        seconds: the age.
        applications: the running instances.
        clock: returns monotonic seconds, as for exchanges.
    """

    def __init__(
        self, seconds: float, applications: Applications, clock: Callable[[], float]
    ) -> None:
        self._seconds = seconds
        self._applications = applications
        self._clock = clock
        self._told: WeakSet[Any] = WeakSet()

    def check(self) -> None:
        """Log the requests that have become too old; called at each tick."""
        now = self._clock()
        for exchange in list(self._applications.running):
            age = now - exchange.started
            if age <= self._seconds or not exchange.is_waiting_for_response:
                continue
            if exchange not in self._told and not exchange.is_endless:
                self._told.add(exchange)
                self._tell(exchange, age)

    def _tell(self, exchange: Any, age: float) -> None:
        with within(exchange):
            log.warning(
                "%s has run for %s, %s%s",
                exchange,
                counted(age, "second", ".1f"),
                exchange.progress,
                self._applications.describe_stuck(exchange),
            )
