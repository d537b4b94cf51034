"""Counts: their sum, and what a worker may send."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from daphne_like.metrics.counts import (
    MAX_ROWS,
    OTHER,
    Counts,
    CountsError,
    add_up,
    from_message,
    never_falling,
    to_message,
)
from daphne_like.metrics.series import (
    ACTIVE_WEBSOCKETS,
    CPU,
    HANDSHAKE_DURATION,
    REFUSALS,
    SERIES,
    WEBSOCKETS,
)
from daphne_like.metrics.totals import Totals

REFUSED = REFUSALS.name


def refusals(**numbers: float) -> Counts:
    return {REFUSED: {(word,): [number] for word, number in numbers.items()}}


class TestSeries:
    """The table of all series."""

    def test_names_differ_in_more_than_a_suffix(self) -> None:
        """OpenMetrics has one name for a counter and a gauge."""
        stems = [name.removesuffix("_total").removesuffix("_count") for name in SERIES]
        assert len(stems) == len(set(stems))

    def test_units(self) -> None:
        """Base units only, at the end of the name."""
        for name, series in SERIES.items():
            assert not name.endswith(("_ms", "_milliseconds", "_kilobytes", "_total")), name
            assert series.help.endswith("."), name


class TestMessages:
    """Counts as JSON, and back."""

    def test_there_and_back(self) -> None:
        """Nothing changes."""
        row = [1.5, *range(HANDSHAKE_DURATION.width - 1)]
        counts = {**refusals(a=1, b=2), HANDSHAKE_DURATION.name: {(): row}}
        assert from_message(json.loads(json.dumps(to_message(counts)))) == counts

    def test_series_of_another_version(self) -> None:
        """What is not known is ignored: the worker may be newer."""
        assert from_message({"daphne_like_new": [[["a"], [1]]]}) == {}

    def test_series_of_the_supervisor(self) -> None:
        """A worker has no say in them."""
        assert from_message({"daphne_like_restarts": [[["success"], [9]]]}) == {}

    @pytest.mark.parametrize(
        "rows",
        [
            None,
            {},
            "text",
            [1],
            [[["a"]]],
            [[["a"], [1], 2]],
            [["a", [1]]],
            [[[], [1]]],
            [[["a", "b"], [1]]],
            [[[1], [1]]],
            [[["a\n"], [1]]],
            [[['a"} 1\nroot 1'], [1]]],
            [[["a" * 65], [1]]],
            [[["\xe4"], [1]]],
            [[["a"], 1]],
            [[["a"], []]],
            [[["a"], [1, 2]]],
            [[["a"], [True]]],
            [[["a"], ["1"]]],
            [[["a"], [None]]],
            [[["a"], [-1]]],
            [[["a"], [math.nan]]],
            [[["a"], [math.inf]]],
            [[["a"], [1e300]]],
            [[["a"], [10**400]]],
            [[[str(number)], [1]] for number in range(MAX_ROWS + 2)],
        ],
    )
    def test_hostile(self, rows: Any) -> None:
        """An application may write anything to the channel: it is refused as a whole."""
        with pytest.raises(CountsError):
            from_message({REFUSED: rows})


class TestSums:
    """add_up."""

    def test_sum(self) -> None:
        """By label set; the parts stay as they are."""
        one, other = refusals(a=1, b=2), refusals(b=3, c=4)
        assert add_up((one, other)) == refusals(a=1, b=5, c=4)
        assert (one, other) == (refusals(a=1, b=2), refusals(b=3, c=4))

    def test_without_gauges(self) -> None:
        """A worker that has ended has none."""
        counts: Counts = {**refusals(a=1), ACTIVE_WEBSOCKETS.name: {(): [5]}}
        assert add_up([counts], with_gauges=False) == refusals(a=1)

    def test_bounded(self) -> None:
        """Label sets beyond the limit share one."""
        parts = [{REFUSED: {(f"w{part}-{i}",): [1.0] for i in range(MAX_ROWS)}} for part in (1, 2)]
        rows = add_up(parts)[REFUSED]
        assert len(rows) == MAX_ROWS + 1
        assert rows[(OTHER,)] == [MAX_ROWS]


class TestTotals:
    """The counts of all workers."""

    def test_replaced(self) -> None:
        """A counter keeps what ended workers have counted, however many they are."""
        totals = Totals()
        for worker in range(1000):
            totals.update(worker, 1, to_message(refusals(a=1)))
            totals.update(worker, 1, to_message(refusals(a=3)))
            totals.retire(worker)
        totals.update("last", 1, to_message(refusals(a=2)))
        assert totals.counts() == refusals(a=3002)

    def test_nothing_falls(self) -> None:
        """A worker that claims less than before is not believed."""
        totals = Totals()
        totals.update(1, 1, to_message(refusals(a=5, b=1)))
        totals.update(1, 1, to_message(refusals(a=2)))
        assert totals.counts() == refusals(a=5, b=1)

    def test_gauges_may_fall(self) -> None:
        """They are what is, not what was."""
        before: Counts = {ACTIVE_WEBSOCKETS.name: {(): [5]}}
        now: Counts = {ACTIVE_WEBSOCKETS.name: {(): [2]}}
        assert never_falling(before, now) == now

    def test_by_worker(self) -> None:
        """A series of each worker has the number of its slot, not its process."""
        totals = Totals()
        for worker, slot in ((101, 1), (102, 2), (103, 1)):
            totals.update(worker, slot, {CPU.name: [[[], [2.5]]]})
            totals.retire(worker)
        assert totals.counts() == {CPU.name: {("1",): [5], ("2",): [2.5]}}

    def test_wrong_counts_change_nothing(self) -> None:
        """Those before stay."""
        totals = Totals()
        totals.update(1, 1, to_message(refusals(a=5)))
        with pytest.raises(CountsError):
            totals.update(1, 1, {WEBSOCKETS.name: [[[], [3]]], REFUSED: 7})
        assert totals.counts() == refusals(a=5)

    def test_unknown(self) -> None:
        """A worker that has never sent anything."""
        totals = Totals()
        totals.retire(1)
        assert totals.counts() == {}
