"""The command as process 1 of a container (process/init.py)."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import needed
from tests.support.containers import Contained
from tests.support.real_server import DEADLINE, fetched

Start = Callable[..., Contained]

EARLY = """
import signal
from daphne_like.process import init
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("blocked", flush=True)
while signal.SIGTERM not in signal.sigpending():
    pass
init.serve_in_child()
signal.pthread_sigmask(signal.SIG_SETMASK, [])
signal.pause()
"""
"""A process 1 that gets SIGTERM before it has a child."""


@pytest.fixture
def contained() -> Iterator[Start]:
    """contained(*arguments, ...): see Contained; ended with the test."""
    started: list[Contained] = []

    def start(*arguments: str, **how: Any) -> Contained:
        started.append(Contained(*arguments, **how))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()  # unshare kills process 1, and that takes all others along
        running.stop()


def body(running: Contained, path: str) -> str:
    return fetched(running.port, path).partition(b"\r\n\r\n")[2].decode()


class TestSignals:
    """They act from the first moment."""

    @pytest.mark.parametrize("more", [(), ("--workers", "1")], ids=["one process", "supervised"])
    def test_sigterm_stops(self, contained: Start, more: tuple[str, ...]) -> None:
        """Gracefully, with status 0."""
        running = contained("-p", "0", *more, "contained:application").wait_until_ready()
        assert "200" in fetched(running.port, "/hello").decode()
        running.signal()
        assert running.ended() == 0
        assert "Stopped" in running.log

    def test_the_server_is_a_child(self, contained: Start) -> None:
        """Process 1 runs nothing of the application's."""
        running = contained("-p", "0", "contained:application").wait_until_ready()
        assert body(running, "/hello") == "2 of 1"
        assert body(running, "/processes").splitlines()[0] == "1 0 S daphne-init"

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_during_the_import(self, contained: Start, number: int) -> None:
        """The process ends at once, with the status of the signal."""
        running = contained("contained:application", environment={"SLOW_IMPORT": "1"})
        running.wait_for("importing")
        running.signal(number)
        assert running.ended(10) == 128 + number

    def test_before_anything_is_loaded(self, contained: Start) -> None:
        """A signal that comes before the child exists waits for it."""
        running = contained(program=[sys.executable, "-c", EARLY])
        running.wait_for("blocked")
        running.signal()
        # Process 1 has got the signal, and passes it on.
        assert running.ended(10) == 128 + signal.SIGTERM

    def test_others_are_passed_on(self, contained: Start) -> None:
        """SIGHUP reloads, SIGUSR1 is no end; a killed server is the end of the container."""
        running = contained("-p", "0", "contained:application").wait_until_ready()
        running.signal(signal.SIGUSR1)
        running.signal(signal.SIGHUP)
        running.wait_for("SIGHUP: no certificates to reload")
        assert "200" in fetched(running.port, "/hello").decode()
        running.signal(signal.SIGABRT)
        assert running.ended() == 128 + signal.SIGABRT


class TestProcesses:
    """Orphans are reaped, children are left to their parents."""

    @pytest.mark.parametrize("more", [(), ("--workers", "1")], ids=["one process", "supervised"])
    def test_an_orphan(self, contained: Start, more: tuple[str, ...]) -> None:
        """It is reaped when it ends; there is no zombie."""
        running = contained("-p", "0", *more, "contained:application").wait_until_ready()
        orphan = body(running, "/orphan").strip()

        def is_gone() -> bool:
            rows = [row.split() for row in body(running, "/processes").splitlines()]
            assert rows
            return all(row[0] != orphan and row[2] != "Z" for row in rows)

        needed.until(is_gone)

    def test_children(self, contained: Start) -> None:
        """Their status waits for subprocess and asyncio."""
        running = contained("-p", "0", "contained:application").wait_until_ready()
        assert body(running, "/child") == "7 8"


class TestSocketActivation:
    """A container that gets its sockets."""

    def test_the_sockets_are_the_server_s(self, contained: Start) -> None:
        """LISTEN_PID=1 means the server, and process 1 does not keep the sockets open."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            running = contained(
                "-e", "systemd:domain=INET:name=site", "contained:application",
                environment={"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "site"},
                preexec_fn=lambda: os.dup2(listening.fileno(), 3, inheritable=True),
                pass_fds=[3],
            )  # fmt: skip
        running.wait_until_ready()
        assert body(running, "/hello") == "2 of 1"
        with socket.create_connection(("127.0.0.1", port), DEADLINE):
            running.signal()
            needed.until(lambda: _is_refused(port))
        assert running.ended() == 0


def _is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        return False
    return False
