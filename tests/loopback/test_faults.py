"""Faults of the machine and of the application, which the server outlives."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.peers import get, read_answers
from tests.support.real_server import COMMAND, DEADLINE, WITHOUT_UVLOOP, Running

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="it needs RLIMIT_AS and /dev/full: run on Linux"
)

START = ("-p", "0", "--lifespan", "off", "faults:application")
LOOPS = pytest.mark.parametrize("command", [COMMAND, WITHOUT_UVLOOP], ids=["uvloop", "asyncio"])


def ask(connection: socket.socket, path: bytes) -> tuple[int, bytes]:
    """Ask on a connection: status and body."""
    connection.sendall(get(path))
    octets = b""
    while b"\r\n\r\n" not in octets or not read_answers(octets)[0].body:
        part = connection.recv(65536)
        assert part, "closed without an answer"
        octets += part
    (answer,) = read_answers(octets)
    return answer.status, answer.body


def test_out_of_memory(program: Callable[..., Running]) -> None:
    """An application that gets no memory is answered with 500; the others go on."""
    running = program(*START, expects_traceback=True).wait_until_ready()
    other = running.connect()
    assert ask(other, b"/") == (200, b"hello")
    assert ask(running.connect(), b"/memory")[0] == 500
    running.wait_for("raised MemoryError")
    assert ask(other, b"/") == (200, b"hello")
    assert ask(running.connect(), b"/") == (200, b"hello")


@LOOPS
class TestFork:
    """`os.fork` in an application."""

    def test_child_that_exits(
        self, program: Callable[..., Running], command: Sequence[str]
    ) -> None:
        """The child closes nothing of the server's; the application reaps it, not the server."""
        running = program(*START, program=command).wait_until_ready()
        idle, connection = running.connect(), running.connect()
        assert ask(idle, b"/") == (200, b"hello")
        for _ in range(3):
            assert ask(connection, b"/fork/exits") == (200, b"child 7")
        assert ask(idle, b"/") == (200, b"hello")

    def test_child_that_raises(
        self, program: Callable[..., Running], command: Sequence[str]
    ) -> None:
        """The child ends instead of answering and serving."""
        running = program(*START, program=command, expects_traceback=True).wait_until_ready()
        connection = running.connect()
        assert ask(connection, b"/fork/raises") == (200, b"child 1")
        assert ask(connection, b"/") == (200, b"hello")
        running.wait_for("raised in a process that it forked")


def test_full_disk(program: Callable[..., Running]) -> None:
    """Standard error cannot be written: requests are served, and the stop is orderly."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shell = ("sh", "-c", 'exec "$@" 2>/dev/full', "sh", *COMMAND)
    running = program("-p", str(port), *START[2:], program=shell)
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    with connection:
        assert ask(connection, b"/") == (200, b"hello")
        connection.sendall(b"nonsense\r\n\r\n")  # which is logged
        assert read_answers(connection.recv(65536))[0].status == 400
    running.signal()
    assert running.ended() == 0


def test_stopped_and_continued(program: Callable[..., Running]) -> None:
    """What arrives while the process is stopped is answered when it continues."""
    running = program(*START).wait_until_ready()
    before = running.connect()
    assert ask(before, b"/") == (200, b"hello")
    running.signal(signal.SIGSTOP)
    try:
        stat = Path(f"/proc/{running.process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "T":
            os.sched_yield()
        during = running.connect()
        during.sendall(get(b"/"))
        before.sendall(get(b"/"))
        time.sleep(1)
    finally:
        running.signal(signal.SIGCONT)
    for connection in (before, during):
        assert read_answers(connection.recv(65536))[0].body == b"hello"
