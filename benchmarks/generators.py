"""One slice of a generator's load: start it, and read the server's times around its work."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from benchmarks.contenders import REPOSITORY
from benchmarks.dialogue import Order
from benchmarks.http_workloads import HTTPWorkload
from benchmarks.load import LoadError, Summary, sample
from benchmarks.results import Sample
from benchmarks.serving import Server
from benchmarks.websocket.workloads import WebSocketWorkload

TIMEOUT_SECONDS = 40
"""Time limit for the generator's end after its slice; longer than the generator's own limit."""
WEBSOCKET = "benchmarks.websocket.generator"
TLS = "benchmarks.tls.handshakes"


@dataclass(frozen=True)
class Generator:
    """The way to run a generator: module, interpreter, core, duration."""

    python: Path
    core: int
    seconds: int
    connections: int
    workload: WebSocketWorkload | HTTPWorkload
    program: str = WEBSOCKET

    def measure(self, server: Server) -> Sample:
        """Measure one slice, without opening and closing the connections.

        Raises:
            LoadError: a response was wrong, or the generator could not run.
        """
        order = Order(
            workload=self.workload.name,
            port=server.port,
            connections=self.workload.connections or self.connections,
            seconds=self.seconds,
        )
        with self._running(order) as dialogue:
            dialogue.expect_ready()
            before = server.cpu_seconds()
            summary = dialogue.work()
            used = server.cpu_seconds() - before
            return sample(server, used, summary)

    @contextmanager
    def _running(self, order: Order) -> Iterator[Dialogue]:
        command = ["taskset", "--cpu-list", str(self.core), str(self.python)]
        command += ["-m", self.program, json.dumps(asdict(order))]
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(
                command,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            ) as process,
        ):
            try:
                yield Dialogue(process, errors)
                process.communicate(timeout=TIMEOUT_SECONDS)
            finally:
                process.kill()


class Dialogue:
    """The lines that the generator prints, and the one it waits for."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._process = process
        self._errors = errors

    def expect_ready(self) -> None:
        """Wait until the connections are open.

        Raises:
            LoadError: the connections could not be opened.
        """
        self._line()

    def work(self) -> Summary:
        """Let the generator begin, and wait until all responses have arrived.

        Raises:
            LoadError: the generator reports an error.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(b"begin\n")
        self._process.stdin.flush()
        return parse(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        # This ends, because an alarm ends the generator.
        line = self._process.stdout.readline().decode()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            raise LoadError(lines[-1] if lines else "no answer in time")
        return line


def parse(line: str) -> Summary:
    """Read the tally that the generator printed.

    Raises:
        LoadError: the tally is empty.
    """
    tally = json.loads(line)
    if not tally["count"]:
        raise LoadError("nothing was done")
    return Summary(tally["count"], tally["seconds"], tally["cpu_seconds"])
