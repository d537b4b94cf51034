"""The real command in a subprocess, on a free port."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.support.peers import get, read_answers

PROJECTS = Path(__file__).parent.parent / "projects"
DEADLINE = 30.0
URL = re.compile(r"https?://([^/\s]+?):(\d+)/")
TRACEBACK = "Traceback (most recent call last)"
COMMAND = (sys.executable, "-m", "daphne_like")
SCRIPT = (
    "import runpy, sys; sys.modules['uvloop'] = None; "
    "runpy.run_module('daphne_like', run_name='__main__', alter_sys=True)"
)
WITHOUT_UVLOOP = (sys.executable, "-c", SCRIPT)
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
TWIST = (sys.executable, "-m", "twisted")


class Running:
    """A `daphne-like` process, or that of another program that serves.

    Args:
        arguments: of the command.
        program: what is run, in front of the arguments.
        cwd: where; tests/projects when left out.
        environment: more of it.
        expects_traceback: its log may hold one.
        how: arguments of Popen.

    Attributes:
        url, host, port: where it listens, without the last slash.
    """

    is_command = False
    _is_over = False

    def __init__(
        self,
        *arguments: str,
        program: Sequence[str] = COMMAND,
        cwd: Path | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
        expects_traceback: bool = False,
        **how: Any,
    ) -> None:
        self.expects_traceback = expects_traceback
        self.is_command = program == COMMAND
        self.url = self.host = ""
        self.port = 0
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [*program, *arguments],
            cwd=cwd or PROJECTS,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **how,
        )
        self._connections: list[socket.socket] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    @property
    def log(self) -> str:
        """Standard output and error so far."""
        return "".join(self._lines)

    def wait_for(self, pattern: str, timeout: float = DEADLINE) -> re.Match[str]:
        """Wait until the log holds a pattern."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                found = re.search(pattern, self.log)
                if found is not None:
                    return found
                left = deadline - time.monotonic()
                if self._is_over or left <= 0 or not self._changed.wait(left):
                    raise AssertionError(f"no {pattern!r} in the log:\n{self.log}")

    def wait_until_ready(self) -> Running:
        """Wait for the banner."""
        found = self.wait_for(URL.pattern)
        self.host, self.port = found[1], int(found[2])
        self.url = found[0].rstrip("/")
        return self

    def connect(self) -> socket.socket:
        """A raw connection, closed with the test."""
        connection = socket.create_connection((self.host, self.port), timeout=DEADLINE)
        self._connections.append(connection)
        return connection

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def ended(self, timeout: float = DEADLINE) -> int:
        """Wait for the end and the last of the log; the exit status."""
        status = self.process.wait(timeout)
        self._reader.join(timeout)
        return status

    def stop(self) -> str:
        """End the process, by force if it must be; its log."""
        if self.process.poll() is None:
            # The command stops quickly on Ctrl-C; other programs may not expect it.
            self.signal(signal.SIGINT if self.is_command else signal.SIGTERM)
            try:
                self.ended()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.ended()
        for connection in self._connections:
            connection.close()
        self._reader.join(DEADLINE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.log


def fetched(port: int, path: str = "/hello", host: str = "127.0.0.1") -> bytes:
    """GET, on a connection of its own: the whole answer."""
    with socket.create_connection((host, port), timeout=DEADLINE) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


def rest(connection: socket.socket) -> bytes:
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionResetError:
        received += b"<reset>"
    return received


class OnStockReactor(Running):
    """The server in a program that runs on Twisted's own asyncio reactor."""

    def __init__(self, endpoint: str, application: str) -> None:
        # The command cannot be had on another reactor than ours, so the process is another one.
        self.expects_traceback = False
        self.url = self.host = ""
        self.port = 0
        self._lines = []
        self._changed = threading.Condition()
        self._connections = []
        self.process = subprocess.Popen(
            [sys.executable, "on_stock_reactor.py", endpoint, application],
            cwd=PROJECTS,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()


def on_native_reactor(endpoint: str, application: str) -> Running:
    """The command."""
    return Running("-e", endpoint, application)


REACTORS: dict[str, Any] = {"native": on_native_reactor, "stock": OnStockReactor}


def answer(connection: socket.socket) -> bytes:
    """The body of an answer to GET /."""
    received = b""
    with connection:
        connection.settimeout(DEADLINE)
        connection.sendall(get(b"/", b"Connection: close"))
        while octets := connection.recv(65536):
            received += octets
    return read_answers(received)[0].body


def ipv6() -> bool:
    """Whether this machine has the IPv6 loopback address."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False
