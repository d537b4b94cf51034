"""A server under callgrind, which counts what it executes for requests made one after another."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.applications import HELLO_BODY
from benchmarks.serving import HOST, StartError, end, free_port, wait_until_listening

START_SECONDS = 120.0
"""Valgrind starts a server many times more slowly than the processor does."""
TIMEOUT_SECONDS = 60.0

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
READ_OCTETS = 1 << 16


class Callgrind:
    """One connection to the server, and a line to the callgrind that runs it."""

    def __init__(self, pid: int, port: int, folder: Path) -> None:
        self._pid = pid
        self._folder = folder
        self._dumps = 0
        self._connection = socket.create_connection((HOST, port), timeout=TIMEOUT_SECONDS)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def request(self, count: int) -> None:
        """Make requests one after another on the one connection.

        Raises:
            ConnectionError: the server closed it.
        """
        for _ in range(count):
            self._connection.sendall(REQUEST)
            answer = b""
            while not answer.endswith(HELLO_BODY):
                octets = self._connection.recv(READ_OCTETS)
                if not octets:
                    raise ConnectionError(f"closed after {answer!r}")
                answer += octets

    def command(self, *words: str) -> None:
        """Tell the running callgrind something, through valgrind's own vgdb."""
        subprocess.run(
            ["vgdb", f"--vgdb-prefix={self._folder / 'vgdb'}", f"--pid={self._pid}", *words],
            check=True,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
        )

    def count(self, requests: int) -> int:
        """Return the instructions since the last count, with so many requests made meanwhile."""
        self.request(requests)
        self.command("dump")
        self._dumps += 1
        return total((self._folder / f"callgrind.out.{self._dumps}").read_text())


def total(profile: str) -> int:
    """Return the instructions that a callgrind profile adds up to.

    Raises:
        ValueError: the profile has no such line.
    """
    for line in profile.splitlines():
        name, _, value = line.partition(":")
        if name == "totals":
            return int(value)
    raise ValueError("callgrind profile: expected a line 'totals:', got none")


@contextmanager
def counting(command: Sequence[str], imports: Path) -> Iterator[Callgrind]:
    """Run a server under callgrind, not counting yet, for as long as the context lasts.

    Args:
        command: the server's command line, "{port}" in the place of the port.
        imports: folder that the application is imported from.

    Raises:
        StartError: the server did not come to listen.
    """
    with tempfile.TemporaryDirectory(prefix="benchmarks-callgrind-") as name:
        folder, port = Path(name), free_port()
        process = _start(command, imports, folder, port)
        try:
            if not wait_until_listening(process, port, START_SECONDS):
                raise StartError((folder / "log").read_text(errors="replace")[-500:])
            callgrind = Callgrind(process.pid, port, folder)
            try:
                yield callgrind
            finally:
                callgrind.close()
        finally:
            end(process)


def _start(
    command: Sequence[str], imports: Path, folder: Path, port: int
) -> subprocess.Popen[bytes]:
    valgrind = [
        "valgrind",
        "--tool=callgrind",
        # Start-up runs uncounted, which is several times faster.
        "--instr-atstart=no",
        f"--callgrind-out-file={folder / 'callgrind.out'}",
        # Its pipes go with the folder, however the server ends.
        f"--vgdb-prefix={folder / 'vgdb'}",
    ]
    with (folder / "log").open("wb") as output:
        return subprocess.Popen(
            [*valgrind, *(part.replace("{port}", str(port)) for part in command)],
            cwd=folder,
            env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(imports)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
