"""Decides when a worker is to be replaced although it serves well."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path

from daphne_like.options import Options
from daphne_like.wording import counted

LIFETIME_JITTER = 0.1
"""Largest share by which a lifetime is longer, so that workers are not replaced together."""


@dataclass(frozen=True)
class Limits:
    """The limits of one worker.

    Attributes:
        requests: maximum number of requests.
        resident: maximum resident memory in octets.
        lifetime: maximum age in seconds.
    """

    requests: int | None
    resident: int | None
    lifetime: float | None

    @classmethod
    def draw(cls, options: Options) -> Limits:
        """Return the limits of a new worker, with the random part of each."""
        requests = options.max_requests
        if requests is not None:
            requests += random.randint(0, options.max_requests_jitter)  # noqa: S311 # no secret
        lifetime = options.max_lifetime
        if lifetime is not None:
            lifetime *= 1 + random.random() * LIFETIME_JITTER  # noqa: S311 # no secret
        return cls(requests, options.max_rss, lifetime)

    def exceeded(self, *, requests: int, resident: int | None, age: float) -> str:
        """Return which limit is exceeded, for the log; "" if none is."""
        if self.requests is not None and requests >= self.requests:
            return f"it has served {counted(requests, 'request')} (--max-requests)"
        if self.resident is not None and resident is not None and resident > self.resident:
            return f"it uses {resident / 1048576:.0f} MiB of memory (--max-rss)"
        if self.lifetime is not None and age >= self.lifetime:
            return f"it is {counted(age, 'second', '.0f')} old (--max-lifetime)"
        return ""


def resident_memory(pid: int) -> int | None:
    """Return the resident memory of a process in octets; None where /proc is missing."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
