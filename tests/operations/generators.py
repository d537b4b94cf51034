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
    """h2load with so many requests; a connection that the server closes is replaced by none.

    A graceful restart closes connections, so the number of requests of one run is that of the
    connections' lifetime: runs follow each other.
    """

    def __init__(self, url: str, requests: int, connections: int = 4) -> None:
        words = ["-t1", f"-c{connections}", "-m4", f"-n{requests}", url]
        self._process = start("h2load", "nghttp2-client", words)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def result(self) -> Counted:
        """Wait for its end. Streams that it has never sent count as nothing."""
        output = self._process.communicate()[0]
        found = re.search(
            r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, "
            r"(\d+) errored, (\d+) timeout",
            output,
        )
        if found is None:
            raise RuntimeError(f"h2load said:\n{output}")
        _, started, _, succeeded, _, _, _ = map(int, found.groups())
        return Counted(succeeded, started - succeeded)


def start(name: str, package: str, words: list[str]) -> subprocess.Popen[str]:
    """Start a generator."""
    return subprocess.Popen(
        [needed.program(name, package), *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
