"""`manage.py runserver` with Django's autoreloader, on copies of a project that the tests edit."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import needed
from tests.support.certificates import self_signed
from tests.support.real_server import TRACEBACK

httpx = needed.module("httpx")
connect = needed.module("websockets.sync.client").connect

Project = Callable[..., Path]
Start = Callable[..., Any]
BROKEN = "def broken(:\n"
LOGGING = """LOGGING = {
    "version": 1, "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django.utils.autoreload": {
        "level": "DEBUG", "handlers": ["console"], "propagate": False}}}"""
"""The autoreloader tells which files it watches: one edited before that is not noticed."""


@pytest.fixture
def reloading(project: Project, manage: Start) -> Iterator[Start]:
    """reloading(*arguments): a fresh project, served with the autoreloader on a free port."""
    started: list[Any] = []

    def start(*arguments: str, folder: Path | None = None, **more: Any) -> Any:
        words = arguments if {"-e", "0"} & set(arguments) else ("0", *arguments)
        words = ("--reloader", "django", *words)
        started.append(manage(folder or project(LOGGING), "runserver", *words, **more))
        return started[-1]

    yield start
    for running in started:
        running.stop()


def edit(running: Any, module: str, before: str, after: str) -> None:
    """Replace text in a module of the project."""
    path = running.folder / "developed" / f"{module}.py"
    text = path.read_text()
    assert before in text
    watched(running, path)
    path.write_text(text.replace(before, after))


def watched(running: Any, path: Path) -> None:
    """Wait until the process that serves now has seen a file."""
    seen = f"{re.escape(str(path))} first seen"
    running.wait_for(rf"(?s)Watching for(?!.*Watching for).*{seen}")


class TestReload:
    """The autoreloader survives a syntax error in the project."""

    def test_change(self, reloading: Start) -> None:
        """A changed module is served; the lifespan of the old process has ended."""
        running = reloading().wait_until_ready()
        assert httpx.get(running.url).text == "first"
        edit(running, "urls", '"first"', '"second"')
        running.wait_until_ready(times=2)
        assert httpx.get(running.url).text == "second"
        assert running.log.index("lifespan shutdown") < running.log.rindex("lifespan startup")

    @pytest.mark.parametrize("module", ["urls", "asgi"])
    def test_syntax_error(self, reloading: Start, module: str) -> None:
        """It is shown, and its mending starts the server again."""
        running = reloading("--http_timeout", "5", expects_traceback=True).wait_until_ready()
        edit(running, module, '"""\n\nfrom', f'"""\n\n{BROKEN}from')
        running.wait_for("SyntaxError: ")
        edit(running, module, BROKEN, "")
        running.wait_until_ready(times=2)
        assert httpx.get(running.url).text == "first"

    def test_broken_from_the_start(self, reloading: Start, project: Project) -> None:
        """An application that does not import at first is waited for."""
        folder = project(LOGGING)
        path = folder / "developed" / "asgi.py"
        text = path.read_text()
        path.write_text(BROKEN + text)
        running = reloading(folder=folder, expects_traceback=True)
        running.wait_for("The setting ASGI_APPLICATION is .* failed with SyntaxError")
        watched(running, path)
        path.write_text(text)
        running.wait_until_ready()
        assert 'runserver.py", line' not in running.log

    def test_broken_models(self, reloading: Start, tmp_path: Path) -> None:
        """Where Django cannot even load the apps, the options of ours survive the repair."""
        certificate = self_signed(tmp_path)
        running = reloading("--tls-certificate", str(certificate), "0", expects_traceback=True)
        running.wait_until_ready()
        edit(running, "settings", "INSTALLED_APPS = [", 'INSTALLED_APPS = ["developed", ')
        running.wait_until_ready(times=2)
        models = running.folder / "developed" / "models.py"
        models.write_text(BROKEN)
        edit(running, "urls", '"first"', '"second"')
        running.wait_for("SyntaxError: ")
        watched(running, models)
        models.write_text("")
        running.wait_until_ready(times=3)
        assert httpx.get(running.url, verify=False).text == "second"

    def test_failed_startup_is_waited_for(self, reloading: Start) -> None:
        """The lifespan's startup fails: a sentence, and a change starts the server again."""
        running = reloading().wait_until_ready()
        edit(running, "asgi", '"type": f"lifespan.{step}.complete"',
             '"type": f"lifespan.{step}.failed"')  # fmt: skip
        running.wait_for("Application startup failed")
        edit(running, "asgi", ".failed", ".complete")
        running.wait_until_ready(times=2)
        assert httpx.get(running.url).text == "first"

    def test_open_stream_and_websocket(self, reloading: Start) -> None:
        """Neither delays a reload for long; the WebSocket is told 1012."""
        running = reloading().wait_until_ready()
        connection = running.connect()
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(100)
        with connect(f"ws://127.0.0.1:{running.port}/echo") as socket_:
            edit(running, "urls", '"first"', '"second"')
            with pytest.raises(Exception, match="1012"):
                socket_.recv(timeout=10)
        running.wait_until_ready(times=2)
        assert httpx.get(running.url).text == "second"

    def test_view_that_blocks_a_thread(self, reloading: Start) -> None:
        """A reload does not wait for it."""
        running = reloading().wait_until_ready()
        running.connect().sendall(b"GET /block HTTP/1.1\r\nHost: a\r\n\r\n")
        running.wait_for("blocked")
        edit(running, "urls", '"first"', '"second"')
        running.wait_until_ready(times=2)
        assert "A view still runs in a thread; ending without it." in running.log


