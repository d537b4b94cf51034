"""Memory stays flat under slow peers and slow applications (defect K4)."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.real_server import Running
from tests.support.resident_memory import (
    MAX_GROWTH,
    PAUSE,
    SHORT_PAUSE,
    resident,
    send_until_refused,
)

Start = Callable[..., Running]
AUTHORITY = Authority()
TRANSFER = 200_000_000

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class TestFlat:
    """Resident memory grows by less than 8 MiB."""

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
        assert resident(running) - before < MAX_GROWTH
        assert connection.recv(65536)

    def test_slow_application_under_a_gigabyte(self, server: Start) -> None:
        """K4: what an application does not read is not read from the socket."""
        running = server("flat:application", "--graceful-timeout", "0")
        before = resident(running)
        connection = running.connect()
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
        sent = send_until_refused(connection)
        running.wait_for("asleep")
        assert resident(running) - before < MAX_GROWTH
        assert sent < 50_000_000


class TestFlatOverTLS:
    """The same for 200 MB each way over TLS, by the most memory that there ever was.

    `python -m benchmarks` has the gigabyte (`tls-upload`, `tls-download`).
    """

    @pytest.fixture
    def running(self, server: Start, tmp_path: Path) -> Running:
        certificate = AUTHORITY.issue("localhost").write_both(tmp_path / "site.pem")
        return server("flat:application", "--tls-certificate", certificate)

    @pytest.fixture
    def connection(self, running: Running) -> ssl.SSLSocket:
        """After one request, so that what the first one needs is there."""
        with self.secured(running) as first:
            first.sendall(b"POST /transfer HTTP/1.0\r\nContent-Length: 1\r\n\r\nx")
            assert b"".join(iter(lambda: first.recv(65536), b"")).endswith(b"\r\n1")
        return self.secured(running)

    @staticmethod
    def secured(running: Running) -> ssl.SSLSocket:
        return AUTHORITY.client().wrap_socket(running.connect(), server_hostname="localhost")

    def test_download(self, running: Running, connection: ssl.SSLSocket) -> None:
        """What is enciphered waits for the socket, and the application for that."""
        before = resident(running)
        with connection:
            connection.sendall(b"GET /transfer HTTP/1.0\r\n\r\n")
            head = connection.recv(65536)
            left = TRANSFER - len(head.partition(b"\r\n\r\n")[2])
            with pytest.raises(AssertionError, match="no 'never'"):
                running.wait_for("never", SHORT_PAUSE)
            while octets := connection.recv(262144):
                left -= len(octets)
        assert left == 0
        assert resident(running, "VmHWM") - before < MAX_GROWTH

    def test_upload(self, running: Running, connection: ssl.SSLSocket) -> None:
        """What is deciphered waits for the application, and the socket for that."""
        before = resident(running)
        with connection:
            connection.sendall(b"POST /transfer HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % TRANSFER)
            for _ in range(TRANSFER // 1_000_000):
                connection.sendall(b"x" * 1_000_000)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.endswith(b"\r\n%d" % TRANSFER)
        assert resident(running, "VmHWM") - before < MAX_GROWTH
