"""The counts of all workers: of those that live, and the sum of those that have ended.

A counter never falls when a worker is replaced, and no process id is a label.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from daphne_like.metrics.counts import Counts, add_up, from_message, never_falling
from daphne_like.metrics.series import SERIES


class Totals:
    """Adds up the counts of workers."""

    def __init__(self) -> None:
        self._live: dict[Hashable, Counts] = {}
        self._retired: Counts = {}

    def update(self, worker: Hashable, slot: int, message: dict[Any, Any]) -> None:
        """Replace the counts of a worker.

        Args:
            worker: identifies the worker.
            slot: number of its slot.
            message: from the worker.
        Raises:
            CountsError: the message is wrong.
        """
        now = {name: dict(rows) for name, rows in from_message(message).items()}
        for name, rows in now.items():
            if SERIES[name].by_worker:
                now[name] = {(*labels, str(slot)): values for labels, values in rows.items()}
        self._live[worker] = never_falling(self._live.get(worker, {}), now)

    def retire(self, worker: Hashable) -> None:
        """Keep the counters of a worker that has ended."""
        counts = self._live.pop(worker, None)
        if counts is not None:
            self._retired = add_up((self._retired, counts), with_gauges=False)

    def counts(self) -> Counts:
        """Return the sum of all workers."""
        return add_up((self._retired, *self._live.values()))
