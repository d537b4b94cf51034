"""Options in files and in the environment: real commands, and what `--check` finds."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daphne_like.exceptions import ConfigurationError
from daphne_like.launch.trial_import import try_import
from daphne_like.options import Options
from tests.support.certificates import Authority
from tests.support.documentation import ROOT, block, blocks
from tests.support.real_server import TWIST, Running, fetched

Command = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., Running]
HELLO = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})
"""
VALID = "configuration is valid\n"
PAGE = ROOT / "docs" / "howto" / "configuration.rst"
COMMANDS = [
    line.removeprefix("$ ")
    for text in blocks(PAGE, "console")
    for line in text.splitlines()
    if line.startswith("$ ")
]
SERVING = [line for line in COMMANDS if not {"--check", "--print-config"} & set(line.split())]


def split(line: str) -> tuple[dict[str, str], list[str]]:
    """Variables in front of a command, and its arguments."""
    words = shlex.split(line)
    start = words.index("daphne-like")
    return dict(word.split("=", 1) for word in words[:start]), words[start + 1 :]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an application."""
    (tmp_path / "main.py").write_text(HELLO)
    return tmp_path


def write(folder: Path, text: str) -> None:
    (folder / "daphne-like.toml").write_text(text)


def serves_hello(running: Running) -> bool:
    return fetched(running.wait_until_ready().port).endswith(b"hello")


class TestPage:
    """docs/howto/configuration.rst."""

    @pytest.fixture
    def site(self, folder: Path) -> Path:
        """The folder, with the page's file under both of its names."""
        text = block(PAGE, "toml").replace("8000", "0").replace("/run", str(folder))
        write(folder, text)
        lines = text.replace("[websocket]", "[tool.daphne-like.websocket]")
        (folder / "pyproject.toml").write_text(f"[tool.daphne-like]\n{lines}")
        return folder

    @pytest.mark.parametrize("line", SERVING)
    def test_it_serves(self, line: str, site: Path, program: Start) -> None:
        """Each command without --check or --print-config serves where the file says."""
        variables, arguments = split(line)
        running = program(*arguments, cwd=site, environment=variables)
        assert serves_hello(running)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(site / "site.sock"))

    def test_there_are_commands(self) -> None:
        """The tests above and below run all of them."""
        assert len(SERVING) > 4
        assert len(COMMANDS) == len(SERVING) + 2

    def test_check(self, site: Path, command: Command) -> None:
        """The page shows what is printed."""
        (shown,) = [text for text in blocks(PAGE, "console") if "--check" in text]
        line, _, printed = shown.partition("\n")
        _, arguments = split(line.removeprefix("$ "))
        ended = command(*arguments, cwd=site)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, printed, "")

    def test_print_config(
        self, site: Path, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The lines of the page are among those that are printed."""
        (line,) = [line for line in COMMANDS if "--print-config" in line]
        variables, arguments = split(line)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        printed = command(*arguments, cwd=site).stdout.splitlines()
        shown = block(PAGE, "text").splitlines()
        assert len(shown) == 4
        assert [line for line in shown if line not in printed] == []

    def test_mistakes(
        self, folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The sentences of the page are those of the command."""
        expected = blocks(PAGE, "text")[1].splitlines()
        for text in ("max-bodysize = 1", "", "port = 70000"):
            write(folder, text)
            if text:
                monkeypatch.delenv("DAPHNE_LIKE_PROT", raising=False)
            else:
                monkeypatch.setenv("DAPHNE_LIKE_PROT", "1")
            assert command(cwd=folder).stderr.rstrip("\n") == expected.pop(0)
        assert expected == []


class TestServing:
    """The command and twistd."""

    def test_file(self, folder: Path, program: Start) -> None:
        """A command without arguments serves what the file of its directory says."""
        write(folder, 'application = "main:app"\nport = 0\nserver-name = "from a file"')
        running = program(cwd=folder)
        assert serves_hello(running)
        assert b"from a file" in fetched(running.port)

    def test_environment(self, folder: Path, program: Start) -> None:
        """The same of variables."""
        variables = {"DAPHNE_LIKE_APPLICATION": "main:app", "DAPHNE_LIKE_PORT": "0"}
        assert serves_hello(program(cwd=folder, environment=variables))

    def test_twist(self, folder: Path, program: Start) -> None:
        """The plug-in takes the same sources."""
        write(folder, 'application = "main:app"\nport = 1')
        variables = {"DAPHNE_LIKE_PORT": "0"}
        running = program("daphne-like", program=TWIST, cwd=folder, environment=variables)
        assert serves_hello(running)

    def test_workers_after_a_change(self, folder: Path, program: Start) -> None:
        """SIGHUP reads the file again: other workers serve another application."""
        write(folder, 'application = "main:app"\nport = 0\nworkers = 1')
        running = program(cwd=folder)
        assert serves_hello(running)
        (folder / "other.py").write_text(HELLO.replace('b"hello"', 'b"other"'))
        write(folder, 'application = "other:app"\nport = 0\nworkers = 1')
        running.signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while not fetched(running.port).endswith(b"other"):
            assert time.monotonic() < deadline, running.log
            time.sleep(0.05)

    @pytest.mark.parametrize("option", [(), ("--check",), ("--print-config",)])
    def test_mistakes(
        self, folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch, option: tuple[str]
    ) -> None:
        """One sentence and status 2, before anything listens."""
        write(folder, "prot = 0")
        ended = command("main:app", *option, cwd=folder)
        where = "daphne-like: daphne-like.toml: there is no option 'prot'; did you mean port?\n"
        assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", where)
        monkeypatch.setenv("DAPHNE_LIKE_PROT", "0")
        ended = command("main:app", "--config", os.devnull, *option, cwd=folder)
        where = "daphne-like: DAPHNE_LIKE_PROT: no option has this variable; did you mean "
        assert (ended.returncode, ended.stderr) == (2, f"{where}DAPHNE_LIKE_PORT?\n")


class TestPrintConfig:
    """--print-config."""

    @pytest.mark.parametrize("program", [None, TWIST], ids=["command", "twist"])
    def test_printed(self, folder: Path, command: Command, program: tuple[str] | None) -> None:
        """Every source has its origin, and the text is a file that --check accepts."""
        write(folder, 'application = "main:app"\nbacklog = 7')
        if program is None:
            ended = command("--print-config", "-p", "0", cwd=folder)
        else:
            arguments = ("daphne-like", "--print-config", "-p", "0")
            ended = command(*arguments, program=program, cwd=folder)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert "\nport = 0  # flag --port\n" in ended.stdout
        assert "\nbacklog = 7  # file daphne-like.toml\n" in ended.stdout
        (folder / "printed.toml").write_text(ended.stdout)
        checked = command("--config", "printed.toml", "--check", cwd=folder)
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, VALID, "")


