"""The load of handshakes: opens and closes connections as fast as the server can.

It uses sockets under epoll and parses only the end of a head, because a client library would cost
more than the server.
"""

from __future__ import annotations

import select
import socket
import time

from benchmarks.dialogue import Order, Tally, WrongLoadError, finish, ready
from benchmarks.websocket import frames
from benchmarks.websocket.frames import Frame, Opcode
from benchmarks.websocket.workloads import WebSocketWorkload

END_OF_HEAD = b"\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 "
CLOSE_FRAME = bytes([0x80 | Opcode.CLOSE])
READ_OCTETS = 4096
TIMEOUT_SECONDS = 10.0


def run(workload: WebSocketWorkload, order: Order) -> None:
    """Open and close connections for the ordered time.

    Raises:
        WrongLoadError: a server's response was not a handshake.
    """
    load = Handshakes(frames.opening(workload.target, order.port, workload.deflate), order.port)
    ready()
    started, cpu = time.perf_counter(), time.process_time()
    load.run(order.connections, started + order.seconds)
    used = time.process_time() - cpu
    finish(Tally(load.count, time.perf_counter() - started, used))


class Handshakes:
    """Open connections, each replaced by a new one until the time is over."""

    def __init__(self, opening: bytes, port: int) -> None:
        self._opening = opening
        self._close = frames.encoded(Frame(Opcode.CLOSE, frames.NORMAL_CLOSURE))
        self._address = (frames.HOST, port)
        self._epoll = select.epoll()
        self._under_way: dict[int, tuple[socket.socket, bool]] = {}
        """Connections by descriptor, each with a flag: it is open, and its close frame was sent."""
        self.count = 0

    def run(self, connections: int, until: float) -> None:
        """Keep a number of connections open until a time, then complete the last ones."""
        for _ in range(connections):
            self._open()
        while self._under_way:
            ready_now = self._epoll.poll(TIMEOUT_SECONDS)
            if not ready_now:
                raise WrongLoadError(f"{len(self._under_way)} handshakes came to no end")
            ended = sum(self._read(descriptor) for descriptor, _ in ready_now)
            if ended and time.perf_counter() < until:
                for _ in range(ended):
                    self._open()

    def _open(self) -> None:
        connection = socket.socket()
        connection.connect(self._address)
        connection.send(self._opening)
        self._under_way[connection.fileno()] = (connection, False)
        self._epoll.register(connection, select.EPOLLIN)

    def _read(self, descriptor: int) -> bool:
        """Take a step, and tell whether the connection is at its end."""
        connection, closing = self._under_way[descriptor]
        octets = connection.recv(READ_OCTETS)
        if not octets:
            if not closing:
                raise WrongLoadError("closed before the handshake was done")
            self._epoll.unregister(descriptor)
            del self._under_way[descriptor]
            connection.close()
            self.count += 1
            return True
        if closing:
            if not octets.startswith(CLOSE_FRAME):
                raise WrongLoadError(f"expected a close frame, got {octets[:20]!r}")
        elif octets.startswith(SWITCHING) and octets.endswith(END_OF_HEAD):
            connection.send(self._close)
            self._under_way[descriptor] = (connection, True)
        else:
            raise WrongLoadError(f"expected a whole response of 101, got {octets[:40]!r}")
        return False
