"""The pages about workers and restarts: commands, signals, and logs that look as they show them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from daphne_like.launch.supervised import SupervisedCommand
from tests.support.documentation import ROOT
from tests.support.real_server import Running, fetched

PAGE = (ROOT / "docs" / "howto" / "workers.rst").read_text()
NAMED = re.compile(r"\.\. code-block:: text\n   :name: (.+)\n\n((?:    .*\n|\n)+)")
RESTARTS = (ROOT / "docs" / "discussion" / "restarts.rst").read_text()
SHOWN = dict(NAMED.findall(PAGE + RESTARTS))
APPLICATION = """
import os, signal, time

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError
    if scope["path"] == "/crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if scope["path"] == "/block":
        time.sleep(3600)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})
"""
FORMAT = "%(levelname)-8s %(message)s"


def pattern(line: str) -> re.Pattern[str]:
    """A pattern of a line of the page, for any numbers, delays, memory addresses and folders."""
    text = re.escape(line.strip())
    text = re.sub(r"/srv/site/\S*python3\\ ", r"\\S*/python\\S* (?:-\\S+ )*?", text)
    text = re.sub(r"/srv/site/(?:[^\s\"]*/)?", '[^"]*?', text)
    text = re.sub(r"0x[0-9a-f]+", "0x[0-9a-f]+", text)
    text = re.sub(r"time\\\.sleep.*", ".*", text)
    text = text.replace(":8000", r":\d+").replace("0\\.1\\.0", r"\S+")
    return re.compile(re.sub(r"(?<![\w\[])\d+(?:\\\.\d+)?(?![\w.])", r"[\\d.]+", text))


def assert_shown(name: str, output: str) -> None:
    """The lines of a block of the page appear in an output, in this order."""
    position = 0
    for line in SHOWN[name].strip().splitlines():
        found = pattern(line).search(output, position)
        assert found is not None, f"no {line!r} ({pattern(line).pattern}) in\n{output[position:]}"
        position = found.end()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """start(*arguments): the page's site with workers, ready; ended with the test."""
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite" / "asgi.py").write_text(APPLICATION)
    with ExitStack() as started:

        def run(*arguments: str) -> Running:
            running = Running(
                "-p", "0", "--log-fmt", FORMAT, *arguments, "mysite.asgi:application",
                cwd=tmp_path, environment={"PYTHONPATH": str(ROOT)},
            )  # fmt: skip
            started.callback(running.stop)
            return running.wait_until_ready()

        yield run


