"""Computes how long a request waited in a proxy's queue, from its X-Request-Start."""

from __future__ import annotations

import re

STAMP = re.compile(rb"(?:t=)?([0-9]{1,19}(?:\.[0-9]{1,9})?)")
UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (1e8, 1.0))
"""The smallest number of each unit, and the unit's number in a second. Nanoseconds, microseconds,
milliseconds and seconds since 1970 are told apart by their size, from 1973 to 5138."""
MAX_SECONDS = 3600.0
MAX_SKEW = 1.0
"""Seconds by which the proxy's clock may be ahead."""


def queue_time(value: bytes, now: float) -> float | None:
    """Return the seconds since the time that a proxy has written.

    Args:
        value: `t=1700000000123456` or the same without `t=`: nanoseconds, microseconds,
            milliseconds or seconds since 1970, the latter with a fraction too.
        now: seconds since 1970.
    Returns:
        At least 0; None for a value that is no time, is more than MAX_SKEW in the future, or is
        more than MAX_SECONDS ago, which only a wrong clock explains.
    """
    found = STAMP.fullmatch(value.strip(b" \t"))
    if found is None:
        return None
    number = float(found[1])
    for least, per_second in UNITS:
        if number >= least:
            waited = now - number / per_second
            return max(waited, 0.0) if -MAX_SKEW <= waited <= MAX_SECONDS else None
    return None