class TestCheck:
    """--check."""

    def test_nothing_listens_and_nothing_is_written(self, folder: Path, command: Command) -> None:
        """A port that another program uses does not matter; the log is not created."""
        options = ["-p", "1", "--access-log", "log", "--https-redirect", "tcp:1", "-u", "socket"]
        Authority().issue("localhost").write_both(folder / "site.pem")
        ended = command(
            "main:app", "--check", "--tls-certificate", "site.pem", *options, cwd=folder
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, VALID, "")
        assert {path.name for path in folder.iterdir()} - {"__pycache__"} == {
            "main.py",
            "site.pem",
        }

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--tls-certificate", "nothere"], "--tls-certificate: nothere: No such file"),
            (["-u", "s", "--unix-owner", "nobodyhere"], "there is no user 'nobodyhere'"),
            (["-u", "s", "--unix-group", "nobodyhere"], "there is no group 'nobodyhere'"),
            (["-e", "tcp:x"], "The endpoint 'tcp:x' is not usable: expected a number"),
            (["-e", "nokind:1"], "Unknown endpoint type: 'nokind'"),
            (["-e", "tcp:70000"], "expected a port from 0 to 65535, got 70000"),
            (["--https-redirect", "tcp:x"], "The endpoint 'tcp:x' is not usable"),
            (["--access-log", "nothere/log"], "there is no directory nothere"),
            (["--access-log", "."], "cannot append to .: it is a directory"),
            (["--log-fmt", "%(nope"], "--log-fmt"),
            (["--proxy-headers", "--trusted-proxies", "x"], "--trusted-proxies: expected"),
            (["--max-requests", "5"], "--max-requests needs --workers"),
            (["--app-dir", "nothere"], "--app-dir: nothere is not a directory"),
            (["--interface", "wsgi", "--factory"], "cannot be called without arguments"),
        ],
    )
    def test_found(
        self, folder: Path, command: Command, arguments: list[str], sentence: str
    ) -> None:
        """One sentence, status 2."""
        ended = command("--check", *arguments, "main:app", cwd=folder)
        assert sentence in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert (ended.returncode, ended.stdout) == (2, "")

    @pytest.mark.parametrize(
        "string", ["systemd:domain=INET:index=0", "haproxy:systemd:domain=UNIX:name=x", "fd:99"]
    )
    def test_sockets_of_other_programs(self, folder: Path, command: Command, string: str) -> None:
        """Sockets that systemd passes on are not there when a person checks."""
        ended = command("--check", "-e", string, "main:app", cwd=folder)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, VALID, "")

    def test_another_reactor(self, folder: Path, command: Command) -> None:
        """twist with Twisted's own reactor."""
        arguments = ("--reactor", "asyncio", "daphne-like", "--check", "main:app")
        ended = command(*arguments, program=TWIST, cwd=folder)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, VALID, "")

    def test_origin_of_a_wrong_option(self, folder: Path, command: Command) -> None:
        """The sentence names the file."""
        write(folder, 'application = "main:app"\ntls.certificate = "nothere"')
        for option in ("--check", "--no-server-name"):
            ended = command(option, cwd=folder)
            assert ended.stderr.endswith(
                "No such file or directory (--tls-certificate is set by the file "
                "daphne-like.toml)\n"
            )


