"""A real server and real sockets: answers that a peer can read while it still sends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.http.lingering import LINGER_SECONDS
from tests.support.peers import Answer, chunked, get, post, read_answers

Start = Callable[..., Any]

APPLICATION = "reading:application"
FIVE_MEGABYTES = bytes(5_000_000)


def read_to_the_end(connection: socket.socket) -> bytes:
    """All that comes; a reset on the way is a failure."""
    parts = []
    with connection:
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def send_all_then_read(connection: socket.socket, *data: bytes) -> list[Answer]:
    """Send everything before the first octet is read, as simple clients do."""
    for part in data:
        connection.sendall(part)
    sent = time.monotonic()
    received = read_to_the_end(connection)
    assert time.monotonic() - sent < LINGER_SECONDS - 0.1, "the end came with the last deadline"
    return read_answers(received)


class TestLingering:
    """RFC 9112, 9.6: no RST while the peer still sends."""

    @pytest.mark.parametrize(
        ("head", "status"),
        [
            (post(b"", size=len(FIVE_MEGABYTES)), 413),
            (chunked(end=False) + b"4c4b40\r\n", 413),
            (b"GET / HTTP/1.1\r\nHost: x\r\nX: ", 431),
            (b"GET /", 414),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
        ],
    )
    def test_refused(self, server: Start, head: bytes, status: int) -> None:
        """A peer that sends 5 MB first and reads then gets the whole refusal, and an end."""
        running = server(APPLICATION, "--max-body-size", "1000")
        body = FIVE_MEGABYTES.replace(b"\0", b"a") if status in (414, 431) else FIVE_MEGABYTES
        (answer,) = send_all_then_read(running.connect(), head, body)
        assert (answer.status, answer.closes) == (status, True)

    def test_slow_sender(self, server: Start) -> None:
        """One that needs longer than a moment for it is waited for."""
        running = server(APPLICATION, "--max-body-size", "1000")
        connection = running.connect()
        connection.sendall(post(b"", size=len(FIVE_MEGABYTES)))
        for start in range(0, len(FIVE_MEGABYTES), 500_000):
            connection.sendall(FIVE_MEGABYTES[start : start + 500_000])
            time.sleep(0.4)
        (answer,) = read_answers(read_to_the_end(connection))
        assert answer.status == 413

    def test_too_many_connections(self, server: Start) -> None:
        """A connection that is refused may send its request all the same."""
        running = server(APPLICATION, "--max-connections", "1")
        first = running.connect()
        first.sendall(get(b"/1"))
        assert first.recv(1000).startswith(b"HTTP/1.1 200 ")
        (answer,) = send_all_then_read(running.connect(), post(FIVE_MEGABYTES))
        assert answer.status == 503
        assert answer.fields[b"retry-after"] == b"1"
        first.sendall(get(b"/2"))
        assert first.recv(1000).endswith(b"/2 0")


class TestSlow:
    """S35: deadlines are absolute."""

    def test_slowloris(self, server: Start) -> None:
        """A head that comes octet by octet ends at its deadline; others are served meanwhile."""
        running = server(APPLICATION, "--header-timeout", "2")
        slow = running.connect()
        slow.settimeout(0.2)
        started = time.monotonic()
        answer = b""
        while not answer and time.monotonic() - started < 20:
            slow.sendall(b"G" if time.monotonic() == started else b"\r\n")
            try:
                answer = slow.recv(1000)
            except TimeoutError:
                other = running.connect()
                other.sendall(get(b"/", b"Connection: close"))
                assert read_to_the_end(other).endswith(b"/ 0")
        assert 1.5 < time.monotonic() - started < 5
        assert read_answers(answer)[0].status == 408


class TestPipelining:
    """S09: pipelined requests are answered in their order."""

    def test_ten_thousand(self, server: Start) -> None:
        """10 000 requests of one connection are answered in order, while it reads and sends."""
        running = server(APPLICATION)
        connection = running.connect()
        count = 10_000
        requests = b"".join(
            get(b"/%d" % n) if n % 3 else post(b"a" * (n % 50), path=b"/%d" % n)
            for n in range(count)
        )
        sender = threading.Thread(target=connection.sendall, args=(requests,))
        sender.start()
        received = bytearray()
        while not received.endswith(b"/%d %d" % (count - 1, (count - 1) % 50)):
            part = connection.recv(1_000_000)
            assert part
            received += part
        sender.join()
        answers = read_answers(bytes(received))
        assert [answer.body for answer in answers] == [
            b"/%d %d" % (n, 0 if n % 3 else n % 50) for n in range(count)
        ]

    def test_sent_first_read_then(self, server: Start) -> None:
        """A peer that sends all of them before it reads anything gets all answers, too."""
        running = server(APPLICATION)
        requests = [get(b"/%d" % n) for n in range(2000)]
        requests.append(get(b"/last", b"Connection: close"))
        answers = send_all_then_read(running.connect(), b"".join(requests))
        assert len(answers) == 2001
        assert answers[-1].body == b"/last 0"
