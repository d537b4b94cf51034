"""docs/howto/systemd.rst: its unit files and commands, with the real systemd-socket-activate."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daphne_like.process.exit import LEAVE_SECONDS
from daphne_like.server import Server
from tests.support import needed
from tests.support.documentation import ROOT
from tests.support.live_endpoints import free_port
from tests.support.peers import answer_at_once
from tests.support.real_server import DEADLINE, Running, answer, fetched
from tests.support.service_manager import ServiceManager

PAGE = ROOT / "docs" / "howto" / "systemd.rst"
EXAMPLES = ROOT / "examples" / "systemd"
SOCKET_UNIT = (EXAMPLES / "daphne-like.socket").read_text()
SERVICE_UNIT = (EXAMPLES / "daphne-like.service").read_text()
BY_HAND = re.findall(r"^    \$ systemd-socket-activate (.*)$", PAGE.read_text(), re.MULTILINE)
COMMAND = [sys.executable, "-m", "daphne_like"]


def activated(words: list[str], folder: Path) -> Running:
    """systemd-socket-activate with these words; what it starts finds the applications."""
    return Running(
        *words,
        program=[
            needed.program("systemd-socket-activate", "systemd"),
            "--setenv=PYTHONUNBUFFERED=1",
            f"--setenv=PYTHONPATH={folder}:{os.getcwd()}",
        ],
    )


def setting(unit: str, name: str) -> str:
    """A setting of a unit file."""
    found = re.search(rf"^{name}=(.*)$", unit, re.MULTILINE)
    assert found is not None
    return found[1]


def version_of(program: str) -> int:
    """The version of one of systemd's programs."""
    said = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    found = re.match(r"systemd (\d+)", said.stdout)
    assert found is not None
    return int(found[1])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with README's application, as hello and as a Django project's."""
    hello = (ROOT / "examples" / "hello.py").read_text()
    (tmp_path / "hello.py").write_text(hello)
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite" / "asgi.py").write_text("from hello import application\n")
    return tmp_path


class TestPage:
    """What a person copies works."""

    @pytest.mark.parametrize("line", BY_HAND)
    def test_by_hand(self, line: str, folder: Path) -> None:
        """Each line, but for the port: the first connection is answered, and a later one."""
        port = free_port()
        line = line.replace("8000", str(port))
        words = [word for part in shlex.split(line) for word in
                 (COMMAND if part == "daphne-like" else [part])]  # fmt: skip
        running = activated(words, folder)
        try:
            running.wait_for("Listening on")
            for _ in range(2):
                assert b"Hello" in answer(socket.create_connection(("127.0.0.1", port), DEADLINE))
            running.signal()
            assert running.ended() == 0
        finally:
            running.stop()

    def test_the_service_serves_the_socket(self, folder: Path) -> None:
        """ExecStart of the one file, with the sockets of the other."""
        path = folder / "http.sock"
        assert setting(SOCKET_UNIT, "ListenStream") == "/run/site/http.sock"
        words = shlex.split(setting(SERVICE_UNIT, "ExecStart"))[1:]
        name = setting(SOCKET_UNIT, "FileDescriptorName")
        running = activated(["-l", str(path), f"--fdname={name}", *COMMAND, *words], folder)
        try:
            running.wait_for("Listening on")
            for restart in (False, True):
                connection = socket.socket(socket.AF_UNIX)
                connection.connect(str(path))
                assert b"Hello" in answer(connection)
                if not restart:
                    running.signal(signal.SIGHUP)
                    running.wait_for("Restarted")
            running.signal()
            assert running.ended() == 0
        finally:
            running.stop()
        assert path.is_socket()

    def test_systemd_takes_the_units(self, folder: Path) -> None:
        """systemd-analyze verify has nothing to say, once the command is where they say it is."""
        analyze = needed.program("systemd-analyze", "systemd")
        program = folder / "daphne-like"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        service = SERVICE_UNIT.replace("/srv/site/venv/bin", str(folder))
        service = service.replace("User=site", "User=root").replace("/srv/site", str(folder))
        if version_of(analyze) < 253:
            service = service.replace("Type=notify-reload", "Type=notify")
        (folder / "daphne-like.service").write_text(service)
        (folder / "daphne-like.socket").write_text(SOCKET_UNIT)
        verified = subprocess.run(
            [analyze, "verify", "--man=no", "--recursive-errors=no", folder / "daphne-like.service",
             folder / "daphne-like.socket"],
            capture_output=True, text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
        assert (verified.stdout, verified.stderr, verified.returncode) == ("", "", 0)

    def test_the_page_shows_the_units(self) -> None:
        """They are included, not copied."""
        for name in ("socket", "service"):
            assert f"literalinclude:: ../../examples/systemd/daphne-like.{name}" in PAGE.read_text()

    def test_systemd_waits_longer_than_a_stop(self) -> None:
        """TimeoutStopSec= is more than the default options allow a stop to take."""
        limit = Server(answer_at_once, ["tcp:0"]).drainer.limit + LEAVE_SECONDS
        assert limit < int(setting(SERVICE_UNIT, "TimeoutStopSec"))


class TestSeveralSockets:
    """One server on all that it is given."""

    def test_tcp_tcp6_and_unix(self, folder: Path) -> None:
        """By name, by index and by descriptor, each of its own kind."""
        port, port_6 = free_port(), free_port(socket.AF_INET6)
        path = folder / "http.sock"
        running = activated(
            ["-l", f"127.0.0.1:{port}", "-l", f"[::1]:{port_6}", "-l", str(path),
             "--fdname=web:six:site", *COMMAND, "-e", "systemd:domain=INET:name=web",
             "-e", "fd:fileno=4", "-e", "systemd:domain=UNIX:index=2", "hello:application"],
            folder,
        )  # fmt: skip
        try:
            running.wait_for("Listening on .* as 5")
            unix = socket.socket(socket.AF_UNIX)
            unix.connect(str(path))
            assert b"Hello" in answer(unix)
            assert b"Hello" in answer(socket.create_connection(("127.0.0.1", port), DEADLINE))
            assert b"Hello" in answer(socket.create_connection(("::1", port_6), DEADLINE))
            banner = running.wait_for("serves .*").group()
            for where in (f"http://127.0.0.1:{port}/", f"http://[::1]:{port_6}/", f"unix:{path}"):
                assert where in banner
        finally:
            running.stop()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    made = ServiceManager(tmp_path / "notify")
    yield made
    made.close()


def watched(manager: ServiceManager, seconds: int) -> dict[str, str]:
    """The variables that systemd sets."""
    return {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(seconds * 1_000_000)}


class TestNotifications:
    """The datagrams of one process, from the start to the end."""

    def test_a_life(
        self, program: Callable[..., Running], manager: ServiceManager, tmp_path: Path
    ) -> None:
        """Ready after lifespan startup; SIGHUP reloads; SIGTERM stops; status 0."""
        go = tmp_path / "go"
        environment = {**watched(manager, 30), "START_WHEN": str(go)}
        running = program("-p", "0", "notified:application", environment=environment)
        running.wait_for("starting")
        running.signal(signal.SIGHUP)
        running.wait_for("SIGHUP")
        assert [sent for sent in manager.received() if sent != ["WATCHDOG=1"]] == []
        go.touch()
        ready = manager.wait_for("READY=1")[-1]
        running.wait_until_ready()
        assert ready[1] == f"STATUS=Serving notified:application at {running.url}/"
        running.signal(signal.SIGHUP)
        assert manager.wait_for("RELOADING=1")[-1][1].startswith("MONOTONIC_USEC=")
        assert manager.wait_for("READY=1")[-1] == ready
        names = fetched(running.port).partition(b"\r\n\r\n")[2].split(b"\n")
        assert b"START_WHEN" in names
        assert not {b"NOTIFY_SOCKET", b"WATCHDOG_USEC"} & set(names)
        running.signal()
        assert manager.wait_for("STOPPING=1")[-1][1].startswith("EXTEND_TIMEOUT_USEC=")
        assert running.ended() == 0
        assert [sent for sent in manager.received() if sent != ["WATCHDOG=1"]] == []

    def test_the_watchdog_sees_the_event_loop(
        self, program: Callable[..., Running], manager: ServiceManager
    ) -> None:
        """Beats come while the loop turns, and none while the application blocks it."""
        environment = watched(manager, 1)
        running = program("-p", "0", "notified:application", environment=environment)
        running.wait_until_ready()
        for _ in range(3):
            manager.wait_for("WATCHDOG=1")
        with running.connect() as connection:
            connection.sendall(b"GET /block HTTP/1.0\r\n\r\n")
            before = manager.wait_for_silence(1.2)
            assert before < 10
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        manager.wait_for("WATCHDOG=1")

    def test_a_start_that_fails(
        self, program: Callable[..., Running], manager: ServiceManager
    ) -> None:
        """A taken port: the service was never ready."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            environment = watched(manager, 30)
            running = program("-p", port, "notified:application", environment=environment)
            assert running.ended() == 1
        assert "READY=1" not in [one for sent in manager.received() for one in sent]


