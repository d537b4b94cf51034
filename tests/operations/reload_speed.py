"""The time from a save to the first answer of the new code."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.operations.contenders import Contender

COMMANDS = {
    "daphne-like": ["-v", "0", "--reload", "-p"],
    "uvicorn": ["--log-level", "error", "--reload", "--port"],
}
"""Arguments of the servers that reload, before the port."""
ROUNDS = 7
SETTLE_SECONDS = 3.0
"""Pause before each save, as of a person: a worker that waits for the next save has started."""
DEADLINE = 20.0
APPLICATION = """
import asyncio

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    stream = scope["path"] == "/events"
    kind = b"text/event-stream" if stream else b"text/plain"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": b"TEXT", "more_body": stream})
    while stream and (await receive())["type"] != "http.disconnect":
        pass
"""


def reload(contender: Contender, python: Path) -> list[str]:
    """Save another answer several times, with and without an open stream of events."""
    lines = []
    for with_stream in (False, True):
        command = [str(python), "-m", contender.module, *COMMANDS[contender.name]]
        times = measure(command, "main:application", with_stream=with_stream)
        name = f"{contender.name}{' with an open stream' if with_stream else ''}"
        if times:
            median, longest = statistics.median(times), max(times)
            lines.append(f"{name}: median {median:.2f} s, longest {longest:.2f} s")
        else:
            lines.append(f"{name}: no answer of the new code within {DEADLINE:.0f} s")
    return lines


def measure(command: Sequence[str], target: str, *, with_stream: bool) -> list[float]:
    """Return the seconds from each save to the first new answer; [] if one never came."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        main = Path(folder, "main.py")
        main.write_text(APPLICATION.replace("TEXT", "0"))
        port = free.getsockname()[1]
        free.close()
        process = subprocess.Popen([*command, str(port), target], cwd=folder, env=environment())
        try:
            if wait_for(port, "0") is None:
                return []
            return save_repeatedly(main, port, with_stream)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environment() -> dict[str, str]:
    """This process's; the checkout comes first, wherever the command is run."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def save_repeatedly(main: Path, port: int, with_stream: bool) -> list[float]:
    """Save another text several times, with a stream open if that is asked for."""
    times = []
    for turn in range(1, ROUNDS + 1):
        stream = open_stream(port) if with_stream else None
        time.sleep(SETTLE_SECONDS)
        main.write_text(APPLICATION.replace("TEXT", str(turn)))
        taken = wait_for(port, str(turn))
        if stream is not None:
            close(stream)
        if taken is None:
            return []
        times.append(taken)
    return times


def open_stream(port: int) -> socket.socket:
    """Open a stream of events; a thread reads it, and closes it at its end as browsers do."""
    stream = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE * ROUNDS)
    stream.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
    stream.recv(4096)

    def read() -> None:
        with stream:
            try:
                while stream.recv(4096):
                    pass
            except OSError:
                pass  # reset, or closed below

    threading.Thread(target=read, daemon=True).start()
    return stream


def close(stream: socket.socket) -> None:
    """Close a stream that the server has not ended."""
    try:
        stream.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the server has ended it


def wait_for(port: int, text: str) -> float | None:
    """Ask again and again; return the seconds until this is the answer, None if it never is."""
    began = time.monotonic()
    while (now := time.monotonic() - began) < DEADLINE:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE - now)
        try:
            connection.request("GET", "/", headers={"Connection": "close"})
            if connection.getresponse().read() == text.encode():
                return time.monotonic() - began
        except (OSError, http.client.HTTPException):
            pass  # refused, or cut by the old process
        finally:
            connection.close()
        time.sleep(0.005)
    return None
