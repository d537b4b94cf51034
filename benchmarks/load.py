"""Load by wrk: the script it runs, the line it prints, and one slice of measurement."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.http_workloads import HTTPWorkload
from benchmarks.results import Sample
from benchmarks.serving import HOST, Server

MIB = 1 << 20
SETTLE_SECONDS = 0.05
TIMEOUT_SECONDS = 30

# wrk rounds the figures in its own text, so the script prints a line of its own.
_DONE = """
done = function(summary, latency, requests)
   local e = summary.errors
   print(string.format(
      "summary: requests=%d microseconds=%d connect=%d read=%d write=%d status=%d timeout=%d",
      summary.requests, summary.duration, e.connect, e.read, e.write, e.status, e.timeout))
end
"""
_SUMMARY = re.compile(r"^summary: (.*)$", re.MULTILINE)
_ERRORS = ("connect", "read", "write", "status", "timeout")


class LoadError(Exception):
    """The load had errors or could not run; the message says why."""


@dataclass(frozen=True)
class Summary:
    """The load's report of one run without errors."""

    count: int
    """Number of requests, messages or connections, by the workload's unit."""
    seconds: float
    cpu_seconds: float | None = None
    """Processor time of the load itself, if it is known."""


def lua_string(text: str) -> str:
    """Quote a text for Lua 5.1: every octet but letters and digits is a decimal escape."""
    # Three digits, so that a digit after the escape stays a digit.
    escaped = (
        chr(octet) if chr(octet).isascii() and chr(octet).isalnum() else f"\\{octet:03d}"
        for octet in text.encode()
    )
    return f'"{"".join(escaped)}"'


def lua_script(workload: HTTPWorkload, body: Path) -> str:
    """Return wrk's script for a workload whose request body, if any, is in the file `body`."""
    lines = [f"wrk.method = {lua_string(workload.method)}"]
    lines += [
        f"wrk.headers[{lua_string(name)}] = {lua_string(value)}" for name, value in workload.fields
    ]
    if workload.body:
        lines.append(f'wrk.body = io.open({lua_string(str(body))}, "rb"):read("*a")')
    if workload.varied:
        lines += [
            "local n = 0",
            "request = function()",
            "  n = n + 1",
            '  wrk.headers["X-Request-Id"] = tostring(n)',
            f'  return wrk.format(nil, {lua_string(workload.target)} .. "&n=" .. n)',
            "end",
        ]
    return "\n".join(lines) + "\n" + _DONE


def parse(output: str) -> Summary:
    """Read the line that the script printed.

    Raises:
        LoadError: the line is missing or reports an error, or no request was made.
    """
    match = _SUMMARY.search(output)
    if match is None:
        raise LoadError(f"wrk: expected a summary line, got {output.strip()[-200:]!r}")
    counts = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", match[1])}
    errors = ", ".join(f"{counts[name]} {name}" for name in _ERRORS if counts[name])
    if errors:
        raise LoadError(f"errors seen by wrk: {errors}")
    if not counts["requests"]:
        raise LoadError("no request was answered")
    return Summary(counts["requests"], counts["microseconds"] / 1e6)


def sample(server: Server, used: float, summary: Summary) -> Sample:
    """Return a sample: the server's processor time divided by the load's count, and its memory.

    Args:
        server: the server; its memory is read too.
        used: seconds of processor time.
        summary: the load's report.
    """
    load = summary.cpu_seconds
    return Sample(
        figure=used * 1e6 / summary.count,
        per_second=summary.count / summary.seconds,
        resident_mib=server.resident_octets() / MIB,
        server_busy=used / summary.seconds,
        load_busy=None if load is None else load / summary.seconds,
    )


@dataclass(frozen=True)
class Wrk:
    """The way to run wrk: core, duration, number of connections, workload."""

    core: int
    seconds: int
    connections: int
    workload: HTTPWorkload

    def url(self, port: int) -> str:
        """Return the URL for wrk, which verifies no certificate; the check before has done so."""
        scheme = "https" if self.workload.tls else "http"
        return f"{scheme}://{HOST}:{port}{self.workload.target}"

    def run(self, port: int) -> Summary:
        """Load a port for the duration.

        Raises:
            LoadError: see :func:`parse`.
        """
        workload = self.workload
        connections = min(self.connections, workload.connections or self.connections)
        with tempfile.TemporaryDirectory(prefix="benchmarks-wrk-") as name:
            script, body = Path(name, "request.lua"), Path(name, "body")
            body.write_bytes(workload.body)
            script.write_text(lua_script(workload, body))
            command = ["taskset", "--cpu-list", str(self.core), "wrk", "--threads", "1"]
            command += ["--connections", str(connections), "--duration", f"{self.seconds}s"]
            command += ["--script", str(script), self.url(port)]
            output = subprocess.run(
                command, capture_output=True, text=True, timeout=self.seconds + TIMEOUT_SECONDS
            )
        return parse(output.stdout + output.stderr)

    def measure(self, server: Server) -> Sample:
        """Measure one slice: the server's processor time for each request answered.

        Raises:
            LoadError: see :func:`parse`.
        """
        before = server.cpu_seconds()
        summary = self.run(server.port)
        # The time in which the server handles the close of wrk's connections counts too.
        time.sleep(SETTLE_SECONDS)
        used = server.cpu_seconds() - before
        return sample(server, used, summary)
