"""The servers that are compared, each with two workers and the same application."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.live_endpoints import free_port
from tests.support.real_server import PROJECTS
from tests.support.supervised import children, is_alive

APPLICATION = "operated:application"
START_SECONDS = 60.0
MAX_REQUESTS = 2000
Words = Callable[[int, int], list[str]]


@dataclass(frozen=True)
class Contender:
    """A server.

    Attributes:
        name: for the report.
        module: run with `python -m`.
        words: the command line for a port and a number of workers.
        limit: option that replaces a worker after so many requests; "" without one.
        jitter: option for the random part of it; "" without one.
    """

    name: str
    module: str
    words: Words
    limit: str
    jitter: str


OURS = Contender(
    "daphne-like", "daphne_like",
    lambda port, workers: ["-b", "127.0.0.1", "-p", str(port), "--workers", str(workers)],
    "--max-requests", "--max-requests-jitter",
)  # fmt: skip
PEERS = [
    Contender(
        "gunicorn", "gunicorn",
        lambda port, workers: ["-k", "asgi", "-b", f"127.0.0.1:{port}", "-w", str(workers)],
        "--max-requests", "--max-requests-jitter",
    ),
    Contender(
        "uvicorn", "uvicorn",
        lambda port, workers: ["--port", str(port), "--workers", str(workers), "--no-access-log"],
        "--limit-max-requests", "--limit-max-requests-jitter",
    ),
    Contender(
        "h2corn", "h2corn",
        lambda port, workers: ["-b", f"127.0.0.1:{port}", "-w", str(workers)],
        "--max-requests", "--max-requests-jitter",
    ),
]  # fmt: skip


class Server:
    """A contender that runs.

    Attributes:
        pid: its first process.
        port: where it listens on 127.0.0.1.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.pid = process.pid
        self.port = port

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return ("127.0.0.1", self.port)

    @property
    def url(self) -> str:
        """The same for programs."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def workers(self) -> list[int]:
        """Its worker processes; Python's resource tracker is none."""
        return [pid for pid in children(self.pid) if not is_tracker(pid)]


def is_tracker(pid: int) -> bool:
    """Tell whether a process is the resource tracker of multiprocessing."""
    try:
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True


@contextmanager
def running(
    contender: Contender,
    python: Path,
    workers: int = 2,
    more: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
) -> Iterator[Server]:
    """Start a contender, and end it afterwards.

    Args:
        contender: the server.
        python: the interpreter that has it.
        workers: number of workers.
        more: further options.
        environment: more of it.
    Raises:
        RuntimeError: it does not serve in time.
    """
    port = free_port()
    command = [str(python), "-m", contender.module, *contender.words(port, workers), *more]
    process = subprocess.Popen(
        [*command, APPLICATION],
        cwd=PROJECTS,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        server = Server(process, port)
        wait_until(lambda: answers(port) and len(server.workers) == workers)
        yield server
    finally:
        left = children(process.pid)
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid in filter(is_alive, left):
            os.kill(pid, 9)


def answers(port: int) -> bool:
    """Tell whether a request is answered."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return connection.recv(100).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    """Ask until it is true.

    Raises:
        RuntimeError: it is not, in that time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("it did not come true in time")
        time.sleep(0.05)


def version(contender: Contender, python: Path) -> str:
    """Return the version of a contender; "" if that interpreter has none."""
    code = f"from importlib.metadata import version; print(version({contender.name!r}))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def interpreter(folder: Path | None) -> Path:
    """Return the interpreter of a virtual environment; this one without a folder."""
    return Path(sys.executable) if folder is None else folder / "bin" / "python"
