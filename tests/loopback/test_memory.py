"""Memory stays flat under slow peers and slow applications (defect K4)."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.loopback.conftest import Running

Start = Callable[..., Running]
MOST_GROWTH = 8.0
PAUSE = 2.0
"""Seconds in which a server without back-pressure would take or make hundreds of megabytes."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def resident(running: Running) -> float:
    """Resident memory of the process, in MiB."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def send_until_refused(connection: socket.socket) -> int:
    """Send up to 1 GB, until nothing is taken for a while; how much was taken."""
    connection.settimeout(PAUSE)
    sent = 0
    try:
        while sent < 1_000_000_000:
            sent += connection.send(b"x" * 1_000_000)
    except TimeoutError:
        pass
    return sent


class TestFlat:
    """The issue's "Speed": resident memory grows by less than 8 MiB."""

    def test_slow_reader_of_a_gigabyte(self, server: Start) -> None:
        """C09: `await send` waits for a peer that has stopped reading."""
        running = server("flat:application", "--graceful-timeout", "0")
        before = resident(running)
        connection = running.connect()
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in range(100):
            assert connection.recv(65536)
        with pytest.raises(AssertionError, match="no 'never'"):
            running.wait_for("never", PAUSE)
        assert resident(running) - before < MOST_GROWTH
        assert connection.recv(65536)

    def test_slow_application_under_a_gigabyte(self, server: Start) -> None:
        """K4: what an application does not read is not read from the socket."""
        running = server("flat:application", "--graceful-timeout", "0")
        before = resident(running)
        connection = running.connect()
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
        sent = send_until_refused(connection)
        running.wait_for("asleep")
        assert resident(running) - before < MOST_GROWTH
        assert sent < 50_000_000