class TestNotificationsOfASupervisor:
    """The datagrams of a supervisor, which is the main process of its service."""

    @pytest.fixture
    def application(self, tmp_path: Path) -> Path:
        """A module that the test may break."""
        path = tmp_path / "changing.py"
        path.write_text((ROOT / "examples" / "hello.py").read_text())
        return path

    def test_a_life(
        self, program: Callable[..., Running], manager: ServiceManager, application: Path
    ) -> None:
        """Ready with all workers; a restart that fails says why; SIGTERM stops."""
        running = program(
            "-p", "0", "--workers", "2", "changing:application",
            cwd=application.parent, environment=watched(manager, 30), expects_traceback=True,
        )  # fmt: skip
        assert manager.wait_for("READY=1")[-1][1:] == ["STATUS=2/2 workers, generation 1"]
        running.wait_until_ready()
        running.signal(signal.SIGHUP)
        assert manager.wait_for("RELOADING=1")[-1][1].startswith("MONOTONIC_USEC=")
        assert manager.wait_for("READY=1")[-1][1:] == ["STATUS=2/2 workers, generation 2"]
        application.write_text("import no_such_module")
        running.signal(signal.SIGHUP)
        manager.wait_for("RELOADING=1")
        failed = manager.wait_for("READY=1")[-1][1]
        assert failed.startswith("STATUS=Restart failed: ")
        assert "no_such_module" in failed
        assert b"Hello" in fetched(running.port, "/")
        running.signal()
        assert manager.wait_for("STOPPING=1")[-1][1].startswith("EXTEND_TIMEOUT_USEC=")
        assert running.ended() == 0
        assert [sent for sent in manager.received() if sent != ["WATCHDOG=1"]] == []

    def test_the_watchdog_sees_the_workers(
        self, program: Callable[..., Running], manager: ServiceManager, application: Path
    ) -> None:
        """No beats while no worker's event loop turns, although the supervisor's does."""
        running = program(
            "-p", "0", "--workers", "1", "--worker-timeout", "1", "changing:application",
            cwd=application.parent, environment=watched(manager, 1),
        )  # fmt: skip
        running.wait_until_ready()
        for _ in range(3):
            manager.wait_for("WATCHDOG=1")
        pid = running.process.pid
        worker = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        os.kill(worker, signal.SIGSTOP)
        try:
            manager.wait_for_silence(2)
        finally:
            os.kill(worker, signal.SIGCONT)
        manager.wait_for("WATCHDOG=1")
