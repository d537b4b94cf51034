"""Commands and code that the documentation shows."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = re.compile(r"^    (?:\$ )?(daphne-like .*)$", re.MULTILINE)


def blocks(page: Path, kind: str) -> list[str]:
    """The code blocks of a kind on a page."""
    found = re.findall(rf"\.\. code-block:: {kind}\n\n((?:    .*\n|\n)+)", page.read_text())
    return [re.sub("^    ", "", one, flags=re.MULTILINE).strip() + "\n" for one in found]


def block(page: Path, kind: str) -> str:
    """The first code block of a kind on a page."""
    return blocks(page, kind)[0]


def ask_until_served(port: int) -> bytes:
    """GET / until nginx listens, for ten seconds at most."""
    deadline = time.monotonic() + 10
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                received = b""
                while data := connection.recv(4096):
                    received += data
                return received
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
