"""The last quarter of an hour, second by second, and sums since the start."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from daphne_like.status.buckets import Buckets, add, percentile
from daphne_like.status.sample import COUNTED, PRESENT, Sample

SECONDS = 900
"""Points that are kept, one a second."""
MINUTE = 60
DUE_SECONDS = 0.95
"""Seconds after which a second counts as over, because ticks do not come at exact times."""
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True)
class Gauges:
    """The present values of one worker.

    Attributes:
        memory: octets of resident memory; None if not known.
        cpu: seconds of CPU time since its start; None if not known.
        delay: seconds by which its event loop is late.
    """

    memory: int | None
    cpu: float | None
    delay: float


@dataclass
class Point:
    """One second: about a second, more if the process was blocked.

    Attributes:
        time: its end, in seconds since 1970.
        seconds: its length.
        counts: see COUNTED.
        present: see PRESENT.
        buckets: durations of responses.
        workers: number of a worker's slot -> (memory, share of a CPU, delay).
    """

    time: float
    seconds: float
    counts: dict[str, int]
    present: dict[str, int]
    buckets: Buckets
    workers: dict[str, tuple[int | None, float | None, float]] = field(default_factory=dict)

    def to_message(self) -> dict[str, Any]:
        """Return the point in the form of the page: rates, percentiles, values of workers."""
        rates = {name: round(value / self.seconds, 3) for name, value in self.counts.items()}
        delays = [delay for _memory, _cpu, delay in self.workers.values()]
        return {
            "time": round(self.time, 1),
            **rates,
            **self.present,
            **percentiles(self.buckets),
            "delay": max(delays, default=0.0),
            "workers": self.workers,
        }


def percentiles(buckets: Mapping[int, int]) -> dict[str, float | None]:
    """Return the percentiles of SHARES in seconds."""
    found = {name: percentile(buckets, share) for name, share in SHARES.items()}
    return {name: value and float(f"{value:.4g}") for name, value in found.items()}


class History:
    """Points in a ring, and sums.

    Args:
        clock: returns monotonic seconds.
        wall_clock: returns seconds since 1970.

    Attributes:
        totals: sums of what is in COUNTED, since the start.
        number: number of points so far.
    """

    def __init__(
        self, clock: Callable[[], float], wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.totals = dict.fromkeys(COUNTED, 0)
        self.number = 0
        self._clock = clock
        self._wall_clock = wall_clock
        self._points: deque[Point] = deque(maxlen=SECONDS)
        self._counts = dict.fromkeys(COUNTED, 0)
        self._buckets: Buckets = {}
        self._since = clock()
        self._cpu: dict[str, tuple[Any, float]] = {}
        self._waiting: set[asyncio.Future[None]] = set()

    def add(self, sample: Sample) -> None:
        """Add what a process has counted."""
        for name in COUNTED:
            value = getattr(sample, name)
            self._counts[name] += value
            self.totals[name] += value
        add(self._buckets, sample.buckets)

    @property
    def is_due(self) -> bool:
        """True if the present second is over."""
        return self._clock() - self._since >= DUE_SECONDS

    def close(
        self, samples: Mapping[Any, Sample], gauges: Mapping[str, tuple[Any, Gauges]]
    ) -> None:
        """End the present second.

        Args:
            samples: the latest sample of each process.
            gauges: number of a worker's slot -> what identifies its process, and its values.
        """
        now = self._clock()
        seconds = max(now - self._since, 0.001)
        present = {
            name: sum(getattr(sample, name) for sample in samples.values()) for name in PRESENT
        }
        workers = {
            slot: (value.memory, self._share(slot, process, value.cpu, seconds), value.delay)
            for slot, (process, value) in gauges.items()
        }
        self._points.append(
            Point(self._wall_clock(), seconds, self._counts, present, self._buckets, workers)
        )
        self._cpu = {
            slot: (process, value.cpu)
            for slot, (process, value) in gauges.items()
            if value.cpu is not None
        }
        self._counts = dict.fromkeys(COUNTED, 0)
        self._buckets = {}
        self._since = now
        self.number += 1
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _share(self, slot: str, process: Any, cpu: float | None, seconds: float) -> float | None:
        """Return the share of a CPU that a process has used; None in its first second."""
        before = self._cpu.get(slot)
        if cpu is None or before is None or before[0] != process:
            return None
        return round(max(0.0, cpu - before[1]) / seconds, 3)

    async def next(self) -> None:
        """Wait for the end of the present second."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)

    def latest(self, after: int) -> list[dict[str, Any]]:
        """Return the points that follow a point, without those that are no longer kept.

        Args:
            after: number of that point, counted from 1; 0 for all points.
        """
        missing = min(self.number - after, len(self._points))
        return (
            [] if missing <= 0 else [self._points[-i].to_message() for i in range(missing, 0, -1)]
        )

    def last_minute(self) -> dict[str, Any]:
        """Return the mean rates, the percentiles and the largest delay of the last minute."""
        points = [self._points[-i] for i in range(1, min(MINUTE, len(self._points)) + 1)]
        seconds = sum(point.seconds for point in points) or 1.0
        buckets: Buckets = {}
        for point in points:
            add(buckets, point.buckets)
        delays = [delay for point in points for _memory, _cpu, delay in point.workers.values()]
        return {
            **{
                name: round(sum(point.counts[name] for point in points) / seconds, 2)
                for name in COUNTED
            },
            **percentiles(buckets),
            "delay": max(delays, default=0.0),
        }
