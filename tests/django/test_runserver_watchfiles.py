"""`manage.py runserver` with watchfiles, on copies of a project that the tests edit."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daphne_like.management.supervised import outermost, own_paths
from tests.support import needed
from tests.support.certificates import self_signed
from tests.support.manage import Manage
from tests.support.real_server import DEADLINE, TRACEBACK

needed.module("watchfiles")
httpx = needed.module("httpx")
connect = needed.module("websockets.sync.client").connect

Project = Callable[..., Path]
Start = Callable[..., Manage]
BROKEN = "def broken(:\n"
TEMPLATES = """
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates",
              "DIRS": [BASE / "pages"], "APP_DIRS": True}]"""


@pytest.fixture
def reloading(project: Project, manage: Start) -> Iterator[Start]:
    """reloading(*arguments): a fresh project, served on a free port, whose changes are noticed."""
    started: list[Manage] = []

    def start(*arguments: str, folder: Path | None = None) -> Manage:
        folder = folder or project()
        words = arguments if "-e" in arguments else ("0", *arguments)
        running = manage(folder, "runserver", *words, expects_traceback=True)
        started.append(running)
        running.wait_until_ready()
        for turn in itertools.count():
            (folder / "noticed.py").write_text(f"{turn}\n")
            try:
                running.wait_for(r"noticed\.py changed: reloading", 1.0)
            except AssertionError:
                assert turn < DEADLINE
            else:
                break
        running.wait_for(r"(?s): reloading(?!.*: reloading).*Reloaded in")
        return running

    yield start
    for running in started:
        running.stop()


def edit(running: Manage, module: str, before: str, after: str) -> None:
    """Replace text in a module of the project."""
    path = running.folder / "developed" / f"{module}.py"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def wait_for_text(running: Manage, text: str, **more: Any) -> None:
    """Ask until this is served; no request may be refused."""
    needed.until(lambda: httpx.get(running.url, timeout=DEADLINE, **more).text == text)


class TestReload:
    """A change is served, and the port stays open."""

    def test_change(self, reloading: Start) -> None:
        """The log says which reloader runs; the lifespans do not overlap."""
        running = reloading()
        assert "Watching for changes with watchfiles: " in running.log
        assert httpx.get(running.url).text == "first"
        edit(running, "urls", '"first"', '"second"')
        wait_for_text(running, "second")
        assert "developed/urls.py changed: reloading" in running.log
        lifespans = re.findall("lifespan (startup|shutdown)", running.log)
        assert lifespans[-3:] == ["startup", "shutdown", "startup"]
        assert re.search(r"HTTP GET / 200 \[", running.log)

    @pytest.mark.parametrize("module", ["urls", "asgi", "settings"])
    def test_broken_and_healed(self, reloading: Start, module: str) -> None:
        """The error is served, without frames of Django; its mending is noticed."""
        running = reloading()
        path = running.folder / "developed" / f"{module}.py"
        text = path.read_text()
        path.write_text(BROKEN + text)
        needed.until(lambda: httpx.get(running.url, timeout=DEADLINE).status_code == 500)
        error = httpx.get(running.url, timeout=DEADLINE).text
        assert "SyntaxError" in error
        assert "django/core" not in error
        path.write_text(text)
        wait_for_text(running, "first")

    def test_failed_check(self, reloading: Start) -> None:
        """Django's system checks are made at each reload."""
        running = reloading()
        edit(running, "settings", "USE_TZ = True", "STATIC_ROOT = STATICFILES_DIRS[0]")
        needed.until(lambda: httpx.get(running.url, timeout=DEADLINE).status_code == 500)
        assert "staticfiles.E002" in httpx.get(running.url, timeout=DEADLINE).text

    def test_template(self, reloading: Start, project: Project) -> None:
        """Django keeps templates in memory, so a change of one reloads."""
        folder = project(TEMPLATES)
        (folder / "developed" / "pages").mkdir()
        running = reloading(folder=folder)
        (folder / "developed" / "pages" / "page.txt").write_text("new")
        running.wait_for(r"developed/pages/page\.txt changed: reloading")

    def test_stream_and_websocket(self, reloading: Start) -> None:
        """Neither delays a reload; the WebSocket is told 1012."""
        running = reloading()
        connection = running.connect()
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(100)
        with connect(f"ws://127.0.0.1:{running.port}/echo") as socket_:
            edit(running, "urls", '"first"', '"second"')
            with pytest.raises(Exception, match="1012"):
                socket_.recv(timeout=DEADLINE)
        wait_for_text(running, "second")

    def test_tls(self, reloading: Start, tmp_path: Path) -> None:
        """The options of the server arrive in each worker."""
        certificate = self_signed(tmp_path)
        running = reloading("--tls-certificate", str(certificate))
        verify = needed.module("ssl").create_default_context(cafile=str(certificate))
        edit(running, "urls", '"first"', '"second"')
        wait_for_text(running, "second", verify=verify)

    def test_static_files(self, reloading: Start) -> None:
        """--nostatic, too, holds in the worker."""
        assert httpx.get(f"{reloading().url}/static/site.css").status_code == 200
        assert httpx.get(f"{reloading('--nostatic').url}/static/site.css").status_code == 404


