"""Uploads or downloads a large body over TLS; measures processor time and memory."""

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
"""Time limit of a transfer; slower contenders are excluded."""
OFFERED = b"u" * (64 << 10)
READ_OCTETS = 256 << 10
END_OF_HEAD = b"\r\n\r\n"

T = TypeVar("T")


def measure(server: Server, workload: TLSWorkload, megabytes: int, core: int) -> Sample:
    """Measure one transfer on a server that has just started.

    Args:
        server: the server; it gets small requests first, so that its memory is as usual.
        workload: an upload or a download.
        megabytes: length of the body.
        core: the client's core.
    Raises:
        WrongAnswerError: the body was incomplete or too slow.
        OSError: the server did not respond.
    """
    for _ in range(WARM_UP_CHECKS):
        check(server, workload)
    with bound_to(core), client.connect(server, client.context(server)) as connection:
        transfer = Transfer(server, connection)
        act = transfer.upload if workload.exercise is Exercise.UPLOAD else transfer.download
        cpu, own, started = server.cpu_seconds(), time.process_time(), time.perf_counter()
        act(workload.target, megabytes * MEGABYTE)
        transfer.sample()
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
    """Run on one core while the context lasts, so that the server has its own core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


class Transfer:
    """A connection; it samples the server's memory every :data:`SAMPLE_SECONDS`."""

    def __init__(self, server: Server, connection: ssl.SSLSocket) -> None:
        self._server = server
        self._connection = connection
        # No wait is longer than the time between two samples.
        connection.settimeout(SAMPLE_SECONDS)
        self._before = self._most = server.resident_octets()
        self._deadline = time.monotonic() + TIMEOUT_SECONDS
        self._next_sample = 0.0
        self._moved = 0

    @property
    def growth_octets(self) -> int:
        """The maximum of the resident memory minus its value before."""
        return self._most - self._before

    def sample(self) -> None:
        """Sample the server's memory."""
        self._most = max(self._most, self._server.resident_octets())

    def upload(self, target: str, octets: int) -> None:
        """Send a body, and compare the length that the application counted."""
        self._send(_head(target, octets))
        while self._moved < octets:
            piece = OFFERED[: octets - self._moved]
            self._moved += self._repeat(partial(self._connection.send, piece))
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
            count = self._repeat(partial(self._connection.recv_into, room))
            if not count:
                raise WrongAnswerError(f"closed after {self._moved} of {octets} octets")
            self._moved += count

    def _send(self, octets: bytes) -> None:
        self._repeat(partial(self._connection.sendall, octets))

    def _answer(self, least: int) -> tuple[int, bytes]:
        """Read a head; return the body's length, and the part of the body that came with it."""
        octets = b""
        while len(octets.partition(END_OF_HEAD)[2]) < least:
            read = self._repeat(partial(self._connection.recv, READ_OCTETS))
            if not read:
                raise WrongAnswerError(f"closed after {octets[:40]!r}")
            octets += read
        head, _, body = octets.partition(END_OF_HEAD)
        status, *lines = head.decode("latin-1").lower().split("\r\n")
        if not status.startswith("http/1.1 200"):
            raise WrongAnswerError(f"status: expected 200, got {status}")
        fields = dict(line.split(":", 1) for line in lines)
        return int(fields.get("content-length", -1)), body

    def _repeat(self, act: Callable[[], T]) -> T:
        """Repeat a call until it succeeds, and sample the server's memory meanwhile.

        Raises:
            WrongAnswerError: the time of the transfer is over.
        """
        while True:
            now = time.monotonic()
            if now >= self._next_sample:
                self.sample()
                self._next_sample = time.monotonic() + SAMPLE_SECONDS
            if now > self._deadline:
                done = self._moved // MEGABYTE
                raise WrongAnswerError(f"{done} MB came through within {TIMEOUT_SECONDS:g} s")
            try:
                return act()
            except TimeoutError:
                continue


def _head(target: str, length: int) -> bytes:
    return f"POST {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\n\r\n".encode()
