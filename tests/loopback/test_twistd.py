"""`twistd daphne-like` and `twist daphne-like`: the command in Twisted's own daemon."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from daphne_like.options import DEVELOPMENT, PROCESS, Options
from tests.support import needed
from tests.support.real_server import PROJECTS, TWIST, TWISTD, URL, Running, fetched
from tests.support.supervised import is_alive, workers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="twistd makes daemons on POSIX")

Command = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., Running]

FOREGROUND = (*TWISTD, "-n", "--pidfile=")
SITE = ("daphne-like", "-p", "0", "serviced:application")
NOBODY = 65534


class Daemon:
    """A daemon that twistd has made; its pid file and log are in a folder of its own.

    Args:
        folder: to run in.
        arguments: of twistd.

    Attributes:
        parent: twistd itself, which has ended.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.pid_file, self.log_file = folder / "pid", folder / "log"
        files = ("--pidfile", str(self.pid_file), "--logfile", str(self.log_file))
        # Whatever a daemon inherits it would keep open: its output goes to files, not pipes.
        with open(folder / "stdout", "w") as out, open(folder / "stderr", "w") as err:
            self.status = subprocess.run(
                [*TWISTD, *files, *arguments],
                cwd=folder,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(
                        [str(PROJECTS), os.environ.get("PYTHONPATH", "")]
                    ),
                },
                stdout=out,
                stderr=err,
                timeout=30,
            ).returncode
        self.stdout = (folder / "stdout").read_text()
        self.stderr = (folder / "stderr").read_text()

    @property
    def log(self) -> str:
        return self.log_file.read_text() if self.log_file.exists() else ""

    @property
    def port(self) -> int:
        """Where it listens, as the log says."""
        return int(needed.until(lambda: URL.search(self.log))[2])

    def signal(self, number: int = signal.SIGTERM) -> None:
        os.kill(int(self.pid_file.read_text()), number)

    def ended(self) -> None:
        """Wait until it has removed its pid file, as the last thing that it does."""
        needed.until(lambda: not self.pid_file.exists())

    def stop(self) -> None:
        if self.pid_file.exists():
            self.signal()
            try:
                self.ended()
            except AssertionError:
                self.signal(signal.SIGKILL)
                raise


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """daemon(*arguments, folder=...): see Daemon; ended with the test."""
    started: list[Daemon] = []

    def start(*arguments: str, folder: Path = tmp_path) -> Daemon:
        started.append(Daemon(folder, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def events(log: str) -> list[dict[str, Any]]:
    """The lines of a JSON log."""
    return [json.loads(line) for line in log.splitlines()]


class TestOptions:
    """The same options as the command's."""

    @pytest.mark.parametrize("program", [TWISTD, TWIST], ids=["twistd", "twist"])
    def test_help_is_complete(self, command: Command, program: Sequence[str]) -> None:
        """`twistd daphne-like --help` has every option but those of the process, and examples."""
        shown = command("daphne-like", "--help", program=program)
        assert shown.returncode == 0
        flags = {
            flag
            for field in dataclasses.fields(Options)
            for flag in field.metadata["flags"]
            if field.metadata["group"] not in (PROCESS, DEVELOPMENT)
        }
        assert len(flags) > 50
        assert "--pid-file" not in shown.stdout  # twistd has --pidfile
        assert [flag for flag in sorted(flags) if flag not in shown.stdout] == []
        assert "--log-format" in shown.stdout
        assert "examples:\n  twistd -n daphne-like" in shown.stdout

    def test_twistd_lists_it(self, command: Command) -> None:
        """`twistd --help` names the command, with a sentence."""
        assert "An ASGI server: Django" in command("--help", program=TWISTD).stdout

    @pytest.mark.parametrize(
        ("twistd", "ours", "sentence"),
        [
            ([], ["--nope"], "unrecognized arguments: --nope"),
            ([], ["-p", "70000"], "--port: expected 0 to 65535, got 70000"),
            (["--syslog"], ["--log-format", "json"], "--log-format: syslog takes text alone"),
            (["--reactor=poll"], [], "--reactor: PollReactor does not run on an asyncio event"),
        ],
    )
    def test_a_mistake_is_one_sentence(
        self, command: Command, twistd: list[str], ours: list[str], sentence: str
    ) -> None:
        """On standard error, with the command's exit status, before anything else."""
        ended = command(*twistd, *SITE, *ours, program=FOREGROUND)
        assert ended.stderr.startswith(f"twistd daphne-like: {sentence}")
        assert (ended.returncode, ended.stderr.count("\n"), ended.stdout) == (2, 1, "")


class TestForeground:
    """`twistd -n`, and `twist`, which knows nothing else."""

    @pytest.mark.parametrize(
        ("how", "reactor"),
        [
            (FOREGROUND, "NativeReactor"),
            ((*FOREGROUND, "--reactor=daphne-like"), "NativeReactor"),
            ((*FOREGROUND, "--reactor=asyncio"), "AsyncioSelectorReactor"),
            (TWIST, "NativeReactor"),
            ((*TWIST, "--reactor=asyncio"), "AsyncioSelectorReactor"),
        ],
        ids=["twistd", "twistd-ours", "twistd-asyncio", "twist", "twist-asyncio"],
    )
    def test_it_serves_and_stops(self, program: Start, how: Sequence[str], reactor: str) -> None:
        """What is in flight is finished, a WebSocket told 1012, the lifespan shut down.

        Then the process ends by the signal, as Twisted has it.
        """
        running = program(*SITE, program=how).wait_until_ready()
        assert f"({reactor})" in running.log
        with connect(f"ws://127.0.0.1:{running.port}/", proxy=None) as websocket:
            websocket.send("over twistd")
            assert websocket.recv(timeout=10) == "over twistd"
            asking = running.connect()
            asking.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
            running.wait_for("slow is called")
            running.signal()
            assert asking.recv(65536).endswith(b"hello\n")
            with pytest.raises(ConnectionClosed):
                websocket.recv(timeout=10)
            assert websocket.close_code == 1012
        assert running.ended() == -signal.SIGTERM
        assert "websocket.disconnect 1012" in running.log
        assert running.log.index("slow is called") < running.log.index("lifespan.shutdown")
        assert re.search(r"GET /slow\W+200 6", running.log)

    def test_sigint(self, program: Start) -> None:
        """Ctrl-C does the same."""
        running = program(*SITE, program=FOREGROUND).wait_until_ready()
        running.signal(signal.SIGINT)
        assert running.ended() == -signal.SIGINT
        assert "lifespan.shutdown" in running.log

    def test_access_log(self, program: Start, tmp_path: Path) -> None:
        """--access-log FILE: the lines are there, all of them at the end, not in the log."""
        path = tmp_path / "access.log"
        running = program(
            "daphne-like", "-p", "0", "--access-log", str(path), "serviced:application",
            program=FOREGROUND,
        ).wait_until_ready()  # fmt: skip
        fetched(running.port)
        running.signal()
        running.ended()
        assert '"GET /hello" 200 6' in path.read_text()
        assert "GET" not in running.log

    def test_verbosity_0(self, program: Start) -> None:
        """-v 0: warnings and worse; neither banner nor access log."""
        running = program("daphne-like", "-v", "0", *SITE[1:], program=FOREGROUND)
        port = int(running.wait_for(r"starting on (\d+)")[1])
        fetched(port, "/logs")
        running.signal()
        running.ended()
        assert "a warning of the application's" in running.log
        assert "serves" not in running.log
        assert "GET" not in running.log


class TestDaemon:
    """Without -n."""

    def test_text_log(self, daemon: Callable[..., Daemon]) -> None:
        """Its log holds our lines, the access log and the application's own; SIGTERM drains."""
        running = daemon(*SITE)
        assert (running.status, running.stdout, running.stderr) == (0, "", "")
        assert int(running.pid_file.read_text()) != os.getpid()
        port = running.port
        assert fetched(port, "/logs").startswith(b"HTTP/1.1 200 OK\r\n")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as asking:
            asking.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
            needed.until(lambda: "slow is called" in running.log)
            running.signal()
            assert asking.recv(65536).endswith(b"hello\n")
        running.ended()
        needed.until(lambda: "Server Shut Down." in running.log)
        assert "[daphne_like.server#info] daphne-like " in running.log
        assert "[site#warn] a warning of the application's\n\twith two lines\n" in running.log
        assert "[daphne_like.access#info] 127.0.0.1:" in running.log
        assert "lifespan.shutdown" in running.log

    def test_json_log(self, daemon: Callable[..., Daemon]) -> None:
        """--log-format json: each line is an object, as in the log of the command."""
        running = daemon("daphne-like", "--log-format", "json", *SITE[1:])
        assert (running.status, running.stderr) == (0, "")
        fetched(running.port, "/logs")
        assert fetched(running.port, "/raises").startswith(b"HTTP/1.0 500 ")
        running.signal()
        running.ended()
        needed.until(lambda: "Server Shut Down." in running.log)
        found = {event["logger"]: event for event in events(running.log)}
        assert found["site"]["message"] == "a warning of the application's\nwith two lines"
        assert found["site"]["level"] == "WARNING"
        line = found["daphne_like.access"]
        assert line["message"] == "GET /raises 500"
        assert (line["url.path"], line["http.response.status_code"]) == ("/raises", 500)
        (failed,) = [event for event in events(running.log) if event.get("exception")]
        assert failed["level"] == "ERROR"
        assert failed["exception"].rstrip().rpartition("\n")[2].startswith("ValueError")
        assert [event for event in events(running.log) if event["message"] == "lifespan.shutdown"]

    def test_syslog(self, daemon: Callable[..., Daemon]) -> None:
        """twistd's --syslog: --prefix, logger and severity (RFC 5424: user.warning is 12)."""
        path = Path("/dev/log")
        if path.exists() or not os.access(path.parent, os.W_OK):
            pytest.skip("/dev/log is taken, or may not be made: syslog cannot be stood in for")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
            syslog.settimeout(20)
            syslog.bind(str(path))
            try:
                running = daemon("--syslog", "--prefix", "mysite", *SITE)
                assert (running.status, running.stderr) == (0, "")
                received = ""
                while (found := URL.search(received)) is None:
                    received += syslog.recv(65536).decode()
                fetched(int(found[2]), "/logs")
                while "two lines" not in received:
                    received += syslog.recv(65536).decode()
                running.signal()
                running.ended()
            finally:
                path.unlink()
        assert re.search(
            r"<12>[^<]* mysite: \[site#warn\] a warning of the application's", received
        )
        assert not running.log_file.exists()


class TestPrivileges:
    """--uid and --gid: bind, then drop, then import."""

    @pytest.fixture
    def folder(self) -> Iterator[Path]:
        """One that anybody may read, which those of pytest are not; the pid file goes there."""
        if os.getuid() != 0:
            pytest.skip("only root may drop privileges: run the tests as root, in a container")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for module in ("serviced.py", "stopping.py"):
                (folder / module).write_text((PROJECTS / module).read_text())
            os.chown(folder, NOBODY, NOBODY)
            yield folder

    @staticmethod
    def low_port() -> int:
        """A free port that only root may bind."""
        for port in range(1023, 512, -1):
            try:
                with socket.create_server(("127.0.0.1", port)):
                    return port
            except OSError:
                continue
        pytest.fail("no port below 1024 is free")

    def test_a_low_port(self, daemon: Callable[..., Daemon], folder: Path) -> None:
        """Root binds it; the application is imported by, and runs as, somebody who could not."""
        port = str(self.low_port())
        drop = ("--uid", str(NOBODY), "--gid", str(NOBODY))
        running = daemon(*drop, "daphne-like", "-p", port, "serviced:application", folder=folder)
        assert (running.status, running.stderr) == (0, "")
        body = fetched(int(port), "/who").rpartition(b"\r\n\r\n")[2]
        assert json.loads(body) == [[NOBODY] * 2, [NOBODY] * 3, [NOBODY] * 3]
        running.signal()
        running.ended()

    def test_what_root_alone_can_read(self, daemon: Callable[..., Daemon], folder: Path) -> None:
        """An application that root alone can read is not imported."""
        (folder / "serviced.py").chmod(0o600)
        os.chown(folder / "serviced.py", 0, 0)
        running = daemon("--uid", str(NOBODY), *SITE, folder=folder)
        assert running.status == 1
        assert "Permission denied" in running.stderr


class TestFailures:
    """A start that fails: an exit status, and why, on standard error and in the log."""

    @pytest.fixture(
        params=["port", "import", "lifespan", "import in workers", "lifespan in workers"]
    )
    def failure(self, request: pytest.FixtureRequest) -> Iterator[tuple[list[str], str, int]]:
        """Arguments that fail, the sentence, and the command's exit status."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            yield {
                "port": (
                    ["-p", port, "serviced:application"],
                    f"Cannot listen on 127.0.0.1:{port}: Address already in use",
                    1,
                ),
                "import": (
                    ["-p", "0", "broken_import:application"],
                    "Importing 'broken_import' failed with RuntimeError: no settings",
                    2,
                ),
                "lifespan": (
                    ["-p", "0", "stopping:unstartable"],
                    "Application startup failed: no database",
                    3,
                ),
                "import in workers": (
                    ["-p", "0", "--workers", "2", "broken_import:application"],
                    "Importing 'broken_import' failed with RuntimeError: no settings",
                    2,
                ),
                "lifespan in workers": (
                    ["-p", "0", "--workers", "2", "stopping:unstartable"],
                    "Application startup failed: no database",
                    3,
                ),
            }[request.param]

    def test_foreground(self, command: Command, failure: tuple[list[str], str, int]) -> None:
        """The command's exit status; the application's traceback is the only one."""
        arguments, sentence, status = failure
        ended = command("daphne-like", *arguments, program=FOREGROUND)
        assert ended.returncode == status
        assert ended.stderr.endswith(f"twistd daphne-like: {sentence}\n")
        assert ended.stderr.count("daphne_like/") == 0
        assert f"[daphne_like.server#critical] {sentence}\n" in ended.stdout

    def test_twist(self, command: Command, failure: tuple[list[str], str, int]) -> None:
        """twist has no log yet at that time."""
        arguments, sentence, status = failure
        ended = command("daphne-like", *arguments, program=TWIST)
        assert ended.returncode == status
        assert ended.stderr.endswith(f"daphne-like: {sentence}\n")
        assert ended.stderr.count(sentence) == 1

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_signal_while_workers_start(self, program: Start, number: int) -> None:
        """The workers end, and no traceback tells of it."""
        running = program(
            "daphne-like", "-p", "0", "--workers", "2", "contained:application",
            program=FOREGROUND, environment={"SLOW_IMPORT": "1"},
        )  # fmt: skip
        running.wait_for("importing")
        rows = workers(running.process.pid)
        running.signal(number)
        assert running.ended(20) == 1
        assert "A signal has ended the start before the workers were ready" in running.log
        assert not any(is_alive(row.pid) for row in rows)

    def test_daemon(
        self, daemon: Callable[..., Daemon], failure: tuple[list[str], str, int]
    ) -> None:
        """twistd's own status and sentence, and ours whole before it; no pid file stays."""
        arguments, sentence, _ = failure
        ended = daemon("daphne-like", *arguments)
        assert ended.status == 1
        ours, _, twisteds = ended.stderr.partition("An error has occurred: ")
        assert ours.endswith(f"twistd daphne-like: {sentence}\n")
        assert twisteds.endswith("Please look at log file for more information.\n")
        assert f"[daphne_like.server#critical] {sentence}\n" in ended.log
        assert not ended.pid_file.exists()
