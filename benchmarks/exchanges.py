"""The exchanges whose instructions are counted, one after another on one connection."""

from __future__ import annotations

import socket
from typing import Protocol

from benchmarks.applications import HELLO_BODY
from benchmarks.checks import WrongAnswerError
from benchmarks.serving import HOST
from benchmarks.websocket import workloads as websocket
from benchmarks.websocket.checks import expect
from benchmarks.websocket.client import Client

TIMEOUT_SECONDS = 60.0
"""A server under callgrind is about fifty times slower."""
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
READ_OCTETS = 1 << 16


class Exchange(Protocol):
    """An open connection; a wrong response raises WrongAnswerError."""

    def make(self) -> None:
        """Send, and wait for the whole response."""

    def close(self) -> None:
        """Close the connection."""


class Hello:
    """A plain GET request and its response."""

    def __init__(self, port: int) -> None:
        self._connection = socket.create_connection((HOST, port), timeout=TIMEOUT_SECONDS)

    def make(self) -> None:
        self._connection.sendall(REQUEST)
        answer = b""
        while not answer.endswith(HELLO_BODY):
            octets = self._connection.recv(READ_OCTETS)
            if not octets:
                raise WrongAnswerError(f"closed after {answer!r}")
            answer += octets

    def close(self) -> None:
        self._connection.close()


class Echo:
    """A WebSocket message of 32 octets, echoed."""

    def __init__(self, port: int) -> None:
        self._client = Client(port, websocket.ECHO.target, deflate=False, timeout=TIMEOUT_SECONDS)

    def make(self) -> None:
        self._client.send(websocket.SHORT)
        expect(self._client, websocket.SHORT)

    def close(self) -> None:
        self._client.disconnect()
