"""A killed supervisor takes its workers along; signals; what an application's processes inherit."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import needed
from tests.support.constant_load import Load
from tests.support.counted_sockets import count_by_worker
from tests.support.real_server import DEADLINE, Running
from tests.support.supervised import PROC, Supervised, children, is_alive, workers

Start = Callable[..., Supervised]

HARMLESS = (
    signal.SIGINT, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU,
    signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGWINCH,
)  # fmt: skip
"""Signals that a worker leaves to its supervisor."""
GRACE = 3
"""Seconds of --graceful-timeout in these tests."""


class TestKilledSupervisor:
    """SIGKILL to the supervisor."""

    @pytest.mark.parametrize("path", ["", "/events", "/sleep"])
    def test_workers_end(self, supervised: Start, path: str) -> None:
        """Workers that are idle, stream, or are blocked: all end, and the port is free."""
        running = supervised("--graceful-timeout", str(GRACE))
        rows = running.until_workers(2)
        connection = running.send(path) if path else None
        if path == "/events" and connection is not None:
            assert b" 200 " in connection.recv(65536)
        if path == "/sleep":
            needed.until(lambda: any(is_blocked(row.pid) for row in rows))
        running.signal(signal.SIGKILL)
        assert running.ended() == -signal.SIGKILL
        needed.until(lambda: not any(is_alive(row.pid) for row in rows), 60)
        again = supervised(port=running.port)
        assert again.ask()["pid"] in {row.pid for row in again.until_workers(2)}

    def test_new_server_at_once(self, supervised: Start) -> None:
        """Idle workers go so quickly that a service manager's next start finds the port free."""
        running = supervised()
        rows = running.until_workers(2)
        running.signal(signal.SIGKILL)
        running.ended()
        needed.until(lambda: not any(is_alive(row.pid) for row in rows), 10)
        assert supervised(port=running.port).ask()

    def test_requests_are_answered(self, supervised: Start) -> None:
        """Requests that run are finished."""
        running = supervised()
        running.until_workers(2)
        with running.send("/slow?seconds=1") as connection:
            running.signal(signal.SIGKILL)
            assert b" 200 " in connection.recv(65536)

    @pytest.mark.parametrize("path", ["", "/sleep"])
    def test_unix_socket(self, tmp_path: Path, path: str) -> None:
        """The socket's file and its lock do not stay behind."""
        words = [
            "-u", str(tmp_path / "s"), "--workers", "2", "--graceful-timeout", str(GRACE),
            "operated:application",
        ]  # fmt: skip
        running = Running(*words)
        connection = socket.socket(socket.AF_UNIX)
        try:
            running.wait_for("serves")
            rows = workers(running.process.pid)
            connection.connect(str(tmp_path / "s"))
            if path:
                connection.sendall(b"GET %b HTTP/1.0\r\n\r\n" % path.encode())
                needed.until(lambda: any(is_blocked(row.pid) for row in rows))
            running.signal(signal.SIGKILL)
            running.ended()
            needed.until(lambda: not any(is_alive(row.pid) for row in rows), 60)
            assert list(tmp_path.iterdir()) == []
        finally:
            connection.close()
            running.stop()

    def test_file_of_another_server(self, tmp_path: Path) -> None:
        """Workers that end late leave the socket of the server that has followed."""
        path = tmp_path / "s"
        first = Running(
            "-u", str(path), "--workers", "1", "--graceful-timeout", "5", "operated:application"
        )
        second = None
        connection = socket.socket(socket.AF_UNIX)
        try:
            first.wait_for("serves")
            (row,) = workers(first.process.pid)
            connection.settimeout(DEADLINE)
            connection.connect(str(path))
            connection.sendall(b"GET /slow?seconds=3 HTTP/1.0\r\n\r\n")
            needed.until(lambda: first.process.poll() is None)
            first.signal(signal.SIGKILL)
            first.ended()
            second = Running("-u", str(path), "stopping:hello")
            second.wait_for("serves")
            identity = path.stat().st_ino
            connection.recv(65536)
            needed.until(lambda: not is_alive(row.pid), 60)
            assert path.stat().st_ino == identity
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(str(path))
        finally:
            connection.close()
            first.stop()
            if second is not None:
                second.stop()
        assert list(tmp_path.iterdir()) == []


def is_blocked(pid: int) -> bool:
    """Whether the main thread of a process sleeps in the kernel's nanosleep."""
    try:
        return "nanosleep" in (PROC / str(pid) / "wchan").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


class TestInheritance:
    """Processes that the application starts."""

    @pytest.mark.parametrize("path", ["/popen", "/fork"])
    def test_descriptors(self, supervised: Start, path: str) -> None:
        """Nothing but the standard ones: no port, no control channel."""
        running = supervised(workers="1")
        child = running.ask(path)["child"]
        try:
            needed.until(lambda: "sleep" in (PROC / str(child) / "comm").read_text())
            # While it loads its libraries, it has one of those open.
            needed.until(lambda: set(os.listdir(PROC / str(child) / "fd")) == {"0", "1", "2"}, 5)
            variables = (PROC / str(child) / "environ").read_bytes().split(b"\0")
            assert not [one for one in variables if one.startswith(b"_DAPHNE_LIKE")]
            # It does not hold the workers' port, nor hide the end of the supervisor.
            pids = [row.pid for row in running.workers]
            running.signal(signal.SIGKILL)
            running.process.wait(DEADLINE)
            needed.until(lambda: not any(map(is_alive, pids)))
            with socket.create_server(("127.0.0.1", running.port)):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


