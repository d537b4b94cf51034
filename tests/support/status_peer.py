"""Peers of a server with `--status`: the one who asks for its status, and the load of its ports."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any, NamedTuple

from tests.support import needed
from tests.support.peers import get
from tests.support.real_server import DEADLINE
from tests.support.websocket_frames import text
from tests.support.websocket_peer import opening


class Response(NamedTuple):
    """A response of the status endpoint."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Status:
    """The status endpoint of a server on a port of 127.0.0.1.

    Args:
        port: the port.
        headers: sent with each request.
    """

    def __init__(self, port: int, **headers: str) -> None:
        self.port = port
        self._headers = headers

    @property
    def option(self) -> list[str]:
        """The option of the server."""
        return ["--status", f"tcp:{self.port}:interface=127.0.0.1"]

    def ask(self, path: str, method: str = "GET", **headers: str) -> Response:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.request(method, path, headers={**self._headers, **headers})
            response = connection.getresponse()
            return Response(response.status, response.headers, response.read())
        finally:
            connection.close()

    def present(self) -> Any:
        """/status.json."""
        return self.ask("/status.json").json

    def rows(self, match: str = "") -> list[Any]:
        """Rows of /instances.json; the text must not need escapes."""
        rows: list[Any] = self.ask(f"/instances.json?match={match}").json["rows"]
        return rows

    def act(self, action: str) -> int:
        """POST an action; the status of the response."""
        return self.ask(f"/{action}", "POST", **{"X-Daphne-Like-Action": action}).status

    def until_ready(self) -> None:
        """Wait for 200 from /readyz."""

        def ready() -> bool:
            try:
                return self.ask("/readyz").status == 200
            except OSError:
                return False

        needed.until(ready, DEADLINE)


def open_websocket(port: int, path: bytes, *messages: str) -> socket.socket:
    """A WebSocket that has sent messages; its end is the test's."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
    connection.sendall(opening(path))
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(4096)
    connection.sendall(b"".join(map(text, messages)))
    return connection


def send_request(port: int, path: bytes) -> socket.socket:
    """A request whose response nobody reads."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
    connection.sendall(get(path))
    return connection
