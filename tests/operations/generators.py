"""wrk and h2load, as far as they count."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

from tests.support import needed


@dataclass
class Counted:
    """Requests of a generator, or of several."""

    requests: int = 0
    failed: int = 0
    per_second: float = 0.0

    def add(self, other: Counted) -> None:
        """Add what another one has counted."""
        self.requests += other.requests
        self.failed += other.failed
        self.per_second += other.per_second


class Wrk:
    """wrk, from now on for so many seconds."""

    def __init__(self, url: str, seconds: int, connections: int = 16) -> None:
        words = ["-t1", f"-c{connections}", f"-d{seconds}s", url]
        self._process = start("wrk", "wrk", words)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def result(self) -> Counted:
        """Wait for its end."""
        output = self._process.communicate()[0]
        requests = re.search(r"(\d+) requests in", output)
        rate = re.search(r"Requests/sec: +([\d.]+)", output)
        errors = re.search(
            r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output
        )
        others = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
        failed = sum(map(int, errors.groups())) if errors else 0
        failed += int(others[1]) if others else 0
        if requests is None or rate is None:
            raise RuntimeError(f"wrk said:\n{output}")
        return Counted(int(requests[1]), failed, float(rate[1]))


class H2Load:
    """h2load on HTTP/1.1, with so many requests; it takes a new connection for one that is closed.

    On HTTP/2 it fails each request that it has not even sent when a GOAWAY comes, so it cannot
    count what a restart loses there: tests/support/constant_load.py does.
    """

    def __init__(self, url: str, requests: int, connections: int = 8) -> None:
        words = ["--h1", "-t1", f"-c{connections}", f"-n{requests}", url]
        self._process = start("h2load", "nghttp2-client", words)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def result(self) -> Counted:
        """Wait for its end."""
        output = self._process.communicate()[0]
        found = re.search(r"(\d+) started, \d+ done, (\d+) succeeded, ", output)
        if found is None:
            raise RuntimeError(f"h2load said:\n{output}")
        # "failed" also counts the requests that it gives up without having sent them.
        started, succeeded = int(found[1]), int(found[2])
        return Counted(succeeded, started - succeeded)


def start(name: str, package: str, words: list[str]) -> subprocess.Popen[str]:
    """Start a generator."""
    return subprocess.Popen(
        [needed.program(name, package), *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