class TestSignals:
    """What an operator, a terminal or logrotate sends."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_group(self, supervised: Start, number: int) -> None:
        """To the whole group, as a terminal does: a clean end."""
        running = supervised(start_new_session=True)
        rows = running.until_workers(2)
        os.killpg(running.process.pid, number)
        assert running.ended() == 0
        assert not any(is_alive(row.pid) for row in rows)
        assert "ERROR" not in running.log

    def test_group_at_the_start(self, supervised: Start) -> None:
        """Ctrl-C while the interpreters of the workers start: no traceback of theirs."""
        running = supervised(start_new_session=True, ready=False)
        running.until_started(2)
        os.killpg(running.process.pid, signal.SIGINT)
        assert running.ended() == 0
        assert running.workers == []

    def test_log_rotation_at_the_start(self, supervised: Start) -> None:
        """SIGUSR1 before a worker has its configuration does not hurt it."""
        running = supervised(ready=False)
        before = running.until_started(2)
        running.signal(signal.SIGUSR1)
        running.wait_until_ready()
        assert running.until_workers(2) == before

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_twice(self, supervised: Start, number: int) -> None:
        """The second one waits for nothing."""
        running = supervised("--graceful-timeout", "60")
        running.until_workers(2)
        with running.send("/slow?seconds=50"):
            running.signal(number)
            running.wait_for("Stopping: waiting for 2 workers")
            time.sleep(1)  # two signals within half a second are one
            running.signal(number)
            assert running.ended(20) == 0
        assert "Second signal" in running.log

    def test_quit(self, supervised: Start) -> None:
        """SIGQUIT: at once, with the stacks of the workers."""
        running = supervised()
        rows = running.until_workers(2)
        running.signal(signal.SIGQUIT)
        assert running.ended(20) == 1
        assert running.log.count("was executing:") == 2
        assert not any(is_alive(row.pid) for row in rows)

    def test_more_and_fewer(self, supervised: Start) -> None:
        """SIGTTIN and SIGTTOU: one more, one less, and never none; nothing is lost."""
        running = supervised(workers="1")
        running.until_workers(1)
        with Load((running.host, running.port)) as load:
            running.signal(signal.SIGTTIN)
            running.until_workers(2)
            running.signal(signal.SIGTTOU)
            running.until_workers(1)
            running.signal(signal.SIGTTOU)
            running.wait_for("One worker is the least")
            running.until_workers(1)
        assert load.failures == {}

    def test_group_of_harmless_ones(self, supervised: Start) -> None:
        """SIGWINCH to all, and what a terminal sends to a worker: nothing happens."""
        running = supervised(start_new_session=True)
        before = running.until_workers(2)
        os.killpg(running.process.pid, signal.SIGWINCH)
        for number in HARMLESS:
            for row in before:
                os.kill(row.pid, number)
        assert running.serving(2) == {row.pid for row in before}, running.log
        assert running.workers == before, running.log

    def test_log_rotation(self, supervised: Start, tmp_path: Path) -> None:
        """SIGUSR1: after a rename, all workers write to a new file."""
        file = tmp_path / "access.log"
        running = supervised("--access-log", str(file))
        running.until_workers(2)
        running.serving(2)
        file.rename(tmp_path / "access.log.1")
        running.signal(signal.SIGUSR1)
        needed.until(file.exists)
        seen = running.serving(2)
        assert len(seen) == 2
        old = (tmp_path / "access.log.1").read_text()
        needed.until(lambda: file.read_text().count("/slow") >= 4)
        assert (tmp_path / "access.log.1").read_text() == old


def test_balance(supervised: Start) -> None:
    """1 000 WebSockets over 4 workers: the fullest has at most 1.25 times the emptiest."""
    running = supervised(workers="4")
    running.until_workers(4)
    counts = asyncio.run(count_by_worker((running.host, running.port), 1000))
    assert sum(counts.values()) == 1000
    assert len(counts) == 4
    assert max(counts.values()) <= 1.25 * min(counts.values()), counts


def test_children_end(supervised: Start) -> None:
    """After a stop no child is left, not even a zombie."""
    running = supervised()
    rows = running.until_workers(2)
    os.kill(rows[0].pid, signal.SIGKILL)
    running.wait_for("is started again")
    assert rows[0].pid not in children(running.process.pid)
    running.until_workers(2)
    zombies = [
        name for name in os.listdir(PROC)
        if name.isdecimal() and f"\nPPid:\t{running.process.pid}\n" in status(name)
        and "State:\tZ" in status(name)
    ]  # fmt: skip
    assert zombies == []


def status(name: str) -> str:
    try:
        return (PROC / name / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
