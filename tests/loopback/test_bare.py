"""Bare applications over real sockets."""

from __future__ import annotations

import hashlib
import re
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import needed

httpx = needed.module("httpx")

Start = Callable[..., Any]


def read_to_end(connection: socket.socket) -> bytes:
    received = b""
    while True:
        try:
            part = connection.recv(65536)
        except ConnectionResetError:
            return received + b"<reset>"
        if not part:
            return received
        received += part


@pytest.mark.parametrize("application", ["bare:application", "bare:Legacy"])
class TestEverySpecification:
    """ASGI 3, and ASGI 2 through asgiref's adapter (C01, C02)."""

    def test_hello(self, server: Start, application: str) -> None:
        """H20: a small answer."""
        response = httpx.get(server(application).url)
        assert (response.status_code, response.text) == (200, "Hello, world!")
        assert response.headers["content-length"] == "13"
        assert response.headers["server"] == "daphne-like"
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", response.headers["date"])

    def test_upload(self, server: Start, application: str) -> None:
        """H17, H18: 8 MB with Content-Length and in chunks, octet for octet."""
        running = server(application)
        octets = bytes(range(251)) * 32000
        expected = f"{len(octets)} {hashlib.sha256(octets).hexdigest()}"
        with httpx.Client(base_url=running.url) as client:
            assert client.post("/upload", content=octets).text == expected
            parts = (octets[start : start + 70000] for start in range(0, len(octets), 70000))
            assert client.post("/upload", content=parts).text == expected
            assert client.get("/").text == "Hello, world!"

    def test_large_answer(self, server: Start, application: str) -> None:
        """16 MB in one `send`, octet for octet, and the connection is kept."""
        running = server(application)
        with httpx.Client(base_url=running.url) as client:
            assert client.get("/large").content == bytes(range(256)) * 65536
            assert client.head("/large").headers["content-length"] == str(256 * 65536)
            assert client.get("/clock").text == "0\n1\n2\n"


class TestPace:
    """Back-pressure in both directions (C09, K4)."""

    def test_peer_that_does_not_read(self, server: Start) -> None:
        """C09: what is sent to one stays bounded; when it goes, `send` raises an OSError (H30)."""
        running = server("bare:application")
        connection = running.connect()
        connection.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(1)
        sizes = [0, 1]
        with httpx.Client(base_url=running.url) as client:

            def settled() -> bool:
                sizes.append(client.get("/seen").json()["sent"])
                return sizes[-1] == sizes[-2] == sizes[-3]

            needed.until(settled)
            assert sizes[-1] < 32_000_000
            connection.close()
            seen = needed.until(lambda: client.get("/seen").json().get("endless"))
        assert seen == "ConnectionClosed"

    def test_first_part_comes_at_once(self, server: Start) -> None:
        """H25: a part does not wait for the next."""
        running = server("bare:application")
        started = time.monotonic()
        with httpx.stream("GET", running.url + "/clock") as response:
            arrivals = [time.monotonic() - started for _ in response.iter_raw()]
        assert len(arrivals) == 3
        assert arrivals[2] - arrivals[0] >= 0.08


class TestDisconnect:
    """ASGI HTTP, "Disconnect - receive event"."""

    @pytest.mark.parametrize("how", ["fin", "close"])
    def test_waiting_in_receive(self, server: Start, how: str) -> None:
        """H28: a long poll learns of the peer's FIN, and of its end."""
        running = server("bare:application")
        connection = running.connect()
        connection.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        with httpx.Client(base_url=running.url) as client:
            needed.until(lambda: client.get("/seen").json().get("wait"))
            if how == "fin":
                connection.shutdown(socket.SHUT_WR)
            else:
                connection.close()
            needed.until(lambda: len(client.get("/seen").json()["wait"]) == 2)
            seen = client.get("/seen").json()["wait"]
        assert seen == ["http.request", "http.disconnect"]


class TestFailing:
    """ASGI, "Applications" (C12, K1)."""

    def test_before_the_head(self, server: Start) -> None:
        """500, nothing of the exception in it, one traceback in the log, and it goes on."""
        running = server("bare:application", expects_traceback=True)
        with httpx.Client(base_url=running.url) as client:
            for path in ("/fail", "/no-length", "/leave", "/fail"):
                response = client.get(path)
                assert (response.status_code, response.text) == (500, "Internal Server Error\n")
            assert client.get("/").status_code == 200
        log = running.stop()
        assert log.count("raised RuntimeError") == 2
        assert log.count("raised SystemExit") == 1
        assert "expected 10 octets as Content-Length says, got 11" in log
        assert "daphne_like/asgi/instance.py" not in log.partition("on purpose")[0]

    def test_after_the_head(self, server: Start) -> None:
        """The peer sees that its answer is not whole."""
        running = server("bare:application", expects_traceback=True)
        connection = running.connect()
        connection.sendall(b"GET /fail-late HTTP/1.1\r\nHost: x\r\n\r\n")
        received = read_to_end(connection)
        assert received.endswith(b"<reset>")
        assert b"0\r\n\r\n" not in received
        assert httpx.get(running.url).status_code == 200
