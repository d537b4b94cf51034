"""A server under callgrind, which counts what it executes for exchanges made one after another."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.exchanges import Exchange
from benchmarks.serving import StartError, end, free_port, wait_until_listening

START_SECONDS = 120.0
"""Valgrind starts a server many times more slowly than the processor does."""
COMMAND_SECONDS = 60.0


class Callgrind:
    """One connection to the server, and a line to the callgrind that runs it."""

    def __init__(self, pid: int, folder: Path, exchange: Exchange) -> None:
        self._pid = pid
        self._folder = folder
        self._dumps = 0
        self._exchange = exchange

    def exchange(self, count: int) -> None:
        """Make exchanges one after another on the one connection."""
        for _ in range(count):
            self._exchange.make()

    def command(self, *words: str) -> None:
        """Tell the running callgrind something, through valgrind's own vgdb."""
        subprocess.run(
            ["vgdb", f"--vgdb-prefix={self._folder / 'vgdb'}", f"--pid={self._pid}", *words],
            check=True,
            capture_output=True,
            timeout=COMMAND_SECONDS,
        )

    def count(self, exchanges: int) -> int:
        """Return the instructions since the last count, with so many exchanges made meanwhile."""
        self.exchange(exchanges)
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
def counting(
    command: Sequence[str], imports: Path, connect: Callable[[int], Exchange]
) -> Iterator[Callgrind]:
    """Run a server under callgrind, not counting yet, for as long as the context lasts.

    Args:
        command: the server's command line, "{port}" in the place of the port.
        imports: folder that the application is imported from.
        connect: makes the one connection, given the port.

    Raises:
        StartError: the server did not come to listen.
    """
    with tempfile.TemporaryDirectory(prefix="benchmarks-callgrind-") as name:
        folder, port = Path(name), free_port()
        process = _start(command, imports, folder, port)
        try:
            if not wait_until_listening(process, port, START_SECONDS):
                raise StartError((folder / "log").read_text(errors="replace")[-500:])
            exchange = connect(port)
            try:
                yield Callgrind(process.pid, folder, exchange)
            finally:
                exchange.close()
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
