"""The servers that the suite can be run against, and the start of one of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import serving
from tests.conformance.problems import ConformanceError

SERVED = Path(__file__).with_name("served")
APPLICATION = "echo:application"
OURS = "ours"
REACTORS = ("native", "asyncio")


@dataclass(frozen=True)
class Server:
    """A server that can be started.

    Attributes:
        name: of the server, for people and in reports.
        command: with {port} and, for a peer, {peers}: the folder of its program.
        without_limits: what else it needs to take messages of 16 MiB.
    """

    name: str
    command: tuple[str, ...]
    without_limits: tuple[str, ...] = ()

    @contextmanager
    def running(self, log: Path, peers: Path, *, large: bool) -> Iterator[str]:
        """Run it on a free port of the loopback interface, as long as the context lasts.

        Args:
            log: file for what it prints.
            peers: virtual environment of the peers.
            large: without limits of message and frame.
        Returns:
            Its URL, ws://...
        Raises:
            ConformanceError: it did not come to listen.
        """
        port = serving.free_port()
        values = {"port": str(port), "peers": str(peers / "bin"), "python": sys.executable}
        more = self.without_limits if large else ()
        command = [part.format_map(values) for part in (*self.command, *more, APPLICATION)]
        with log.open("w") as output:
            try:
                process = subprocess.Popen(
                    command,
                    cwd=SERVED,
                    env={**os.environ, "PYTHONPATH": str(SERVED), "PYTHONUNBUFFERED": "1"},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise ConformanceError(f"{self.name} cannot be started: {error}")
        try:
            if not serving.wait_until_listening(process, port):
                raise ConformanceError(f"{self.name} does not listen: see {log}")
            yield f"ws://{serving.HOST}:{port}"
        finally:
            serving.end(process)


def _ours(reactor: str, *start: str) -> Server:
    return Server(
        f"daphne-like-{reactor}",
        ("{python}", *start, "-v", "0", "-b", serving.HOST, "-p", "{port}"),
        ("--websocket-max-message-size", "0", "--websocket-max-frame-size", "0"),
    )


def _peer(name: str, command: str, without_limits: str = "") -> Server:
    return Server(name, ("{peers}/" + name, *command.split()), tuple(without_limits.split()))


NATIVE = _ours("native", "-m", "daphne_like")
ASYNCIO = _ours("asyncio", "stock.py")
PEERS = {
    peer.name: peer
    for peer in (
        _peer(
            "uvicorn",
            "--lifespan off --log-level warning --host 127.0.0.1 --port {port}",
            "--ws-max-size 33554432",
        ),
        _peer(
            "granian",
            "--interface asginl --log-level warning --host 127.0.0.1 --port {port}",
        ),
        _peer("hypercorn", "--log-level warning --bind 127.0.0.1:{port}"),
        _peer("daphne", "-v 0 -b 127.0.0.1 -p {port}"),
    )
}


def server(name: str, reactor: str) -> Server:
    """The server of this name; the reactor only matters for ours."""
    if name == OURS:
        return {"native": NATIVE, "asyncio": ASYNCIO}[reactor]
    return PEERS[name]
