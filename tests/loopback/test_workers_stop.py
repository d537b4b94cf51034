"""Each kind of stop of a worker: how long an idle connection is served, and with which options."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable

from tests.support.peers import get
from tests.support.supervised import Supervised

Start = Callable[..., Supervised]

PATIENT = ("--drain-idle", "6", "--shutdown-delay", "0")
REQUEST = get(b"/")


def read_until_end(connection: socket.socket) -> bytes:
    """All that comes until FIN."""
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


def answered_after(running: Supervised, number: int, line: str) -> bytes:
    """Open a connection, send a signal, wait for a line and two seconds more, send the request."""
    running.until_workers(1)
    with running.connect() as connection:
        connection.settimeout(20)
        connection.sendall(REQUEST)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")  # a worker has accepted it
        running.signal(number)
        running.wait_for(line)
        time.sleep(2)
        try:
            connection.sendall(REQUEST)
            return read_until_end(connection)
        except (BrokenPipeError, ConnectionResetError):
            return b""


class TestKinds:
    """What the supervisor says to its workers is the plan that they follow."""

    def test_stop(self, supervised: Start) -> None:
        """SIGTERM is patient: two seconds later the next request is answered."""
        running = supervised(*PATIENT, workers="1")
        received = answered_after(running, signal.SIGTERM, "worker 1: Stopping")
        assert received.startswith(b"HTTP/1.1 200")
        assert b"Connection: close" in received
        assert running.ended() == 0

    def test_quick(self, supervised: Start) -> None:
        """SIGINT is not, whatever the options say."""
        running = supervised(*PATIENT, workers="1")
        assert answered_after(running, signal.SIGINT, "worker 1: Stopping") == b""
        assert running.ended() == 0

    def test_restart(self, supervised: Start) -> None:
        """SIGHUP is patient, and --shutdown-delay is for the stop alone: a successor accepts."""
        running = supervised("--drain-idle", "6", "--shutdown-delay", "60", workers="1")
        received = answered_after(running, signal.SIGHUP, "worker 1: Stopping")
        assert received.startswith(b"HTTP/1.1 200")
        assert b"Connection: close" in received
        running.until_workers(1, 2)

    def test_delay(self, supervised: Start) -> None:
        """--shutdown-delay: the workers accept as before until it is over."""
        running = supervised("--shutdown-delay", "3", workers="2")
        running.until_workers(2)
        began = time.monotonic()
        running.signal()
        running.wait_for("Stopping in 3 seconds; still accepting")
        assert running.ask("/")
        assert running.ended() == 0
        assert time.monotonic() - began > 2.9


def test_upgrade_signal(supervised: Start) -> None:
    """SIGUSR2, which replaces the main process of other servers, ends nothing."""
    running = supervised(workers="1")
    running.signal(signal.SIGUSR2)
    running.wait_for("SIGUSR2: the supervisor does not replace itself")
    assert running.ask("/")