def shell(command: str, folder: Path) -> str:
    """Run a command of the page, whose /run/site is a folder of the test; its output."""
    command = command.replace("/run/site", str(folder))
    done = subprocess.run(
        command,
        shell=True,
        env={**os.environ, "COLUMNS": "1000"},  # `ps` cuts lines at the width of a terminal
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


class TestCommands:
    """Commands that are no server; tests/loopback/test_documentation.py starts the servers."""

    def test_list_of_processes(self, start: Callable[..., Running], tmp_path: Path) -> None:
        """`ps` shows slot, generation and state, and the log of the start is the page's."""
        (ps,) = re.findall(r"\$ (ps .*)", PAGE)
        running = start("--workers", "2", "--pid-file", f"{tmp_path}.pid")
        assert_shown("list of processes", shell(ps, tmp_path))
        ready = sorted(re.findall(r"INFO     Worker \d .* is ready after .*\n", running.log))
        banner = running.log[running.log.index("INFO     daphne-like") :]
        assert_shown("log of a start", "".join(ready) + banner)

    def test_restart(self, start: Callable[..., Running], tmp_path: Path) -> None:
        """The page's `kill` restarts."""
        (kill,) = re.findall(r"\$ (kill -HUP .*)", PAGE)
        running = start("--workers", "1", "--pid-file", f"{tmp_path}.pid")
        shell(kill, tmp_path)
        running.wait_for("Restarted: 1 worker of generation 2")


class TestLogs:
    """The logs that the page shows."""

    def test_recycling(self, start: Callable[..., Running]) -> None:
        """--max-requests."""
        running = start("--workers", "1", "--max-requests", "3")
        for _ in range(3):
            assert fetched(running.port, "/").endswith(b"served")
        running.wait_for("has ended with status 0")
        assert_shown("log of recycling", running.log)

    def test_crash(self, start: Callable[..., Running]) -> None:
        """A worker of C code that crashes."""
        running = start("--workers", "1")
        fetched(running.port, "/crash")
        running.wait_for("is started again in")
        assert_shown("log of a crash", running.log)

    def test_blocked(self, start: Callable[..., Running]) -> None:
        """An event loop that does not run."""
        running = start("--workers", "1", "--stall-warning", "1", "--worker-timeout", "4")
        fetched(running.port, "/block")
        running.wait_for("was ended by SIGABRT")
        assert_shown("log of a blocked worker", running.log)

    def test_failed_restart(self, start: Callable[..., Running], tmp_path: Path) -> None:
        """docs/discussion/restarts.rst: code that cannot be imported."""
        running = start("--workers", "1")
        running.expects_traceback = True
        broken = "import os\n\nos.environ['NO_SUCH_KEY']\n"
        (tmp_path / "mysite" / "asgi.py").write_text(broken)
        running.signal(signal.SIGHUP)
        running.wait_for("KeyError: 'NO_SUCH_KEY'\nERROR")
        log = running.log.replace("NO_SUCH_KEY", "SECRET_KEY")
        assert_shown("log of a failed restart", log)
        assert fetched(running.port, "/").endswith(b"served")


def table_of_signals(section: str) -> list[str]:
    """The names of the signals in a section's table."""
    text = PAGE.partition(f"\n{section}\n---")[2].partition("\n---")[0].partition("\n====\n")[0]
    return re.findall(r"^``(SIG\w+)``", text, re.MULTILINE)


class TestSignals:
    """The tables of signals."""

    def test_supervisor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The table names every signal that a supervisor handles."""
        handled: dict[int, object] = {}
        monkeypatch.setattr(signal, "signal", handled.__setitem__)
        command = object.__new__(SupervisedCommand)
        command.supervisor = command._operations = command._reactor = Anything()  # type: ignore[assignment]
        command._take_signals()
        names = sorted(signal.Signals(number).name for number in handled)
        assert sorted(table_of_signals("To the supervisor")) == names

    @pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGQUIT", "SIGTTIN", "SIGTTOU",
                                      "SIGUSR1", "SIGWINCH"])  # fmt: skip
    def test_nothing(self, name: str, start: Callable[..., Running]) -> None:
        """The other signals of the page do nothing to a worker."""
        assert name not in table_of_signals("To a worker")
        assert name in table_of_signals("To the supervisor")
        running = start("--workers", "1")
        (pid,) = map(int, re.findall(r"process (\d+)", running.log))
        os.kill(pid, getattr(signal, name))
        assert fetched(running.port, "/").endswith(b"served")
        assert running.log.count("process ") == 1

    def test_worker_terminated(self, start: Callable[..., Running]) -> None:
        """SIGTERM to a worker: its successor is ready before it stops."""
        running = start("--workers", "1")
        (pid,) = map(int, re.findall(r"process (\d+)", running.log))
        os.kill(pid, signal.SIGTERM)
        running.wait_for("has ended with status 0")
        ready = running.log.index("is ready", running.log.index("asks for a successor"))
        assert ready < running.log.index("worker 1: Stopping")

    def test_quit(self, start: Callable[..., Running]) -> None:
        """SIGQUIT: stacks in the log, and status 1."""
        running = start("--workers", "1")
        running.signal(signal.SIGQUIT)
        assert running.ended() == 1
        assert "was executing:" in running.log


class Anything:
    """An object that has every attribute."""

    def __getattr__(self, name: str) -> object:
        return lambda *_arguments: None
