"""Samples, buckets and the ring of seconds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from daphne_like.status.buckets import FLOOR, LAST, bucket_of, percentile, upper
from daphne_like.status.history import SECONDS, Gauges, History
from daphne_like.status.sample import Sample, SampleError


class TestBuckets:
    """Percentiles from buckets."""

    @pytest.mark.parametrize("seconds", [0.0011, 0.002, 0.0123, 1.0, 77.7, 3600.0])
    def test_bound(self, seconds: float) -> None:
        """The bound of a bucket is not below its durations, and at most a twelfth above."""
        bound = upper(bucket_of(seconds))
        assert seconds <= bound * 1.000001
        assert bound <= seconds * 1.0906

    def test_ends(self) -> None:
        """The shortest durations share a bucket, and so do the longest."""
        assert bucket_of(0.0) == bucket_of(FLOOR) == 0
        assert bucket_of(1e9) == LAST

    def test_percentiles(self) -> None:
        """Of a hundred durations the ninety-ninth is not the slowest."""
        buckets = {bucket_of(0.01): 99, bucket_of(5.0): 1}
        assert percentile(buckets, 0.99) == pytest.approx(0.01, rel=0.1)
        assert percentile(buckets, 1.0) == pytest.approx(5.0, rel=0.1)
        assert percentile({}, 0.5) is None


class TestSample:
    """A sample as a message of a worker, which is checked like any input."""

    def test_round_trip(self) -> None:
        """It arrives as it was sent."""
        sample = Sample(requests=3, delay=0.25, cpu=1.5, buckets={4: 2, 1: 1})
        message = sample.to_message()
        message["buckets"] = [list(pair) for pair in message["buckets"]]  # as JSON makes it
        assert Sample.from_message(message) == sample

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("requests", -1),
            ("requests", 1.5),
            ("requests", True),
            ("requests", None),
            ("requests", 2**63),
            ("delay", float("nan")),
            ("delay", float("inf")),
            ("cpu", "1"),
            ("buckets", {}),
            ("buckets", [[1]]),
            ("buckets", [[1, 0]]),
            ("buckets", [[LAST + 1, 1]]),
            ("buckets", [[-1, 1]]),
            ("buckets", [["1", 1]]),
            ("buckets", [[0, 1]] * (LAST + 2)),
        ],
    )
    def test_wrong(self, name: str, value: Any) -> None:
        """What is no sample is refused."""
        message = Sample().to_message()
        message["buckets"] = []
        Sample.from_message(message)
        with pytest.raises(SampleError, match=name):
            Sample.from_message({**message, name: value})


class Played:
    """A history whose time a test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.history = History(lambda: self.now, lambda: self.now + 1e9)

    def second(self, *samples: Sample, cpu: float = 0.0, process: int = 1, by: float = 1.0) -> None:
        for sample in samples:
            self.history.add(sample)
        self.now += by
        gauges = {"1": (process, Gauges(1024, cpu, 0.5))}
        self.history.close(dict(enumerate(samples)), gauges)


class TestHistory:
    """Seconds."""

    def test_a_second(self) -> None:
        """Counts become rates; present values of workers are added up."""
        played = Played()
        played.second(
            Sample(requests=3, instances=2, buckets={0: 3}), Sample(requests=1, instances=5), by=2.0
        )
        (point,) = played.history.latest(0)
        assert point["requests"] == 2.0
        assert point["instances"] == 7
        assert point["p99"] == FLOOR
        assert point["workers"] == {"1": (1024, None, 0.5)}
        assert played.history.totals["requests"] == 4

    def test_cpu(self) -> None:
        """The share of a CPU needs two seconds of the same process."""
        played = Played()
        played.second(cpu=1.0)
        played.second(cpu=1.25)
        played.second(cpu=0.1, process=2)
        shares = [point["workers"]["1"][1] for point in played.history.latest(0)]
        assert shares == [None, 0.25, None]

    def test_due(self) -> None:
        """A second is over after a second."""
        played = Played()
        played.now += 0.5
        assert not played.history.is_due
        played.now += 0.5
        assert played.history.is_due

    def test_ring(self) -> None:
        """A quarter of an hour is kept; the sums forget nothing."""
        played = Played()
        for _ in range(SECONDS + 10):
            played.second(Sample(requests=1))
        assert len(played.history.latest(0)) == SECONDS
        assert played.history.totals["requests"] == SECONDS + 10
        assert len(played.history.latest(played.history.number - 3)) == 3
        assert played.history.latest(played.history.number) == []

    def test_last_minute(self) -> None:
        """Means of sixty seconds, and the percentiles of all their responses."""
        played = Played()
        played.second(Sample(requests=1000, buckets={bucket_of(9.0): 1000}))
        for _ in range(60):
            played.second(Sample(requests=2, errors=1, buckets={bucket_of(0.02): 2}))
        minute = played.history.last_minute()
        assert minute["requests"] == 2.0
        assert minute["errors"] == 1.0
        assert minute["p99"] == pytest.approx(0.02, rel=0.1)
        assert minute["delay"] == 0.5

    def test_nothing(self) -> None:
        """Before the first second there is nothing, and nothing fails."""
        history = Played().history
        assert history.latest(0) == []
        assert history.last_minute()["p50"] is None

    def test_wait(self) -> None:
        """Everybody who waits for a second gets its end; who has gone is no trouble."""
        played = Played()

        async def run() -> list[bool]:
            waiting = [asyncio.ensure_future(played.history.next()) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            played.second()
            await asyncio.gather(*waiting, return_exceptions=True)
            return [each.cancelled() for each in waiting]

        assert asyncio.run(run()) == [True, False, False]
