"""Counts: the values of series at one moment, which can be sent, checked and added up.

Counts are a dict: name of a series -> label values -> values (see Series.width). As a message they
are lists, because JSON has no tuples as keys.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from daphne_like.exceptions import DaphneLikeError
from daphne_like.metrics.series import GAUGE, OF_A_PROCESS, SERIES, Series

Labels = tuple[str, ...]
Counts = dict[str, dict[Labels, list[float]]]

MAX_ROWS = 1000
"""Label sets of one series of one process; further ones are added to one with OTHER as labels."""
OTHER = "_OTHER"
LABEL = re.compile(r"[\w.:/ -]{0,64}", re.ASCII)
MAX_VALUE = 2.0**63
KNOWN = {series.name: series for series in OF_A_PROCESS}


class CountsError(DaphneLikeError):
    """A message has no valid counts; the text says why."""


def add_row(series: Series, rows: dict[Labels, list[float]], labels: Labels) -> list[float]:
    """Return the values of a label set; add zeros if it is new, or use OTHER after MAX_ROWS."""
    row = rows.get(labels)
    if row is None:
        if len(rows) >= MAX_ROWS:
            labels = (OTHER,) * len(labels)
        row = rows.setdefault(labels, [0.0] * series.width)
    return row


def to_message(counts: Counts) -> dict[str, list[Any]]:
    """Return counts as JSON can hold them."""
    return {
        name: [[list(labels), values] for labels, values in rows.items()]
        for name, rows in counts.items()
    }


def from_message(message: dict[Any, Any]) -> Counts:
    """Check counts of a worker.

    A worker runs the application's code, so its message is input like any other.

    Raises:
        CountsError: the message is wrong; a series that is not known is ignored, because another
            version may have more.
    """
    counts: Counts = {}
    for name, rows in message.items():
        series = KNOWN.get(name)
        if series is None:
            continue
        if not isinstance(rows, list) or len(rows) > MAX_ROWS + 1:
            raise CountsError(f"{name}: expected a list of at most {MAX_ROWS + 1} rows")
        counts[name] = {}
        for row in rows:
            labels, values = _check_row(series, row)
            counts[name][labels] = values
    return counts


def _check_row(series: Series, row: Any) -> tuple[Labels, list[float]]:
    if not (isinstance(row, list) and len(row) == 2):
        raise CountsError(f"{series.name}: expected pairs of labels and values")
    labels, values = row
    if (
        not isinstance(labels, list)
        or len(labels) != len(series.labels)
        or not all(isinstance(each, str) and LABEL.fullmatch(each) for each in labels)
    ):
        raise CountsError(f"{series.name}: expected {len(series.labels)} labels")
    if (
        not isinstance(values, list)
        or len(values) != series.width
        or not all(type(each) in (int, float) and _is_count(each) for each in values)
    ):
        raise CountsError(f"{series.name}: expected {series.width} numbers, 0 or more")
    return tuple(labels), values


def _is_count(value: float) -> bool:
    return 0 <= value < MAX_VALUE and math.isfinite(value)


def never_falling(before: Counts, now: Counts) -> Counts:
    """Correct counters that a worker reports too low: each keeps at least its earlier value.

    Args:
        before: the earlier counts of the worker.
        now: its present counts; they are changed and returned.
    """
    for name, rows in before.items():
        series = SERIES[name]
        if series.kind == GAUGE:
            continue
        present = now.setdefault(name, {})
        for labels, values in rows.items():
            row = present.setdefault(labels, values)
            present[labels] = list(map(max, row, values))
    return now


def add_up(parts: Iterable[Counts], *, with_gauges: bool = True) -> Counts:
    """Return the sum of counts.

    Args:
        parts: the counts; they stay unchanged.
        with_gauges: add gauges, too; otherwise leave them out.
    """
    total: Counts = {}
    for part in parts:
        for name, rows in part.items():
            series = SERIES[name]
            if series.kind == GAUGE and not with_gauges:
                continue
            sums = total.setdefault(name, {})
            for labels, values in rows.items():
                row = add_row(series, sums, labels)
                row[:] = [one + other for one, other in zip(row, values, strict=True)]
    return total
