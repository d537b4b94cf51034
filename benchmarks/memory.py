"""Resident memory: idle connections, a slow reader, a slow application; all are short."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.applications import GIGABYTE
from benchmarks.checks import WrongAnswerError, check
from benchmarks.http_workloads import HELLO, HTTPWorkload
from benchmarks.results import Sample
from benchmarks.serving import HOST, Server

KIB = 1 << 10
MIB = 1 << 20
IDLE_CONNECTIONS = 4000
DESCRIPTORS_NEEDED = IDLE_CONNECTIONS + 200
SLOW_SECONDS = 4.0
SAMPLE_SECONDS = 0.05
TIMEOUT_SECONDS = 10.0
WARM_UP_CHECKS = 50

# The slow reader reads about 1 MiB of the response in total.
READ_OCTETS = 16 * KIB
RECEIVE_BUFFER_OCTETS = 64 * KIB

OFFERED = b"u" * 64 * KIB


def measure(server: Server, workload: HTTPWorkload) -> Sample:
    """Measure a workload of memory on a server that has just started.

    Raises:
        WrongAnswerError: the server closed connections, or did not take the request.
    """
    for _ in range(WARM_UP_CHECKS):
        check(server.port, HELLO)
    figure = MEASURES[workload.name](server, workload)
    resident = server.resident_octets() / MIB
    return Sample(figure, per_second=None, resident_mib=resident)


def idle(server: Server, workload: HTTPWorkload) -> float:
    """Return KiB of resident memory per connection, after one request on each of them."""
    request = _head(workload)
    before = server.resident_octets()
    with ExitStack() as stack:
        connections = []
        for _ in range(IDLE_CONNECTIONS):
            connection = stack.enter_context(_connect(server.port))
            connection.sendall(request)
            _read_until(connection, workload.answer)
            connections.append(connection)
        grown = server.resident_octets() - before
        closed = sum(map(_is_closed, connections))
    if closed:
        raise WrongAnswerError(f"{closed} of {IDLE_CONNECTIONS} idle connections were closed")
    return grown / IDLE_CONNECTIONS / KIB


def slow_reader(server: Server, workload: HTTPWorkload) -> float:
    """Return MiB of growth while a client reads little of a response of 1 GB."""
    before = server.resident_octets()
    most = before
    with _connect(server.port, RECEIVE_BUFFER_OCTETS) as connection:
        connection.sendall(_head(workload))
        _expect_ok(connection.recv(READ_OCTETS))
        deadline = time.monotonic() + SLOW_SECONDS
        while time.monotonic() < deadline:
            if not connection.recv(READ_OCTETS):
                raise WrongAnswerError("closed before the end of the response")
            most = max(most, server.resident_octets())
            time.sleep(SAMPLE_SECONDS)
    return (most - before) / MIB


def slow_application(server: Server, workload: HTTPWorkload) -> float:
    """Return MiB of growth while a client offers 1 GB to an application that reads slowly."""
    before = server.resident_octets()
    most = before
    with _connect(server.port) as connection:
        connection.sendall(_head(workload, content_length=GIGABYTE))
        offer = _Offer(connection)
        deadline = time.monotonic() + SLOW_SECONDS
        while time.monotonic() < deadline:
            offer.send_for(SAMPLE_SECONDS)
            most = max(most, server.resident_octets())
    return (most - before) / MIB


MEASURES: dict[str, Callable[[Server, HTTPWorkload], float]] = {
    "idle": idle,
    "slow-reader": slow_reader,
    "slow-application": slow_application,
}


class _Offer:
    """A request body that is sent as fast as the server reads it, up to its length."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._left = GIGABYTE

    def send_for(self, seconds: float) -> None:
        """Send as much as the server reads within some time.

        Raises:
            WrongAnswerError: the server responded or closed before it had the whole body.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            writers = [self._connection] if self._left else []
            readable, writable, _ = select.select([self._connection], writers, [], left)
            if readable:
                raise WrongAnswerError(f"answered at once: {self._first_line()}")
            if writable:
                self._left -= self._connection.send(OFFERED[: self._left])

    def _first_line(self) -> str:
        return self._connection.recv(READ_OCTETS).partition(b"\r\n")[0].decode("latin-1")


def _connect(port: int, receive_buffer: int | None = None) -> socket.socket:
    connection = socket.socket()
    connection.settimeout(TIMEOUT_SECONDS)
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect((HOST, port))
    return connection


def _head(workload: HTTPWorkload, content_length: int | None = None) -> bytes:
    lines = [f"{workload.method} {workload.target} HTTP/1.1", f"Host: {HOST}"]
    if content_length is not None:
        lines.append(f"Content-Length: {content_length}")
    return "\r\n".join([*lines, "", ""]).encode()


def _read_until(connection: socket.socket, end: bytes) -> None:
    seen = b""
    while not seen.endswith(end):
        octets = connection.recv(READ_OCTETS)
        if not octets:
            raise WrongAnswerError(f"closed after {seen[-40:]!r}")
        seen += octets


def _expect_ok(octets: bytes) -> None:
    if not octets.startswith(b"HTTP/1.1 200"):
        raise WrongAnswerError(f"status: expected 200, got {octets[:40]!r}")


def _is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