class TestTrialImport:
    """The import of the application in a child process."""

    @pytest.fixture(autouse=True)
    def imports_here(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Applications are found in the folder."""
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "path", list(sys.path))
        before = threading.active_count()
        yield
        assert threading.active_count() == before

    def refused(self, source: str, seconds: float = 30) -> ConfigurationError:
        Path("bad.py").write_text(source)
        with pytest.raises(ConfigurationError) as refused:
            try_import("bad:app", Options(), os.environ, seconds)
        assert refused.value.exit_status == 2
        return refused.value

    def test_good(self) -> None:
        """The application is imported in the child alone."""
        try_import("main:app", Options(), os.environ)
        assert "main" not in sys.modules

    def test_failure(self) -> None:
        """The sentence, and the application's own traceback."""
        error = self.refused("1 / 0")
        assert str(error) == "Importing 'bad' failed with ZeroDivisionError: division by zero"
        assert "bad.py" in error.detail
        assert "trial_import" not in error.detail

    def test_no_application(self) -> None:
        """The interface is checked."""
        error = self.refused("def app(a, b, c, d): ...")
        assert "is no ASGI or WSGI application" in str(error)

    @pytest.mark.parametrize(
        ("source", "end"),
        [
            ("import os; os._exit(0)", "with status 0"),
            ("import sys; print('reason', file=sys.stderr); sys.exit(3)", "with status 3"),
            ("import os; os.kill(os.getpid(), 9)", "by SIGKILL"),
        ],
    )
    def test_process_ends(self, source: str, end: str) -> None:
        """An import that ends the process is an error, whatever its status; its text is shown."""
        error = self.refused(source)
        assert str(error) == f"Importing 'bad:app' ended the process {end}"
        assert error.detail == ("reason" if "reason" in source else "")

    def test_too_long(self) -> None:
        """The child is killed with the processes that it has started."""
        started = time.monotonic()
        source = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("pid", "w").write(str(child.pid))
time.sleep(60)
"""
        error = self.refused(source, 3)
        assert str(error) == "Importing 'bad:app' did not end within 3 seconds"
        assert time.monotonic() - started < 20
        assert is_gone(int(Path("pid").read_text()))

    def test_what_the_import_leaves(self) -> None:
        """Threads do not delay the end, and processes are ended."""
        Path("busy.py").write_text(
            f"""{HELLO}
import subprocess, sys, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("pid", "w").write(str(child.pid))
print("text on standard output")
"""
        )
        started = time.monotonic()
        try_import("busy:app", Options(), os.environ)
        assert time.monotonic() - started < 20
        assert is_gone(int(Path("pid").read_text()))


def is_gone(pid: int) -> bool:
    """Wait until a process has ended; it may be a zombie that nobody reaps."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False
