"""A large body over TLS, one way or the other: its processor time, and the memory it takes."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from benchmarks.checks import WrongAnswerError
from benchmarks.memory import MIB, SAMPLE_SECONDS, WARM_UP_CHECKS
from benchmarks.results import Sample
from benchmarks.serving import HOST, Server
from benchmarks.tls import client
from benchmarks.tls.checks import check
from benchmarks.tls.workloads import Exercise, TLSWorkload

MEGABYTE = 1_000_000
TIMEOUT_SECONDS = 60.0
"""For the whole transfer; who needs longer is out."""
OFFERED = b"u" * (64 << 10)
READ_OCTETS = 256 << 10
END_OF_HEAD = b"\r\n\r\n"

T = TypeVar("T")


def measure(server: Server, workload: TLSWorkload, megabytes: int, core: int) -> Sample:
    """Measure one transfer on a server that has just started.

    Args:
        server: it is sent small requests first, so that it has its usual memory.
        workload: of an upload or a download.
        megabytes: length of the body.
        core: which the client is bound to.
    Raises:
        WrongAnswerError: the body did not come whole, or not in time.
        OSError: the server did not answer.
    """
    for _ in range(WARM_UP_CHECKS):
        check(server, workload)
    with bound_to(core), client.connect(server, client.context(server)) as connection:
        transfer = Transfer(server, connection)
        act = transfer.upload if workload.exercise is Exercise.UPLOAD else transfer.download
        cpu, own, started = server.cpu_seconds(), time.process_time(), time.perf_counter()
        act(workload.target, megabytes * MEGABYTE)
        transfer.look()
        seconds = time.perf_counter() - started
        used = server.cpu_seconds() - cpu
        load = time.process_time() - own
    return Sample(
        figure=used * 1e6 / megabytes,
        per_second=megabytes / seconds,
        resident_mib=server.resident_octets() / MIB,
        server_busy=used / seconds,
        load_busy=load / seconds,
        growth_mib=transfer.growth_octets / MIB,
    )


@contextmanager
def bound_to(core: int) -> Iterator[None]:
    """Run on one core within the context, so that the server has its own."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


class Transfer:
    """A connection, and a look at the server's memory every :data:`SAMPLE_SECONDS`."""

    def __init__(self, server: Server, connection: ssl.SSLSocket) -> None:
        self._server = server
        self._connection = connection
        # No wait is longer than the time from one look to the next.
        connection.settimeout(SAMPLE_SECONDS)
        self._before = self._most = server.resident_octets()
        self._deadline = time.monotonic() + TIMEOUT_SECONDS
        self._next_look = 0.0
        self._moved = 0

    @property
    def growth_octets(self) -> int:
        """The most resident memory seen, above what it was before."""
        return self._most - self._before

    def look(self) -> None:
        """Look at the server's memory."""
        self._most = max(self._most, self._server.resident_octets())

    def upload(self, target: str, octets: int) -> None:
        """Send a body, and compare the length that the application counted."""
        self._send(_head(target, octets))
        while self._moved < octets:
            piece = OFFERED[: octets - self._moved]
            self._moved += self._patiently(partial(self._connection.send, piece))
        _, answer = self._answer(len(b"%d" % octets))
        if answer != b"%d" % octets:
            raise WrongAnswerError(f"octets counted: expected {octets}, got {answer!r}")

    def download(self, target: str, octets: int) -> None:
        """Ask for a body, and compare its length."""
        wanted = b"%d" % octets
        self._send(_head(target, len(wanted)) + wanted)
        length, body = self._answer(1)
        if length != octets:
            raise WrongAnswerError(f"Content-Length: expected {octets}, got {length}")
        self._moved = len(body)
        room = bytearray(READ_OCTETS)
        while self._moved < octets:
            count = self._patiently(partial(self._connection.recv_into, room))
            if not count:
                raise WrongAnswerError(f"closed after {self._moved} of {octets} octets")
            self._moved += count

    def _send(self, octets: bytes) -> None:
        self._patiently(partial(self._connection.sendall, octets))

    def _answer(self, least: int) -> tuple[int, bytes]:
        """Read a head and some of the body; return the length told, and what came of the body."""
        octets = b""
        while len(octets.partition(END_OF_HEAD)[2]) < least:
            read = self._patiently(partial(self._connection.recv, READ_OCTETS))
            if not read:
                raise WrongAnswerError(f"closed after {octets[:40]!r}")
            octets += read
        head, _, body = octets.partition(END_OF_HEAD)
        status, *lines = head.decode("latin-1").lower().split("\r\n")
        if not status.startswith("http/1.1 200"):
            raise WrongAnswerError(f"status: expected 200, got {status}")
        fields = dict(line.split(":", 1) for line in lines)
        return int(fields.get("content-length", -1)), body

    def _patiently(self, act: Callable[[], T]) -> T:
        """Do something, however often it takes, and look at the server meanwhile.

        Raises:
            WrongAnswerError: the transfer's time is over.
        """
        while True:
            now = time.monotonic()
            if now >= self._next_look:
                self.look()
                self._next_look = time.monotonic() + SAMPLE_SECONDS
            if now > self._deadline:
                done = self._moved // MEGABYTE
                raise WrongAnswerError(f"{done} MB came through within {TIMEOUT_SECONDS:g} s")
            try:
                return act()
            except TimeoutError:
                continue


def _head(target: str, length: int) -> bytes:
    return f"POST {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\n\r\n".encode()
