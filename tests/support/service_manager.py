"""systemd's end of its notification socket."""

from __future__ import annotations

import socket
import time
from pathlib import Path

DEADLINE = 30.0


class ServiceManager:
    """The socket that systemd reads.

    Args:
        path: of the socket; None for an abstract one.

    Attributes:
        address: value of NOTIFY_SOCKET.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("" if path is None else str(path))  # "" has the kernel choose a name
        name = self._socket.getsockname()
        self.address = name if isinstance(name, str) else "@" + name[1:].decode()

    def received(self) -> list[list[str]]:
        """The assignments of each datagram that has come since the last call."""
        self._socket.setblocking(False)
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return found

    def wait_for(self, assignment: str) -> list[list[str]]:
        """All datagrams up to the first one with this assignment."""
        deadline = time.monotonic() + DEADLINE
        found: list[list[str]] = []
        while not found or assignment not in found[-1]:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                found.append(self._socket.recv(4096).decode().split("\n"))
            except TimeoutError:
                raise AssertionError(f"no {assignment} among {found}") from None
        return found

    def wait_for_silence(self, seconds: float) -> int:
        """The number of datagrams before none has come for so long."""
        deadline = time.monotonic() + DEADLINE
        self._socket.settimeout(seconds)
        number = 0
        while time.monotonic() < deadline:
            try:
                self._socket.recv(4096)
            except TimeoutError:
                return number
            number += 1
        raise AssertionError("there was no such silence")

    def close(self) -> None:
        self._socket.close()
