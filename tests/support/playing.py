"""What the tests of WebSockets share: an event loop for their clients, a server for many tests."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from tests.support import needed
from tests.support.memory import Loop
from tests.support.real_server import DEADLINE, Running
from tests.support.websocket_peer import Peer


def play(story: Coroutine[Any, Any, Any]) -> Any:
    """Run a client's coroutine within the deadline; what it returns."""
    loop = Loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(story, DEADLINE))
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def ask(running: Running, path: str = "/seen") -> Any:
    """The JSON that the server answers with."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(running.url + path, timeout=DEADLINE) as response:
        return json.load(response)


def seen(running: Running, name: str, what: str) -> Any:
    """Wait until an application of tests/projects/sockets.py has noted something."""
    return needed.until(lambda: ask(running).get(name, {}).get(what))


def connecting() -> Iterator[Callable[[Running], Peer]]:
    """For a fixture: connect(running) is a raw client, closed with the test."""
    peers: list[Peer] = []

    def connect(running: Running) -> Peer:
        connection = socket.create_connection((running.host, running.port), timeout=DEADLINE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peers.append(Peer(connection))
        return peers[-1]

    yield connect
    for peer in peers:
        peer.connection.close()


def resident(running: Running) -> float:
    """Resident memory of the process, in MiB."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
