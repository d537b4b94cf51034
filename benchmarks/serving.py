"""Starts a contender on one core, waits until it answers, and ends it in every case."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processes
from benchmarks.contenders import REPOSITORY, Contender
from benchmarks.tls.credentials import Credentials

HOST = "127.0.0.1"
START_SECONDS = 20.0
STOP_SECONDS = 3.0
WAKE_SECONDS = 0.05
ATTEMPTS = 2
"""A free port may be taken between its choice and the server's bind."""


class StartError(Exception):
    """The server ended or did not listen in time; the message is the end of its output."""


@dataclass(frozen=True)
class Server:
    """A contender that listens."""

    contender: Contender
    pid: int
    port: int
    credentials: Credentials | None = None
    """Certificate and key for TLS; None without TLS."""

    def cpu_seconds(self) -> float:
        """Return the processor time of the whole process tree."""
        return processes.cpu_seconds(self.pid)

    def resident_octets(self) -> int:
        """Return the resident memory of the whole process tree."""
        return processes.resident_octets(self.pid)

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let the server run only while the context lasts; then stop its processes.

        An idle contender could disturb the one that is measured: fastpysgi 0.6 polls without a
        pause and took half of the core.
        """
        os.killpg(self.pid, signal.SIGCONT)
        try:
            yield
        finally:
            self.pause()

    def pause(self) -> None:
        """Stop the server's processes until :meth:`awake`."""
        os.killpg(self.pid, signal.SIGSTOP)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(
    contender: Contender,
    peers: Path,
    core: int,
    credentials: Credentials | None = None,
    workload: str = "",
) -> Iterator[Server]:
    """Run a contender on one core while the context lasts; with TLS, if there are credentials.

    Raises:
        StartError: the contender did not listen in time.
    """
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        for attempt in range(ATTEMPTS):
            port = free_port()
            log = folder / f"{attempt}.log"
            command = contender.command_line(peers, port, credentials, workload)
            process = _start(contender, command, core, folder, log)
            try:
                if wait_until_listening(process, port):
                    yield Server(contender, process.pid, port, credentials)
                    return
            finally:
                end(process)
        lines = log.read_text(errors="replace").strip().splitlines()
        raise StartError(lines[-1] if lines else "it printed nothing")


def _start(
    contender: Contender, command: Sequence[str], core: int, folder: Path, log: Path
) -> subprocess.Popen[bytes]:
    # A session of its own, so that a signal to the group reaches all its processes.
    with log.open("wb") as output:
        return subprocess.Popen(
            ["taskset", "--cpu-list", str(core), *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(import_folder(contender, folder))},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def import_folder(contender: Contender, folder: Path) -> Path:
    """Return a folder to import the application from.

    Peers get a folder with nothing else: in the repository Daphne would find this Twisted plug-in.
    """
    if contender.is_ours:
        return REPOSITORY
    link = folder / "benchmarks"
    if not link.is_symlink():
        link.symlink_to(REPOSITORY / "benchmarks")
    return folder


def wait_until_listening(
    process: subprocess.Popen[bytes], port: int, seconds: float = START_SECONDS
) -> bool:
    """Tell whether a process listened in time; False also if it ended."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, then end the remaining processes of its group."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGCONT)
        # granian 2.8.7 does not end on a SIGTERM that comes together with the SIGCONT.
        time.sleep(WAKE_SECONDS)
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
