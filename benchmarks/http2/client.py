"""A blocking HTTP/2 client on h2's state machine, one request at a time: for checks."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError

from benchmarks.checks import WrongAnswerError
from benchmarks.serving import HOST

READ_OCTETS = 1 << 16


class Client:
    """An open connection that speaks HTTP/2 from its first octet."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._machine = H2Connection(H2Configuration(client_side=True, header_encoding="latin-1"))
        self._machine.initiate_connection()
        self._events: deque[Event] = deque()

    def exchange(
        self, method: str, target: str, body: bytes = b"", secured: bool = False
    ) -> tuple[int, bytes]:
        """Make a request, and return status and body of the response.

        Raises:
            WrongAnswerError: the server speaks another protocol, or ended stream or connection.
            OSError: the response was too slow.
        """
        number = self._machine.get_next_available_stream_id()
        fields = [
            (":method", method),
            (":scheme", "https" if secured else "http"),
            (":authority", HOST),
            (":path", target),
        ]
        if body:
            fields.append(("content-length", str(len(body))))
        self._machine.send_headers(number, fields, end_stream=not body)
        self._send(number, body)
        status, parts = 0, []
        while not isinstance(event := self._next(), StreamEnded):
            if isinstance(event, ResponseReceived):
                status = int(dict(_text(event.headers))[":status"])
            elif isinstance(event, DataReceived):
                parts.append(event.data)
        return status, b"".join(parts)

    def _send(self, number: int, body: bytes) -> None:
        """Send a body as far and as fast as the server's windows let it."""
        while body:
            room = self._machine.local_flow_control_window(number)
            size = min(room, self._machine.max_outbound_frame_size, len(body))
            if size:
                self._machine.send_data(number, body[:size], end_stream=size == len(body))
                body = body[size:]
            else:
                self._receive()

    def _next(self) -> Event:
        while not self._events:
            self._receive()
        return self._events.popleft()

    def _receive(self) -> None:
        self._connection.sendall(self._machine.data_to_send())
        octets = self._connection.recv(READ_OCTETS)
        if not octets:
            raise WrongAnswerError("closed before the answer")
        try:
            events = self._machine.receive_data(octets)
        except ProtocolError as error:
            raise WrongAnswerError(f"no HTTP/2: {octets[:20]!r}") from error
        for event in events:
            if isinstance(event, (ConnectionTerminated, StreamReset)):
                code = event.error_code
                raise WrongAnswerError(f"{type(event).__name__}: error code {code}")
            if isinstance(event, DataReceived) and event.flow_controlled_length:
                self._machine.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id
                )
            self._events.append(event)


def _text(fields: Iterable[tuple[bytes | str, bytes | str]]) -> Iterable[tuple[str, str]]:
    """Return text from h2, which has decoded it already when an encoding was set."""
    return ((str(name), str(value)) for name, value in fields)
