"""docs/howto/{nginx,haproxy,apache,caddy}.rst: each configuration with the real proxy in front."""

from __future__ import annotations

import json
import os
import re
import socket
import time
import zlib
from collections.abc import Iterator

import pytest
from websockets.sync.client import connect

from daphne_like.options import size
from tests.support import needed
from tests.support.fronts import CLIENT, FRONTS, HOST, Front, NginxBelowPath, NginxWholePath
from tests.support.real_server import DEADLINE

UPLOAD_SIZE = size(os.environ.get("UPLOAD_SIZE", "48M"))
"""Octets of the upload; UPLOAD_SIZE=1G for a long one."""
SLOWEST = 8 << 20
"""Octets per second of the slowest upload that passes."""
PART = bytes(range(256)) * 4096


@pytest.fixture(
    scope="module",
    params=[(kind, over) for kind in FRONTS for over in ("unix", "tcp")],
    ids=lambda param: f"{param[0].__name__}-{param[1]}",
)
def front(request: pytest.FixtureRequest) -> Iterator[Front]:
    """A proxy in front of a server."""
    kind, over = request.param
    started = kind(over)
    yield started
    started.close()
    assert "Traceback" not in started.running.log
    assert started.running.process.returncode == 0


def test_scope(front: Front) -> None:
    """S30, S31: the client, the scheme and Host as they are, whatever the client claims."""
    told = front.ask(
        "/a%20b", **{
            "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "6",
            "X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil",
            "Daphne-Root-Path": "/evil", "Forwarded": "for=6.6.6.6", "X-Request-Start": "t=1",
        },
    )  # fmt: skip
    assert told["client"] == [CLIENT, 0]
    assert (told["scheme"], told["headers"]["host"]) == ("http", HOST)
    assert (told["root_path"], told["path"]) == ("", "/a b")
    assert told["http_version"] == front.http_version
    assert 0 <= told["queue_time"] < 5


def test_connections_are_kept(front: Front) -> None:
    """Three clients with ten requests each need few connections to the server."""
    before = front.ask("/")["connections"]
    for _ in range(3):
        client = front.client()
        for _ in range(10):
            after = front.ask("/", client)["connections"]
        client.close()
    assert after - before < 12  # HAProxy's health checks are among them


def test_websocket(front: Front) -> None:
    """A WebSocket, with its scope, large messages and close codes both ways."""
    with connect(f"ws://{HOST}/chat", sock=front.dial(), proxy=None, max_size=None) as websocket:
        told = json.loads(websocket.recv(DEADLINE))
        assert (told["scheme"], told["client"], told["path"]) == ("ws", [CLIENT, 0], "/chat")
        assert (told["headers"]["host"], told["http_version"]) == (HOST, front.http_version)
        for message in ("x" * 100_000, bytes(500_000), "", "é"):
            websocket.send(message)
            assert websocket.recv(DEADLINE) == message
        websocket.close(4000, "enough")
    assert websocket.close_code == 4000
    needed.until(lambda: front.ask("/")["left"][-1:] == [4000])


def test_websocket_of_a_client_that_leaves(front: Front) -> None:
    """The application learns of it."""
    before = len(front.ask("/")["left"])
    connection = front.dial()
    with connect(f"ws://{HOST}/", sock=connection, proxy=None) as websocket:
        websocket.recv(DEADLINE)
        connection.shutdown(socket.SHUT_RDWR)
    needed.until(lambda: front.ask("/")["left"][before:] == [1006])


def test_events(front: Front) -> None:
    """An event arrives before the next one is sent; who leaves, ends the stream."""
    before = len(front.ask("/")["left"])
    connection = front.dial()
    connection.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    received = b""
    for number in (b"1", b"2"):
        while b"data: " + number not in received:
            octets = connection.recv(65536)
            assert octets
            received += octets
        if number == b"1":
            assert b"data: 2" not in received
            front.ask("/go")
    connection.close()
    needed.until(lambda: front.ask("/")["left"][before:] == ["/events"])


def test_client_that_leaves(front: Front) -> None:
    """A request whose client has left before the response is ended."""
    if not front.notices:
        pytest.skip("Apache notices it when it writes to the client")
    told = front.ask("/")
    begun, before = len(told["begun"]), len(told["left"])
    connection = front.dial()
    connection.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    needed.until(lambda: front.ask("/")["begun"][begun:] == ["/wait"])
    connection.close()
    needed.until(lambda: front.ask("/")["left"][before:] == ["/wait"])


def test_upload(front: Front) -> None:
    """A large body arrives whole, at a decent rate."""
    checksum = 0
    parts = UPLOAD_SIZE // len(PART)
    for _ in range(parts):
        checksum = zlib.crc32(PART, checksum)
    started = time.monotonic()
    client = front.client()
    client.putrequest("POST", "/upload")
    client.putheader("Content-Length", str(parts * len(PART)))
    client.endheaders()
    for _ in range(parts):
        client.send(PART)
    answer = client.getresponse()
    assert (answer.status, json.loads(answer.read())) == (200, [parts * len(PART), checksum])
    seconds = time.monotonic() - started
    print(f"{parts * len(PART) / seconds / 1e6:.0f} MB/s")
    assert seconds < DEADLINE + UPLOAD_SIZE / SLOWEST


def test_chunked_upload(front: Front) -> None:
    """A body without Content-Length."""
    client = front.client()
    client.request("POST", "/upload", iter([PART, b"x"]), encode_chunked=True,
                   headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    answer = client.getresponse()
    assert json.loads(answer.read()) == [len(PART) + 1, zlib.crc32(PART + b"x")]


def test_continue(front: Front) -> None:
    """Expect: 100-continue: the client is told to send its body."""
    connection = front.dial()
    connection.sendall(
        b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
        b"Connection: close\r\n\r\n"
    )
    received = b""
    while b"\r\n\r\n" not in received:
        octets = connection.recv(65536)
        assert octets
        received += octets
    assert received.startswith(b"HTTP/1.1 100 ")
    connection.sendall(b"hello")
    while octets := connection.recv(65536):
        received += octets
    # Caddy sends a second 100 (Continue), the one of the server.
    assert re.sub(rb"HTTP/1\.1 100 .*\r\n(.+\r\n)*\r\n", b"", received).startswith(b"HTTP/1.1 200 ")
    assert b"[5, %d]" % zlib.crc32(b"hello") in received


@pytest.mark.parametrize("kind", [NginxBelowPath, NginxWholePath])
def test_below_a_path(kind: type[Front]) -> None:
    """H08: the scope has the whole path, whether nginx removes the prefix or not."""
    front = kind("unix")
    try:
        told = front.ask("/app/app/%C3%A9")
        assert (told["root_path"], told["path"]) == ("/app", "/app/app/é")
        with connect(f"ws://{HOST}/app/chat", sock=front.dial(), proxy=None) as websocket:
            told = json.loads(websocket.recv(DEADLINE))
            assert (told["root_path"], told["path"]) == ("/app", "/app/chat")
    finally:
        front.close()
