"""A real server whose process has used up its file descriptors."""

from __future__ import annotations

import re
import resource
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daphne_like.runtime.descriptor_limit import reserve
from tests.projects.scarce_descriptors import LIMIT
from tests.support.live_endpoints import ON_STOCK_REACTOR
from tests.support.real_server import COMMAND, WITHOUT_UVLOOP, Running, fetched

WARNED = "The file descriptors of this process are used up"
FREE_AGAIN = "There are free file descriptors again"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
CROWD = 2 * LIMIT

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="it looks into /proc: run on Linux"
)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [(COMMAND, ("-p", "0")), (ON_STOCK_REACTOR, ("tcp:0:interface=127.0.0.1",))],
    ids=["native", "stock"],
)
def test_told_and_served_again(
    program: Callable[..., Any], command: tuple[str, ...], arguments: tuple[str, ...]
) -> None:
    """A shortage is told once, and connections are served again when it is over."""
    running = program(*arguments, "few_descriptors:application", program=command)
    running.wait_until_ready()
    crowd = [running.connect() for _ in range(60)]
    running.wait_for(WARNED)
    time.sleep(1.5)  # three looks more
    assert running.log.count(WARNED) == 1
    for connection in crowd:
        connection.close()
    deadline = time.monotonic() + 20
    answer = b""
    while not answer.endswith(b"here") and time.monotonic() < deadline:
        try:
            answer = fetched(running.port, "/")
        except OSError:
            pass
    assert answer.endswith(b"here")


def figures(answer: bytes) -> tuple[int, int, float]:
    """The process, its descriptors and its seconds of CPU time, as the application tells them."""
    pid, used, spent = answer.rpartition(b"\r\n\r\n")[2].split()
    return int(pid), int(used), float(spent)


def ask(connection: socket.socket) -> tuple[int, int, float]:
    """Send a request on a connection; what the application tells."""
    connection.sendall(REQUEST)
    answer = b""
    while b"\r\n\r\n" not in answer or len(answer.rpartition(b"\r\n\r\n")[2].split()) < 3:
        part = connection.recv(65536)
        assert part, "closed without an answer"
        answer += part
    return figures(answer)


@pytest.mark.parametrize("command", [COMMAND, WITHOUT_UVLOOP], ids=["uvloop", "asyncio"])
class TestCrowd:
    """Twice as many clients as the process has descriptors, all at once."""

    def test_nobody_is_lost(self, program: Callable[..., Running], command: Any) -> None:
        """Accepted clients are served, the others wait; the reserve stays; nothing spins."""
        running = program("-p", "0", "scarce_descriptors:application", program=command)
        running.wait_until_ready()
        crowd = [running.connect() for _ in range(CROWD)]
        running.wait_for(WARNED)
        _, used, before = ask(crowd[0])
        assert LIMIT - reserve(LIMIT) - 8 <= used < LIMIT - 4
        time.sleep(1)  # of doing nothing
        assert ask(crowd[0])[2] - before < 0.3
        for connection in crowd:
            assert ask(connection)[1] < LIMIT
            connection.close()
        running.wait_for(FREE_AGAIN)
        assert running.log.count(WARNED) == running.log.count(FREE_AGAIN) == 1

    def test_stop(self, program: Callable[..., Running], command: Any) -> None:
        """The ports of a server that stops are not opened again by the end of the shortage."""
        running = program(
            "-p", "0", "--drain-idle", "1", "scarce_descriptors:application", program=command
        )
        running.wait_until_ready()
        crowd = [running.connect() for _ in range(LIMIT)]
        running.wait_for(WARNED)
        running.signal()
        running.wait_for("Stopping")
        for connection in crowd:
            connection.close()
        assert running.ended() == 0
        assert running.log.rstrip().endswith("Stopped")


def test_worker_that_is_full(supervised: Callable[..., Any]) -> None:
    """The others do not wait for it, although it has fewer connections."""
    running = supervised(application="scarce_descriptors:application")
    full = figures(fetched(running.port, "/hold"))[0]
    clients = []
    for _ in range(60):
        clients.append(connection := running.connect())
        assert ask(connection)[0] > 0
    served = [ask(connection)[0] for connection in clients]
    assert served.count(full) < 40 < len(served)


def test_limit_is_raised(program: Callable[..., Running]) -> None:
    """The soft limit becomes the hard one, which the log says once, also with workers."""
    hard = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 4096)

    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard - 1000, hard))

    for more in ((), ("--workers", "2")):
        running = program("-p", "0", *more, "bare:application", preexec_fn=lower)
        running.wait_until_ready()
        said = f"Raised the limit of file descriptors from {hard - 1000} to {hard}"
        assert running.log.count(said) == 1
        pid = running.process.pid
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(rf"^Max open files +{hard} +{hard} ", limits, re.MULTILINE)
