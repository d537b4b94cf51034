"""A server under callgrind, which counts its instructions for exchanges one after another."""

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
"""A server starts many times more slowly under valgrind."""
COMMAND_SECONDS = 60.0


class Callgrind:
    """One connection to the server, and one to the callgrind that runs it."""

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
        """Send a command to the running callgrind through valgrind's vgdb."""
        subprocess.run(
            ["vgdb", f"--vgdb-prefix={self._folder / 'vgdb'}", f"--pid={self._pid}", *words],
            check=True,
            capture_output=True,
            timeout=COMMAND_SECONDS,
        )

    def count(self, exchanges: int) -> int:
        """Make exchanges, and return the number of instructions since the last count."""
        self.exchange(exchanges)
        self.command("dump")
        self._dumps += 1
        return total((self._folder / f"callgrind.out.{self._dumps}").read_text())


def total(profile: str) -> int:
    """Return the total number of instructions of a callgrind profile.

    Raises:
        ValueError: the profile has no line with the total.
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
    """Run a server under callgrind while the context lasts; counting begins later.

    Args:
        command: the server's command line, with "{port}" instead of the port.
        imports: folder that the application is imported from.
        connect: opens the connection to a port.

    Raises:
        StartError: the server did not listen in time.
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
        # The start is not counted, because that is several times faster.
        "--instr-atstart=no",
        f"--callgrind-out-file={folder / 'callgrind.out'}",
        # Callgrind's pipes are removed with the folder, however the server ends.
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
