"""The `daphne-like` command: what it accepts, refuses, prints and returns."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import daphne_like
from tests.support import needed
from tests.support.real_server import Running

Command = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., Running]


def get(path: str, connection: socket.socket) -> bytes:
    connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


class TestRefusals:
    """One clear sentence on standard error, exit status 2, before anything listens."""

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--nope"], "unrecognized arguments: --nope"),
            (["-p", "70000"], "--port: expected 0 to 65535, got 70000"),
            (["-v", "9"], "invalid choice: 9"),
            ([":nothing"], "':nothing' does not name an application"),
            (["nothere:app"], "There is no module named 'nothere'"),
            (["stopping:nothere"], "'stopping' has no attribute 'nothere'"),
            (["stopping:asyncio"], "'stopping:asyncio' is no ASGI application"),
            (["-e", "foo:1", "stopping:hello"], "Unknown endpoint type: 'foo'"),
            (["-e", "ssl:1:privateKey=/nope", "stopping:hello"], "No such file or directory"),
            (["--proxy-headers-port", "X", "stopping:hello"], "needs --proxy-headers"),
            (["--access-log", "/nope/x", "stopping:hello"], "--access-log: cannot append"),
            (["--log-fmt", "%(nope", "stopping:hello"], "--log-fmt"),
            (["--fd", "999", "stopping:hello"], "--fd 999 is not usable"),
            (["--workers", "0", "main:app"], "--workers: expected 1 to 256 or auto, got 0"),
            (["--workers=some", "main:app"], "expected a number of processes or auto, got 'some'"),
            (["-w", "4", "main:app"], "there is no option -w: --workers N"),
            (["--host", "0.0.0.0", "main:app"], "there is no option --host: -b HOST"),
            (["--max-requests", "9", "main:app"], "--max-requests needs --workers; 1 is enough"),
            (["--max-requests-jitter", "9"], "--max-requests-jitter needs --max-requests"),
            (["--workers", "2", "nothere:app"], "There is no module named 'nothere'"),
            (["--workers", "2", "--fd", "999", "stopping:hello"], "--fd 999 is not usable"),
            (["--workers", "2", "-e", "foo:1", "main:app"], "Unknown endpoint type: 'foo'"),
            (["--limit-request-field_size", "9"], "--max-field-section N"),
            (["--websocket-timout", "9"], "did you mean --websocket-timeout?"),
            (["stopping:hello", "other"], "unrecognized arguments: other"),
            (["--app-dir", "/nodir", "main:app"], "--app-dir: /nodir is not a directory"),
            (["-b", "127.0.0.1:80"], "did you mean -b 127.0.0.1 -p 80?"),
            (["-b", "[::1]:80"], "did you mean -b [::1] -p 80?"),
            (["-b", ":80"], "did you mean -p 80?"),
            (["-b", "unix:/run/s"], "did you mean -u /run/s?"),
            (["stopping.hello"], "did you mean stopping:hello?"),
            (["../a/main.py"], "did you mean --app-dir ../a main:application?"),
            (["-e", "tcp:abc", "stopping:hello"], "'tcp:abc' is not usable: expected a number"),
            (["--tls-certificate", "/nope", "stopping:hello"], "--tls-certificate: /nope: No such"),
        ],
    )
    def test_a_mistake_is_one_sentence(
        self, command: Command, arguments: list[str], sentence: str
    ) -> None:
        """No traceback, one line, status 2."""
        ended = command("-p", "0", *arguments)
        assert sentence in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert ended.returncode == 2
        assert ended.stdout == ""

    def test_an_import_that_fails_shows_the_application_alone(self, command: Command) -> None:
        """The application's own traceback, without a frame of ours or of importlib."""
        ended = command("-p", "0", "broken_import:application")
        assert ended.returncode == 2
        assert "in inner\n" in ended.stderr
        assert "RuntimeError: no settings" in ended.stderr
        assert ended.stderr.endswith(
            "daphne-like: Importing 'broken_import' failed with RuntimeError: no settings\n"
        )
        assert "daphne_like/" not in ended.stderr
        assert "importlib" not in ended.stderr

    def test_a_taken_port_is_exit_status_1(self, command: Command) -> None:
        """The sentence names the endpoint and the reason; the application was not started."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            ended = command("-p", port, "-e", "tcp:0:interface=127.0.0.1", "stopping:application")
        assert ended.returncode == 1
        assert f"Cannot listen on 127.0.0.1:{port}: " in ended.stderr
        assert "Address already in use" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert "serves" not in ended.stderr
        assert "lifespan.startup" not in ended.stdout


class TestListening:
    """Daphne's options -b, -p, -u, --fd and -e."""

    def test_port_0_is_picked_and_printed(self, server: Start) -> None:
        """The banner has version, address, reactor, event loop and parser."""
        running = server("stopping:application")
        assert running.port > 0
        banner = running.log[running.log.index("daphne-like ") :]
        for part in (daphne_like.__version__, "NativeReactor", "uvloop", "httptools", "Twisted"):
            assert part in banner
        assert get("hello", running.connect()).endswith(b"hello\n")

    def test_unix_socket(self, server: Start, tmp_path: Path) -> None:
        """-u beside -p; what a killed server left behind is taken over, and gone after a stop."""
        path = tmp_path / "socket"
        killed = server("stopping:application", "-u", str(path))
        killed.process.kill()
        killed.ended()
        assert path.is_socket()
        running = server("stopping:application", "-u", str(path))
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            assert get("hello", connection).endswith(b"hello\n")
        running.stop()
        assert not path.exists()

    def test_ipv6_with_brackets(self, server: Start) -> None:
        """-b '[::1]', as in URLs."""
        running = server("stopping:application", "-b", "[::1]")
        assert running.host == "[::1]"
        with socket.create_connection(("::1", running.port), timeout=10) as connection:
            assert get("hello", connection).endswith(b"hello\n")

    def test_several_endpoints(self, server: Start) -> None:
        """-e may be repeated and goes with -p; every address is in the banner."""
        extra = "tcp:0:interface=127.0.0.1"
        running = server("stopping:application", "-e", extra, "-e", extra)
        banner = running.wait_for("serves .*").group()
        ports = [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", banner)]
        assert len(set(ports)) == 3
        for port in ports:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                assert get("hello", connection).endswith(b"hello\n")

    def test_inherited_descriptor(self) -> None:
        """--fd N serves a socket that listens already."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            descriptor = listening.fileno()
            process = subprocess.Popen(
                [sys.executable, "-m", "daphne_like", "--fd", str(descriptor)],
                pass_fds=[descriptor],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                with socket.create_connection(listening.getsockname(), timeout=20) as connection:
                    assert get("scope", connection).startswith(b"HTTP/1.1 200 OK\r\n")
            finally:
                process.terminate()
                process.wait(20)


class TestLog:
    """The log and the access log."""

    def test_a_line_per_request(self, server: Start) -> None:
        """NCSA lines on standard output; escapes of the path stay escapes (S06)."""
        running = server("stopping:application")
        get("hello?a=%0a%1b[31m", running.connect())
        line = running.wait_for(r'127\.0\.0\.1:\d+ - - \[[^]]+\] "GET .*').group()
        assert re.search(r'"GET /hello\?a=%0a%1b\[31m" 200 6 \d+\.\d{3}$', line)

    def test_to_a_file(self, server: Start, tmp_path: Path) -> None:
        """--access-log appends to a file, and standard output has none."""
        path = tmp_path / "access.log"
        path.write_text("before\n")
        running = server("stopping:application", "--access-log", str(path))
        get("hello", running.connect())
        running.stop()
        assert path.read_text().startswith("before\n")
        assert '"GET /hello" 200 6' in path.read_text()
        assert "GET" not in running.log

    def test_verbosity_0_is_silent(self, tmp_path: Path) -> None:
        """-v 0: neither banner nor access log; only warnings and worse."""
        path = tmp_path / "socket"
        process = subprocess.Popen(
            [sys.executable, "-m", "daphne_like", "-v", "0", "-u", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            needed.until(path.is_socket, 60)
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(60)
                connection.connect(str(path))
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            process.terminate()
            assert process.communicate(timeout=60)[0] == ""
        finally:
            process.kill()
        assert process.returncode == 0

    def test_verbosity_2(self, server: Start) -> None:
        """-v 2 adds what is refused, and no library's internals."""
        running = server("stopping:application", "-v", "2")
        with running.connect() as connection:
            connection.sendall(b"nonsense\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
        running.wait_for(r"\[\d+ 127.0.0.1:\d+\] Refused with 400: ")
        assert "HTTPFactory" not in running.log


class TestVersion:
    """The version stands in one place."""

    def test_version(self, command: Command) -> None:
        """--version, `python -m daphne_like`, `daphne_like.__version__`."""
        assert command("--version").stdout == f"daphne-like {daphne_like.__version__}\n"

    def test_help_teaches(self, command: Command) -> None:
        """Every option, its unit and default, and examples."""
        text = command("--help").stdout
        assert "examples:" in text
        assert "times (seconds, or 500ms, 30s, 5m, 1h, 1d):" in text
        assert "(default: 60)" in text


class TestPidFile:
    """--pid-file."""

    def test_one_server_has_it(self, server: Start, command: Command, tmp_path: Path) -> None:
        """The number of the process; a second server says one sentence, and binds nothing."""
        path = tmp_path / "site.pid"
        running = server("bare:application", "--pid-file", str(path))
        assert path.read_text() == f"{running.process.pid}\n"
        second = command("--pid-file", str(path), "-p", str(running.port), "missing_module")
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr == (
            f"daphne-like: --pid-file: {path} is locked by a server that runs, "
            f"process {running.process.pid}\n"
        )
        running.signal(signal.SIGHUP)
        running.wait_for("SIGHUP")
        assert path.read_text() == f"{running.process.pid}\n"
        running.signal()
        assert running.ended() == 0
        assert not path.exists()

    def test_a_supervisor_has_it(self, server: Start, tmp_path: Path) -> None:
        """Workers have none, and do not keep the lock."""
        path = tmp_path / "site.pid"
        running = server("bare:application", "--pid-file", str(path), "--workers", "1")
        assert path.read_text() == f"{running.process.pid}\n"
        running.signal()
        assert running.ended() == 0
        assert not path.exists()

    def test_a_start_that_fails_leaves_none(self, command: Command, tmp_path: Path) -> None:
        """The application cannot be imported."""
        path = tmp_path / "site.pid"
        assert command("--pid-file", str(path), "missing_module").returncode == 2
        assert not path.exists()


class TestSignalsDuringTheImport:
    """Signals that come while the application is imported."""

    def importing(self, program: Start) -> Running:
        """A command within an import that takes long."""
        running = program("contained:application", environment={"SLOW_IMPORT": "1"})
        running.wait_for("importing")
        return running

    def test_interrupt(self, program: Start) -> None:
        """Ctrl-C: the end, without a traceback of the import."""
        running = self.importing(program)
        running.signal(signal.SIGINT)
        assert running.ended(10) == 128 + signal.SIGINT
        assert running.log == "importing\n"

    def test_quit(self, program: Start) -> None:
        """SIGQUIT: the stacks, then the end."""
        before = signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # a shell's background ignores it
        try:
            running = self.importing(program)
        finally:
            signal.signal(signal.SIGQUIT, before)
        running.signal(signal.SIGQUIT)
        assert running.ended(10) == -signal.SIGQUIT
        assert re.search(r'contained\.py", line \d+ in <module>', running.log)
