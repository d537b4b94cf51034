"""Clients that ask without a pause and count every answer and every failure."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, StreamEnded, StreamReset

from tests.support.peers import get
from tests.support.websocket_opcodes import CLOSE, PING, PONG, TEXT
from tests.support.websocket_peer import Peer, frame

TIMEOUT = 20.0
STREAMS = 4
REQUEST = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/")]


class Load:
    """Clients of each kind in threads, from `with` to its end.

    Args:
        address: where the server listens.
        keeping: clients that keep their connection while the server lets them.
        connecting: clients that take a connection for each request.
        streams: clients on HTTP/2, each with four streams at the same time; a stream that GOAWAY
            names as not processed is no failure (RFC 9113, 6.8).
        sockets: clients with a WebSocket, which send a message and wait for its echo; they come
            back when the server closes with 1012.

    Attributes:
        answered: requests that were answered well, and messages that were echoed.
        failures: each reason, with how often.
        closed: close codes of WebSockets, with how often.
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        keeping: int = 2,
        connecting: int = 2,
        streams: int = 0,
        sockets: int = 0,
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
                (keeping, self._keep), (connecting, self._connect), (streams, self._http2),
                (sockets, self._websockets),
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

    def _http2(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._dial() as connection:
                    self._multiplex(connection)
            except (OSError, WrongAnswerError) as error:
                self._count(f"HTTP/2: {error!r}")

    def _multiplex(self, connection: socket.socket) -> None:
        """Keep streams open until the server says GOAWAY; all that it processes must end well."""
        peer = H2Connection(H2Configuration(header_encoding="utf-8"))
        peer.initiate_connection()
        waiting: set[int] = set()
        buffer = bytearray()
        last = None
        while last is None or waiting:
            while last is None and len(waiting) < STREAMS and not self._stopping.is_set():
                stream = peer.get_next_available_stream_id()
                peer.send_headers(stream, REQUEST, end_stream=True)
                waiting.add(stream)
            connection.sendall(peer.data_to_send())
            if not waiting:
                return
            octets = connection.recv(65536)
            if not octets:
                raise WrongAnswerError(f"closed with {len(waiting)} open streams")
            buffer += octets
            for event in receive_frames(peer, buffer):
                if isinstance(event, DataReceived):
                    peer.increment_flow_control_window(max(1, event.flow_controlled_length))
                elif isinstance(event, StreamEnded):
                    waiting.discard(event.stream_id)
                    self._count()
                elif isinstance(event, StreamReset):
                    waiting.discard(event.stream_id)
                    self._count(f"HTTP/2: reset with {event.error_code}")
                elif isinstance(event, ConnectionTerminated):
                    last = event.last_stream_id or 0
                    waiting = {stream for stream in waiting if stream <= last}

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
            while received is not None and received.opcode == PING:
                peer.sends(frame(PONG, received.payload))
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


def receive_frames(peer: H2Connection, buffer: bytearray) -> Iterator[Event]:
    """Take whole frames from the buffer; h2 takes none after GOAWAY, although streams go on."""
    while len(buffer) >= 9 and len(buffer) >= (size := 9 + int.from_bytes(buffer[:3], "big")):
        octets = bytes(buffer[:size])
        del buffer[:size]
        yield from peer.receive_data(octets)
        peer.state_machine.state = ConnectionState.CLIENT_OPEN


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
