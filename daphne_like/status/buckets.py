"""Durations in buckets, each 9 % larger than the one before, so percentiles are as precise.

The first bucket is a millisecond, because uvloop's clock has no smaller steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

STEPS = 8
"""Buckets for each doubling: 2 ** (1 / 8) is 1.09."""
FLOOR = 1e-3
"""Seconds of the first bucket."""
LAST = 192
"""The last bucket, about four hours."""

Buckets = dict[int, int]
"""Number of a bucket -> number of durations in it."""


def bucket_of(seconds: float) -> int:
    """Return the bucket of a duration."""
    if seconds <= FLOOR:
        return 0
    return min(LAST, math.ceil(math.log2(seconds / FLOOR) * STEPS))


def upper(bucket: int) -> float:
    """Return the upper bound of a bucket in seconds; the last bucket has longer durations, too."""
    return float(FLOOR * 2 ** (bucket / STEPS))


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    """Return the seconds that this share of all durations does not exceed; None without any."""
    rank = share * sum(buckets.values())
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= rank:
            return upper(bucket)
    return None


def add(buckets: Buckets, more: Mapping[int, int]) -> None:
    """Add durations to others."""
    for bucket, number in more.items():
        buckets[bucket] = buckets.get(bucket, 0) + number
