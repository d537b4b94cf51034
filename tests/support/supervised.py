"""A supervisor and its workers, as the list of processes and the log show them."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import needed
from tests.support.peers import get, read_answers
from tests.support.real_server import DEADLINE, Running

PROC = Path("/proc")
MODULE = "daphne_like.process.worker"


class Row(NamedTuple):
    """A worker in the list of processes."""

    pid: int
    slot: int
    wanted: int
    generation: int


def parent(pid: int) -> int | None:
    """The parent of a process; None if the process has ended, or is a zombie."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[1])


def is_alive(pid: int) -> bool:
    """Whether a process runs."""
    return parent(pid) is not None


def children(pid: int) -> list[int]:
    """The children of a process that run."""
    return [int(name) for name in os.listdir(PROC) if name.isdecimal() and parent(int(name)) == pid]


def row(pid: int) -> Row | None:
    """What a worker's command line says; None for another program."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().decode().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return None
    if MODULE not in words:
        return None
    given = dict(word.split("=", 1) for word in words if "=" in word)
    slot, _, wanted = given["slot"].partition("/")
    return Row(pid, int(slot), int(wanted), int(given["generation"]))


def workers(supervisor: int) -> list[Row]:
    """The workers of a supervisor, by slot and age."""
    rows = (row(pid) for pid in children(supervisor))
    return sorted((found for found in rows if found), key=lambda one: (one.slot, one.pid))


def descriptors(pid: int) -> int:
    """How many descriptors a process has."""
    return len(os.listdir(PROC / str(pid) / "fd"))


def resident(pid: int) -> int:
    """Resident memory of a process, in octets."""
    pages = (PROC / str(pid) / "statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class Supervised(Running):
    """The command with `--workers`, on a free port, with tests/projects/operated.py."""

    def __init__(
        self,
        *arguments: str,
        workers: str = "2",
        application: str = "operated:application",
        port: int = 0,
        **how: Any,
    ) -> None:
        words = ["-b", "127.0.0.1", "-p", str(port), "--workers", workers, *arguments, application]
        super().__init__(*words, **how)

    @property
    def workers(self) -> list[Row]:
        """The workers that run, those that leave included."""
        return workers(self.process.pid)

    def until_workers(self, number: int, generation: int | None = None) -> list[Row]:
        """Wait until exactly so many workers run, all of them ready; those."""

        def found() -> list[Row] | None:
            rows = self.workers
            right = len(rows) == number and all(self.is_ready(one.pid) for one in rows)
            if generation is not None:
                right = right and {one.generation for one in rows} == {generation}
            return rows if right else None

        try:
            rows: list[Row] = needed.until(found, DEADLINE)
        except AssertionError:
            raise AssertionError(f"{self.workers}\n{self.log}") from None
        return rows

    def until_started(self, number: int) -> list[Row]:
        """Wait until exactly so many workers run, ready or not; those."""
        rows: list[Row] = needed.until(
            lambda: self.workers if len(self.workers) == number else None, DEADLINE
        )
        return rows

    def is_ready(self, pid: int) -> bool:
        """Whether the log says that this worker serves."""
        return f"(process {pid}, " in self.log and any(
            f"(process {pid}, " in line and " is ready" in line for line in self.log.splitlines()
        )

    def ask(self, path: str = "/") -> Any:
        """GET on a connection of its own: the JSON of the answer."""
        with self.connect() as connection:
            return ask(connection, path)

    def send(self, path: str) -> socket.socket:
        """GET on a connection of its own, whose answer nobody waits for."""
        connection = self.connect()
        connection.sendall(get(path.encode(), b"Connection: close"))
        return connection

    def serving(self, number: int) -> set[int]:
        """Ask until so many different workers have answered; their processes."""
        seen: set[int] = set()

        def found() -> bool:
            # Connections at the same time, so that no worker can answer all of them first.
            connections = [self.send("/slow?seconds=0.05") for _ in range(2 * number)]
            for connection in connections:
                with connection:
                    seen.add(read_json(connection)["pid"])
            return len(seen) >= number

        needed.until(found, DEADLINE)
        return seen

    def killed(self, pid: int, number: int = signal.SIGKILL) -> None:
        """Send a signal to one worker."""
        os.kill(pid, number)


def read_json(connection: socket.socket) -> Any:
    """The JSON of an answer after which the server closes."""
    octets = b""
    while received := connection.recv(65536):
        octets += received
    (answer,) = read_answers(octets)
    assert answer.status == 200, octets
    return json.loads(answer.body)


def ask(connection: socket.socket, path: str = "/") -> Any:
    """GET on a connection that ends with it: the JSON of the answer."""
    connection.settimeout(DEADLINE)
    connection.sendall(get(path.encode(), b"Connection: close"))
    return read_json(connection)