class TestEnd:
    """A signal ends both processes."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signal(self, reloading: Start, number: int) -> None:
        """Status 0, the lifespan included."""
        running = reloading()
        running.signal(number)
        assert running.ended() == 0
        assert running.log.rindex("lifespan shutdown") > running.log.rindex("lifespan startup")

    def test_interrupt(self, reloading: Start) -> None:
        """Ctrl-C, which the terminal sends to all processes."""
        running = reloading()
        running.interrupt()
        assert running.ended() == 0
        assert TRACEBACK not in running.log


class TestMistakes:
    """One sentence, and a status that is not 0."""

    def test_taken_port(self, project: Project, fails: Start) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            ended: Any = fails(project(), "runserver", str(taken.getsockname()[1]))
        assert ended.returncode == 1
        assert (ended.stdout + ended.stderr).count("Address already in use") == 1
        assert TRACEBACK not in ended.stderr

    def test_endpoint_that_cannot_be_read(self, project: Project, fails: Start) -> None:
        ended: Any = fails(project(), "runserver", "-e", "nonsense:1")
        assert ended.returncode == 2
        assert "Error: The endpoint 'nonsense:1' is not usable" in ended.stderr

    def test_option_of_watchfiles(self, project: Project, fails: Start) -> None:
        """Django's reloader would not heed it."""
        ended: Any = fails(
            project(), "runserver", "--reloader", "django", "--reload-exclude", "tests"
        )
        assert ended.returncode == 2
        assert "--reload-exclude needs --reloader watchfiles" in ended.stderr

    def test_without_watchfiles(
        self, project: Project, fails: Start, manage: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Django's own reloader runs, unless the other one was asked for."""
        folder = project()
        (folder / "watchfiles.py").write_text("raise ImportError\n")
        paths = [str(folder), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        ended: Any = fails(folder, "runserver", "--reloader", "watchfiles")
        assert ended.returncode == 2
        assert "--reloader watchfiles needs watchfiles: pip install" in ended.stderr
        running = manage(folder, "runserver", "0")
        running.wait_until_ready()
        running.wait_for("Watching for file changes with StatReloader")
        running.signal(signal.SIGTERM)
        assert running.ended() == 0


class TestDirectories:
    """Which directories are watched."""

    def test_installed_modules(self) -> None:
        """Neither the standard library nor installed packages."""
        paths = [os.path.dirname(os.__file__), os.path.dirname(pytest.__path__[0]), "", "/nowhere"]
        assert own_paths(paths) == [os.getcwd()]

    def test_outermost(self, tmp_path: Path) -> None:
        """A directory below another one is watched with it."""
        (tmp_path / "a" / "b").mkdir(parents=True)
        (tmp_path / "ab").mkdir()
        names = [str(tmp_path / name) for name in ("a/b", "a", "ab", "a", "missing")]
        assert outermost(names) == [str(tmp_path / "a"), str(tmp_path / "ab")]