class TestEndpoints:
    """Endpoint strings and TLS work with the autoreloader."""

    def test_socket_is_taken_again(self, reloading: Start) -> None:
        """`-e` on one and the same port, twice over, with connections open all the time."""
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        running = reloading("-e", f"tcp:{port}:interface=127.0.0.1").wait_until_ready()
        assert running.port == port
        texts = ["first", "second", "third"]
        for turn in (1, 2):
            with httpx.Client(base_url=running.url) as client:
                assert client.get("/").text == texts[turn - 1]
                edit(running, "urls", f'"{texts[turn - 1]}"', f'"{texts[turn]}"')
                running.wait_until_ready(times=turn + 1)
        assert httpx.get(running.url).text == "third"

    def test_tls(self, reloading: Start, tmp_path: Path) -> None:
        """`--tls-certificate`: https with the peer verified, before and after a reload."""
        certificate = self_signed(tmp_path)
        running = reloading("--tls-certificate", str(certificate)).wait_until_ready()
        verify = needed.module("ssl").create_default_context(cafile=str(certificate))
        for turn, text in enumerate(["first", "second", "third"], 1):
            running.wait_until_ready(times=turn)
            assert running.url.startswith("https://")
            assert httpx.get(running.url, verify=verify).text == text
            edit(running, "urls", f'"{text}"', {1: '"second"', 2: '"third"', 3: '"last"'}[turn])


class TestEnd:
    """Ctrl-C ends both processes; a taken port is one sentence and an exit status that is not 0."""

    def test_interrupt(self, reloading: Start) -> None:
        """Ctrl-C, which the terminal sends to both processes: status 0, no traceback."""
        running = reloading().wait_until_ready()
        running.interrupt()
        assert running.ended() == 0
        assert running.log.count("lifespan shutdown") == 1

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signal_to_the_first_process(self, reloading: Start, number: int) -> None:
        """A signal to the process that was started ends both, the lifespan included."""
        running = reloading().wait_until_ready()
        running.signal(number)
        assert running.ended() == 0
        assert running.log.count("lifespan shutdown") == 1

    def test_interrupt_in_an_open_stream(self, reloading: Start) -> None:
        """An open stream is ended within seconds, and the lifespan after it."""
        running = reloading().wait_until_ready()
        connection = running.connect()
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(100)
        running.interrupt()
        assert running.ended(timeout=6) == 0
        assert "lifespan shutdown" in running.log

    def test_taken_port(self, project: Project, fails: Start) -> None:
        """One sentence, status 1, no second try."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            ended = fails(project(), "runserver", "--reloader", "django", port)
        assert ended.returncode == 1
        assert (ended.stdout + ended.stderr).count("Address already in use") == 1
        assert TRACEBACK not in ended.stderr

    def test_endpoint_that_cannot_be_read(self, project: Project, fails: Start) -> None:
        """One sentence, status 2."""
        ended = fails(project(), "runserver", "--reloader", "django", "-e", "nonsense:1")
        assert ended.returncode == 2
        assert re.search("Error: The endpoint 'nonsense:1' is not usable", ended.stderr)
