"""X-Request-Start: how long a request waited before it arrived."""

from __future__ import annotations

import pytest

from daphne_like.runtime.request_start import queue_time

NOW = 1_700_000_002.5


@pytest.mark.parametrize(
    ("value", "waited"),
    [
        (b"t=1700000002.250", 0.25),  # nginx: t=${msec}
        (b"1700000002.25", 0.25),
        (b"t=1700000001", 1.5),
        (b"t=1700000002250", 0.25),
        (b"1700000002250", 0.25),
        (b"t=1700000002250000", 0.25),  # Apache: t=%t
        (b"t=1700000002250000000", 0.25),
        (b" t=1700000002.250 ", 0.25),
        (b"t=1699996403", 3599.5),
        (b"t=1699996402", None),  # more than an hour
        (b"t=1700000003", 0.0),  # a clock that is half a second ahead
        (b"t=1700000003.6", None),
        (b"t=12", None),
        (b"t=", None),
        (b"", None),
        (b"t=-1700000002", None),
        (b"t=1e9", None),
        (b"t=nan", None),
        (b"t=17000000022500000000000", None),
        (b"T=1700000002", None),
        (b"t=1700000002, t=1700000002", None),
        (b"\xd9\xa1" * 10, None),
    ],
)
def test_queue_time(value: bytes, waited: float | None) -> None:
    """Seconds, milli-, micro- or nanoseconds, told apart by their size; None for anything else."""
    assert queue_time(value, NOW) == (pytest.approx(waited, abs=1e-5) if waited else waited)
