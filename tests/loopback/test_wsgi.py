"""WSGI applications and clients that leave early, on the real command."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.support import needed
from tests.support.real_server import Running

needed.module("a2wsgi")
needed.module("flask")

TIMES = 10
END = b"\r\n\r\n"


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """Flask, in two threads, with little time for requests whose clients have left."""
    server = Running("-p", "0", "--wsgi-threads", "2", "--application-close-timeout", "1", "flasks")
    try:
        yield server.wait_until_ready()
    finally:
        server.stop()


def ask(running: Running, request: str) -> socket.socket:
    """A connection with a request on it; the last one."""
    connection = running.connect()
    connection.sendall(f"{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    return connection


def read_until(connection: socket.socket, enough: Callable[[bytes], bool]) -> bytes:
    """What comes until it is enough, or the end."""
    received = b""
    while not enough(received) and (data := connection.recv(65536)):
        received += data
    return received


class TestClientsThatLeave:
    """ASGI H28, H30: a client has what it wanted before the application has come to its end."""

    @pytest.mark.parametrize(("method", "size"), [("GET", 13), ("HEAD", 0)])
    def test_every_request_has_its_line(self, running: Running, method: str, size: int) -> None:
        """The client closes as soon as it has Content-Length octets; its request is logged."""
        for number in range(TIMES):
            with ask(running, f"{method} /?{method}{number}") as connection:
                answer = read_until(
                    connection, lambda got: END in got and len(got.partition(END)[2]) >= size
                )
            assert answer.startswith(b"HTTP/1.1 200 ")
        for number in range(TIMES):
            running.wait_for(rf'"{method} /\?{method}{number}" 200 {size} ')

    def test_half_closed(self, running: Running) -> None:
        """Who closes its own side behind its request still has the answer."""
        for _ in range(TIMES):
            connection = ask(running, "GET /stream")
            connection.shutdown(socket.SHUT_WR)
            answer = read_until(connection, lambda _: False)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.endswith(b"\r\n0\r\n\r\n")

    def test_threads_come_back(self, running: Running) -> None:
        """Endless responses end with their clients, and others have the threads again."""
        for _ in range(4):
            with ask(running, "GET /flood") as connection:
                assert connection.recv(1000)
        with ask(running, "GET /") as connection:
            assert b"Hello, world!" in read_until(connection, lambda _: False)
