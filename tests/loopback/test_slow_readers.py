"""Peers that read octet by octet (S35): what is read of a full transport gives no new time."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.support.real_server import DEADLINE, Running

Start = Callable[..., Running]

GET = b"GET %b HTTP/1.1\r\nHost: x\r\n"
HANDSHAKE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
ASKED = {
    "a large body": ("bare:application", GET % b"/large", '"GET /large" 200'),
    "a body without end": ("bare:application", GET % b"/endless", '"GET /endless" 200'),
    "WebSocket messages": (
        "sockets:application", GET % b"/flood?1000" + HANDSHAKE, '"WSDISCONNECT /flood'
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_octet_by_octet(server: Start, name: str) -> None:
    """The connection is cut after --write-timeout, though there is progress all the while."""
    application, request, line = ASKED[name]
    running = server(application, "--write-timeout", "1", expects_traceback=True)
    connection = running.connect()
    connection.sendall(request + b"\r\n")
    deadline = time.monotonic() + DEADLINE
    while line not in running.log:
        assert time.monotonic() < deadline, running.log
        assert connection.recv(1)
        time.sleep(0.2)
    with pytest.raises(ConnectionResetError):
        list(iter(lambda: connection.recv(1 << 20), b""))
