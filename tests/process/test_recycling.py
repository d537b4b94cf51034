"""Workers that are replaced although they serve well."""

from __future__ import annotations

import mmap
import os
import random
from pathlib import Path
from typing import Any

import pytest

from daphne_like.options import Options
from daphne_like.process.recycling import LIFETIME_JITTER, Limits, resident_memory


class TestLimits:
    """The limits of one worker."""

    @pytest.mark.parametrize(
        ("limits", "sentence"),
        [
            (Limits(None, None, None), ""),
            (Limits(101, 200 << 20, 3601.0), ""),
            (Limits(100, None, None), "it has served 100 requests (--max-requests)"),
            (Limits(1, None, None), "it has served 100 requests (--max-requests)"),
            (Limits(None, (100 << 20) - 1, None), "it uses 100 MiB of memory (--max-rss)"),
            (Limits(None, 100 << 20, None), ""),
            (Limits(None, None, 3600.0), "it is 3600 seconds old (--max-lifetime)"),
        ],
    )
    def test_exceeded(self, limits: Limits, sentence: str) -> None:
        """The first limit that is exceeded is named with its option."""
        assert limits.exceeded(requests=100, resident=100 << 20, age=3600.0) == sentence

    def test_memory_that_is_not_known(self) -> None:
        """Without /proc no worker is replaced for its memory."""
        assert Limits(None, 1, None).exceeded(requests=0, resident=None, age=0.0) == ""

    def test_no_limits(self) -> None:
        """No option, no limit."""
        assert Limits.draw(Options()) == Limits(None, None, None)

    def test_drawn_at_random(self) -> None:
        """Workers get different limits, within their bounds, so that not all go together."""
        options: dict[str, Any] = {"max_requests": 100, "max_requests_jitter": 20}
        drawn = [
            Limits.draw(Options(workers=1, max_lifetime=60, max_rss=5, **options))
            for _ in range(200)
        ]
        requests = {limits.requests or 0 for limits in drawn}
        lifetimes = [limits.lifetime or 0 for limits in drawn]
        assert (min(requests) >= 100, max(requests) <= 120, len(requests) > 5) == (True, True, True)
        assert min(lifetimes) >= 60
        assert max(lifetimes) <= 60 * (1 + LIFETIME_JITTER)
        assert max(lifetimes) - min(lifetimes) > 1
        assert {limits.resident for limits in drawn} == {5}

    def test_the_bounds_are_reached(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The jitter is added, and its largest value belongs to it."""
        monkeypatch.setattr(random, "randint", lambda least, most: most)
        options = Options(workers=1, max_requests=100, max_requests_jitter=20)
        assert Limits.draw(options).requests == 120


class TestResidentMemory:
    """The memory of a process, as the system tells it."""

    @pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
    def test_this_process(self) -> None:
        """More than 5 MB, less than the machine has; it grows by what is written to."""
        before = resident_memory(os.getpid())
        # Memory of its own: the heap may have room that counts already.
        held = mmap.mmap(-1, 32 << 20)
        held.write(bytes(32 << 20))
        after = resident_memory(os.getpid())
        assert before is not None
        assert after is not None
        assert before > 5 << 20
        assert after - before > 16 << 20
        held.close()

    def test_no_process(self) -> None:
        """A process that has gone has no memory that could be told."""
        assert resident_memory(2**22 + 1) is None
