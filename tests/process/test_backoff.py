"""The delays before a worker that keeps ending is started again."""

from __future__ import annotations

import pytest

from daphne_like.process.backoff import HEALTHY_SECONDS, JITTER, MAX_SECONDS, Backoff


class TestBackoff:
    """None after a long life, then 1, 2, 4 ... 30 seconds."""

    def test_crashes_in_a_row(self) -> None:
        """The delay doubles up to its maximum."""
        backoff = Backoff(spread=0.0)
        assert [backoff.next_delay(0.1) for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]

    def test_a_long_life(self) -> None:
        """A worker that has lived a minute is replaced at once; earlier crashes are forgotten."""
        backoff = Backoff(spread=0.0)
        ages = [0, 0, HEALTHY_SECONDS, 0, HEALTHY_SECONDS - 0.1]
        assert [backoff.next_delay(age) for age in ages] == [1, 2, 0, 1, 2]

    @pytest.mark.parametrize(("spread", "first"), [(0.0, 1.0), (1.0, 1.0 + JITTER)])
    def test_spread(self, spread: float, first: float) -> None:
        """A delay is longer by a share, never shorter."""
        assert Backoff(spread).next_delay(0) == first

    def test_random_spread(self) -> None:
        """Slots that fail together do not start together."""
        delays = {Backoff().next_delay(0) for _ in range(20)}
        assert len(delays) > 1
        assert all(1 <= delay <= 1 + JITTER for delay in delays)

    def test_a_night_of_crashes(self) -> None:
        """The delay stays at its maximum after any number of failures."""
        backoff = Backoff(spread=0.0)
        assert {backoff.next_delay(0) for _ in range(5000)} >= {MAX_SECONDS}
        assert backoff.next_delay(0) == MAX_SECONDS
