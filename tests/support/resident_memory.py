"""How much memory a server's process holds."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.support.real_server import Running

MAX_GROWTH = 8.0
PAUSE = 2.0
"""Seconds in which a server without back-pressure would take or make hundreds of megabytes."""
SHORT_PAUSE = 0.5
"""The same for 200 MB."""


def resident(running: Running, what: str = "VmRSS") -> float:
    """Resident memory of the process, in MiB; VmHWM is the most that it ever was."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(f"{what}:"))
    return int(line.split()[1]) / 1024


def send_until_refused(connection: socket.socket) -> int:
    """Send up to 1 GB, until nothing is taken for a while; how much was taken."""
    connection.settimeout(PAUSE)
    sent = 0
    try:
        while sent < 1_000_000_000:
            sent += connection.send(b"x" * 1_000_000)
    except TimeoutError:
        pass
    return sent
