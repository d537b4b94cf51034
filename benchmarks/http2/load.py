"""Load by h2load: the lines it prints, and one slice of measurement."""

from __future__ import annotations

import re
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.http2.workloads import CONNECTIONS, STREAMS, HTTP2Workload
from benchmarks.load import SETTLE_SECONDS, TIMEOUT_SECONDS, LoadError, Summary, sample
from benchmarks.results import Sample
from benchmarks.serving import HOST, Server
from benchmarks.tls.client import CIPHER

FEWEST = CONNECTIONS * STREAMS
"""Minimum requests of a run: with fewer, some streams would have no request."""
GROWTH = 8
ENOUGH = 0.1
"""Duration of the run that finds out the number of requests per slice, as a share of a slice."""

_RATE = re.compile(r"^finished in .*?, ([\d.]+) req/s", re.MULTILINE)
_REQUESTS = re.compile(r"^requests: (.*)$", re.MULTILINE)
_STATUS_CODES = re.compile(r"^status codes: (\d+) 2xx", re.MULTILINE)
_ERRORS = ("failed", "errored", "timeout")


def parse(output: str) -> Summary:
    """Read h2load's output.

    Raises:
        LoadError: a line is missing, or h2load reports an error or a status other than 2xx.
    """
    rate, requests, successes = (
        pattern.search(output) for pattern in (_RATE, _REQUESTS, _STATUS_CODES)
    )
    if rate is None or requests is None or successes is None:
        raise LoadError(f"h2load: expected its summary, got {output.strip()[-200:]!r}")
    counts = {name: int(value) for value, name in re.findall(r"(\d+) (\w+)", requests[1])}
    errors = ", ".join(f"{counts[name]} {name}" for name in _ERRORS if counts[name])
    if errors:
        raise LoadError(f"errors seen by h2load: {errors}")
    done = counts["done"]
    if not done or int(successes[1]) != done:
        raise LoadError(f"{successes[1]} answers of {done} are 2xx")
    return Summary(done, done / float(rate[1]))


@dataclass(frozen=True)
class H2Load:
    """The way to run h2load: core, duration, workload."""

    core: int
    seconds: int
    workload: HTTP2Workload

    def command(self, port: int, requests: int, body: Path) -> list[str]:
        """Return the command line; the requests' body, if any, is in a file."""
        scheme = "https" if self.workload.secured else "http"
        command = ["taskset", "--cpu-list", str(self.core), "h2load"]
        command += ["--requests", str(requests), "--clients", str(CONNECTIONS)]
        command += ["--max-concurrent-streams", str(STREAMS), "--npn-list", "h2"]
        command += ["--tls13-ciphers", CIPHER]
        if self.workload.body:
            command += ["--data", str(body)]
        return [*command, f"{scheme}://{HOST}:{port}{self.workload.target}"]

    def run(self, port: int, requests: int) -> Summary:
        """Load a port with a number of requests.

        A duration would not do: requests that are incomplete at its end have cost the server time
        and are not counted. With 512 uploads of 1 MB that was most of a slice.

        Raises:
            LoadError: see :func:`parse`.
        """
        with tempfile.TemporaryDirectory(prefix="benchmarks-h2load-") as name:
            body = Path(name, "body")
            body.write_bytes(self.workload.body)
            before = _children_seconds()
            finished = subprocess.run(
                self.command(port, requests, body),
                capture_output=True,
                text=True,
                timeout=self.seconds + TIMEOUT_SECONDS,
            )
            used = _children_seconds() - before
        summary = parse(finished.stdout + finished.stderr)
        return Summary(summary.count, summary.seconds, used)

    def requests(self, port: int) -> int:
        """Find out how many requests the server answers in a slice.

        Raises:
            LoadError: see :func:`parse`.
        """
        requests = FEWEST
        summary = self.run(port, requests)
        while summary.seconds < self.seconds * ENOUGH:
            requests *= GROWTH
            summary = self.run(port, requests)
        return max(FEWEST, int(summary.count / summary.seconds * self.seconds))

    def measure(self, server: Server) -> Sample:
        """Measure one slice: the server's processor time for each request answered.

        Raises:
            LoadError: see :func:`parse`.
        """
        requests = self.requests(server.port)
        before = server.cpu_seconds()
        summary = self.run(server.port, requests)
        # The time in which the server handles the close of h2load's connections counts too.
        time.sleep(SETTLE_SECONDS)
        used = server.cpu_seconds() - before
        return sample(server, used, summary)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
