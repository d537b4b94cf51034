"""Clients that ask without a pause and count every answer and every failure."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from typing import Any

from tests.support.peers import get
from tests.support.websocket_opcodes import CLOSE, TEXT
from tests.support.websocket_peer import Peer, frame

TIMEOUT = 20.0


class Load:
    """Clients of each kind in threads, from `with` to its end.

    Args:
        address: where the server listens.
        keeping: clients that keep their connection while the server lets them.
        connecting: clients that take a connection for each request.
        sockets: clients with a WebSocket, which send a message and wait for its echo; they come
            back when the server closes with 1012.

    Attributes:
        answered: requests that were answered well, and messages that were echoed.
        failures: each reason, with how often.
        closed: close codes of WebSockets, with how often.
    """

    def __init__(
        self, address: tuple[str, int], *, keeping: int = 2, connecting: int = 2, sockets: int = 0
    ) -> None:
        self.answered = 0
        self.failures: Counter[str] = Counter()
        self.closed: Counter[int | None] = Counter()
        self._address = address
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=run, daemon=True)
            for number, run in (
                (keeping, self._keep), (connecting, self._connect), (sockets, self._websockets)
            )
            for _ in range(number)
        ]  # fmt: skip

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(2 * TIMEOUT)
            assert not thread.is_alive()

    def _dial(self) -> socket.socket:
        return socket.create_connection(self._address, TIMEOUT)

    def _count(self, error: str = "") -> None:
        with self._lock:
            if error:
                self.failures[error] += 1
            else:
                self.answered += 1

    def _connect(self) -> None:
        while not self._stopping.is_set():
            port = 0
            try:
                with self._dial() as connection:
                    port = connection.getsockname()[1]
                    exchange(connection, b"Connection: close")
                self._count()
            except (OSError, WrongAnswerError) as error:
                self._count(f"a connection of its own, from port {port}: {error!r}")

    def _keep(self) -> None:
        while not self._stopping.is_set():
            number = 0
            try:
                with self._dial() as connection:
                    keeps = True
                    while keeps and not self._stopping.is_set():
                        keeps = exchange(connection)
                        number += 1
                        self._count()
            except (OSError, WrongAnswerError) as error:
                self._count(f"kept connection: {error!r}" + (" at first" if not number else ""))

    def _websockets(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._dial() as connection:
                    self._talk(Peer(connection).open())
            except (OSError, AssertionError) as error:
                self._count(f"WebSocket: {error!r}")

    def _talk(self, peer: Peer) -> None:
        peer.frame()  # the process that serves
        while not self._stopping.is_set():
            peer.sends(frame(TEXT, b"message"))
            received = peer.frame()
            if received is not None and received.opcode == TEXT:
                self._count()
                self._stopping.wait(0.01)
                continue
            code = None if received is None else received.code
            with self._lock:
                self.closed[code] += 1
            if received is not None and received.opcode == CLOSE:
                peer.sends(frame(CLOSE, received.payload))
            return


class WrongAnswerError(Exception):
    """The server has closed without a whole answer, or answered with another status."""


def exchange(connection: socket.socket, *fields: bytes) -> bool:
    """Send one request and read its whole answer; whether the connection stays."""
    connection.sendall(get(b"/", *fields))
    octets = b""
    while True:
        head, found, body = octets.partition(b"\r\n\r\n")
        if found:
            lower = head.lower()
            size = int(lower.partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(body) >= size:
                break
        received = connection.recv(65536)
        if not received:
            raise WrongAnswerError(f"closed after {len(octets)} octets")
        octets += received
    if not head.startswith(b"HTTP/1.1 200 "):
        raise WrongAnswerError(repr(head[:40]))
    return b"connection: close" not in lower
