"""uvicorn and gunicorn as processes beside ours, with the same application and the same client."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.support import needed
from tests.support.real_server import DEADLINE, PROJECTS

APPLICATION = "migrated:application"
OURS = (sys.executable, "-m", "daphne_like")
LISTENS = re.compile(
    r"(?:running on|serves .* at|Listening at:) (?:https?://[^:\s]+:(\d+)|unix:(\S+?)(?:[,\s]|$))"
)


def program(name: str) -> tuple[str, ...]:
    """The command of a server."""
    if name == "ours":
        return OURS
    needed.module(name)
    found = shutil.which(name, path=os.path.dirname(sys.executable)) or name
    return (found, "-k", "asgi", "--no-control-socket") if name == "gunicorn" else (found,)


class Served:
    """A server that serves migrated.py, or another application.

    Args:
        name: "ours", "uvicorn" or "gunicorn".
        arguments: of its command.
        environment: more variables.
        application: the application's name, or "" if an argument names it.
        unix: path of its UNIX socket; it listens on TCP without one.
        tls: context of the client.
        descriptors: descriptors that it inherits.
        cwd: its directory.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] = MappingProxyType({}),
        application: str = APPLICATION,
        unix: str = "",
        tls: ssl.SSLContext | None = None,
        descriptors: Sequence[int] = (),
        cwd: Path = PROJECTS,
    ) -> None:
        self.name = name
        self._unix = unix
        self.tls = tls
        self._lines: list[str] = []
        self.process = subprocess.Popen(
            [*program(name), *arguments, application],
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=descriptors,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = 0

    def _read(self) -> None:
        assert self.process.stdout is not None
        self._lines.extend(iter(self.process.stdout.readline, ""))

    @property
    def log(self) -> str:
        """Standard output and error so far."""
        return "".join(self._lines)

    def until_it_listens(self) -> None:
        """Wait until a connection is accepted."""
        deadline = time.monotonic() + DEADLINE
        while True:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.name} does not listen:\n{self.log}")
            if not self._unix and (found := LISTENS.search(self.log)):
                self.port = int(found[1])
            if self._unix or self.port:
                try:
                    self.connect().close()
                except OSError:
                    pass
                else:
                    return
            time.sleep(0.05)

    def connect(self) -> socket.socket:
        """A connection to it."""
        if self._unix:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.settimeout(DEADLINE)
                connection.connect(self._unix)
            except OSError:
                connection.close()
                raise
            return connection
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE)
        if self.tls is not None:
            return self.tls.wrap_socket(connection, server_hostname="localhost")
        return connection

    def ask(self, path: str = "/", *fields: str) -> tuple[str, dict[str, Any]]:
        """GET: the head of the answer, and what the application tells."""
        with self.connect() as connection:
            lines = (
                f"GET {path} HTTP/1.1",
                "Host: localhost",
                "Connection: close",
                *fields,
                "",
                "",
            )
            connection.sendall("\r\n".join(lines).encode())
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = received.decode("latin-1").partition("\r\n\r\n")
        start, end = body.find("{"), body.rfind("}")
        return head, json.loads(body[start : end + 1]) if 0 <= start < end else {}

    def pids(self, wanted: int) -> set[int]:
        """The processes that answer, when that many have; fewer at the deadline."""
        deadline, found = time.monotonic() + DEADLINE, set[int]()
        while len(found) < wanted and time.monotonic() < deadline:
            found.add(self.ask()[1]["pid"])
        return found

    def until_another_answers(self, before: set[int]) -> None:
        """Ask until another process answers."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if self.ask()[1]["pid"] not in before:
                return
        raise AssertionError(f"{self.name} does not replace {before}:\n{self.log}")

    def stop(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        assert self.process.stdout is not None
        self.process.stdout.close()
