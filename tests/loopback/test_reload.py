"""`daphne-like --reload` on a project that the tests edit."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import needed
from tests.support.real_server import COMMAND, DEADLINE, Running

needed.module("watchfiles")
httpx = needed.module("httpx")
connect = needed.module("websockets.sync.client").connect

Command = Callable[..., "subprocess.CompletedProcess[str]"]
MAIN = """
import asyncio
import signal
import time

TEXT = "first"

async def respond(send, body, kind=b"text/plain", **more):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body, **more})

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        print("startup of", TEXT, flush=True)
        await receive()
        print("shutdown of", TEXT, flush=True)
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    elif scope["path"] == "/events":
        await respond(send, b"data: 1\\n\\n", b"text/event-stream", more_body=True)
        while (await receive())["type"] != "http.disconnect":
            pass
    elif scope["path"] == "/deaf":
        await respond(send, b"begun", more_body=True)
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
    elif scope["path"] == "/blocked":
        print("blocked", flush=True)
        time.sleep(60)
    else:
        await respond(send, TEXT.encode())
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with main.py."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "main.py").write_text(MAIN)
    return folder


@pytest.fixture
def reloading(project: Path) -> Iterator[Callable[..., Running]]:
    """reloading(*arguments): the command with --reload in the project, ready and watching."""
    started: list[Running] = []

    def start(*arguments: str, application: str = "main:application") -> Running:
        running = Running("--reload", "-p", "0", *arguments, application, cwd=project)
        started.append(running)
        running.wait_until_ready()
        # The watcher starts in a thread of its own: change files until it notices one.
        mark = project / "noticed.py"
        for turn in itertools.count():
            mark.write_text(f"{turn}\n")
            try:
                running.wait_for(r"noticed\.py changed: reloading", 1.0)
            except AssertionError:
                assert turn < DEADLINE
            else:
                break
        settle(running)
        return running

    yield start
    for running in started:
        running.stop()


def settle(running: Running) -> None:
    """Wait until a start has followed the last change; one before may have been given up."""
    running.wait_for(r"(?s)(: reloading(?!.*: reloading).*)(Reloaded in|waiting for a change)")


def edit(path: Path, before: str, after: str) -> None:
    """Replace text in a file, in one write."""
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def wait_for_text(running: Running, text: str) -> None:
    """Ask until this is served; no request may be refused."""
    needed.until(lambda: httpx.get(running.url, timeout=DEADLINE).text == text)


class TestChange:
    """After a change the new code is served, and the port stays open."""

    def test_no_request_is_refused(self, reloading: Callable[..., Running], project: Path) -> None:
        """Requests all the time, on connections of their own, over two changes."""
        running = reloading()
        seen: list[str] = []
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                seen.append(httpx.get(running.url, timeout=DEADLINE).text)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for before, after in (("first", "second"), ("second", "third")):
                needed.until(lambda wanted=before: wanted in seen)
                edit(project / "main.py", before, after)
            needed.until(lambda: "third" in seen)
        finally:
            over.set()
            asking.join(DEADLINE)
        assert list(dict.fromkeys(seen)) == ["first", "second", "third"]
        assert [text for text, _ in itertools.groupby(seen)] == ["first", "second", "third"]
        assert "main.py changed: reloading" in running.log

    def test_lifespans_do_not_overlap(
        self, reloading: Callable[..., Running], project: Path
    ) -> None:
        """The application may hold a lock, or listen on a port of its own."""
        running = reloading()
        edit(project / "main.py", "first", "second")
        wait_for_text(running, "second")
        assert running.log.index("shutdown of first") < running.log.index("startup of second")

    def test_kept_connection(self, reloading: Callable[..., Running], project: Path) -> None:
        """A connection that is kept alive does not go on with the old code."""
        running = reloading()
        with httpx.Client(base_url=running.url, timeout=DEADLINE) as client:
            assert client.get("/").text == "first"
            edit(project / "main.py", "first", "second")
            running.wait_for("startup of second")
            assert client.get("/").text == "second"

    def test_two_changes_of_equal_size_within_a_second(
        self, reloading: Callable[..., Running], project: Path
    ) -> None:
        """Python's compiled code would be taken for that of the second one."""
        running = reloading()
        path = project / "main.py"
        for text in ("text1", "text2", "text3"):
            path.write_text(re.sub('TEXT = ".*"', f'TEXT = "{text}"', path.read_text()))
            now = int(time.time())
            os.utime(path, (now - now % 100, now - now % 100))
            wait_for_text(running, text)

    def test_many_changes_are_one(self, reloading: Callable[..., Running], project: Path) -> None:
        """Those of a git checkout, for example."""
        running = reloading()
        for number in range(50):
            (project / f"module_{number}.py").write_text("")
        edit(project / "main.py", "first", "second")
        wait_for_text(running, "second")
        assert len(re.findall(r"module_\d+\.py.*: reloading", running.log)) == 1
        assert "main.py, module_0.py, module_1.py and 48 other files changed" in running.log

    def test_change_during_a_start(self, reloading: Callable[..., Running], project: Path) -> None:
        """The start is given up, and the next one serves."""
        running = reloading()
        slow = 'print("slow start", flush=True)\ntime.sleep(60)\nTEXT = "first"'
        edit(project / "main.py", 'TEXT = "first"', slow)
        running.wait_for("slow start")
        edit(project / "main.py", slow, 'TEXT = "second"')
        assert httpx.get(running.url, timeout=DEADLINE).text == "second"

    def test_sighup(self, reloading: Callable[..., Running]) -> None:
        """It reloads as a change does."""
        running = reloading()
        running.signal(signal.SIGHUP)
        running.wait_for(r"(?s)SIGHUP: reloading.*startup of first")
        assert httpx.get(running.url, timeout=DEADLINE).text == "first"


class TestOpenConnections:
    """What is open at a change does not hold it up (Kludex/uvicorn#2943)."""

    def test_stream_of_events_and_websocket(
        self, reloading: Callable[..., Running], project: Path
    ) -> None:
        """The stream ends as it should; the WebSocket gets close code 1012."""
        running = reloading()
        address = f"ws://127.0.0.1:{running.port}/"
        with connect(address) as socket, running.connect() as connection:
            connection.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
            received = connection.recv(4096)
            edit(project / "main.py", "first", "second")
            with pytest.raises(Exception, match="1012"):
                socket.recv(timeout=DEADLINE)
            while data := connection.recv(4096):
                received += data
        assert received.endswith(b"0\r\n\r\n")
        wait_for_text(running, "second")
        settle(running)
        last = re.findall(r"Reloaded in ([\d.]+) s", running.log)[-1]
        assert float(last) < 15  # under load; without a limit it would be for ever
        assert running.log.index("shutdown of first") < running.log.index("startup of second")

    @pytest.mark.parametrize("path", ["/deaf", "/blocked"])
    def test_application_that_does_not_end(
        self, reloading: Callable[..., Running], project: Path, path: str
    ) -> None:
        """One that heeds no cancellation, and one that blocks the event loop."""
        running = reloading()
        connection = running.connect()
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        if path == "/blocked":
            running.wait_for(r"(?m)^blocked$")
        else:
            assert b"200 OK" in connection.recv(100)
        edit(project / "main.py", "first", "second")
        running.wait_for("startup of second")
        wait_for_text(running, "second")


class TestErrors:
    """Broken code is shown, and the next change heals it."""

    BROKEN = [
        pytest.param("def broken(:\n", "SyntaxError", id="syntax"),
        pytest.param("import no_such_module\n", "ModuleNotFoundError", id="import"),
        pytest.param("raise ValueError('<b>')\n", "ValueError: <b>", id="exception"),
        pytest.param("raise SystemExit(7)\n", "with status 7", id="exit"),
        pytest.param("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "SIGSEGV",
                     id="crash"),
    ]  # fmt: skip

    @pytest.mark.parametrize(("code", "words"), BROKEN)
    def test_broken_and_healed(
        self, reloading: Callable[..., Running], project: Path, code: str, words: str
    ) -> None:
        """500 for every request until the next change; one traceback in the log."""
        running = reloading()
        path = project / "main.py"
        edit(path, MAIN, code + MAIN)
        needed.until(lambda: httpx.get(running.url, timeout=DEADLINE).status_code == 500)
        for method in ("GET", "POST", "HEAD", "OPTIONS"):
            answer = httpx.request(method, f"{running.url}/any", timeout=DEADLINE)
            assert answer.status_code == 500
        answer = httpx.get(running.url, timeout=DEADLINE)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert words in answer.text
        page = httpx.get(running.url, headers={"accept": "text/html,*/*"}, timeout=DEADLINE)
        assert page.status_code == 500
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "<b>" not in page.text
        assert running.log.count("waiting for a change") == 1
        path.write_text(MAIN)
        wait_for_text(running, "first")

    def test_failed_startup(self, reloading: Callable[..., Running], project: Path) -> None:
        """The lifespan's startup fails."""
        running = reloading()
        path = project / "main.py"
        edit(path, '"lifespan.startup.complete"', '"lifespan.startup.failed", "message": "no db"')
        needed.until(lambda: httpx.get(running.url, timeout=DEADLINE).status_code == 500)
        assert "no db" in httpx.get(running.url, timeout=DEADLINE).text
        path.write_text(MAIN)
        wait_for_text(running, "first")

    def test_broken_at_the_very_first_start(
        self, reloading: Callable[..., Running], project: Path
    ) -> None:
        """The command waits, too; a WebSocket is refused with the same text."""
        (project / "main.py").write_text("raise ValueError('from the start')\n")
        running = reloading()
        assert "from the start" in httpx.get(running.url, timeout=DEADLINE).text
        with pytest.raises(Exception, match="500"):
            connect(f"ws://127.0.0.1:{running.port}/")
        (project / "main.py").write_text(MAIN)
        wait_for_text(running, "first")

    def test_page_waits(self, reloading: Callable[..., Running], project: Path) -> None:
        """What the page asks is answered at the end of the error."""
        (project / "main.py").write_text("def broken(:\n")
        running = reloading()
        settle(running)
        field = "x-daphne-like-error"
        error = httpx.get(running.url, timeout=DEADLINE).headers[field]
        with httpx.stream("GET", running.url, headers={field: error}, timeout=DEADLINE) as answer:
            assert answer.headers[field] == error
            (project / "main.py").write_text(MAIN)
            assert b"".join(answer.iter_raw()) == b":\n\n"
        answer = httpx.get(running.url, headers={field: error}, timeout=DEADLINE)
        assert field not in answer.headers
        assert answer.text == "first"

    def test_crash_later(self, reloading: Callable[..., Running], project: Path) -> None:
        """A worker that is killed while it serves is started again."""
        running = reloading()
        running.log.index("startup of first")
        found = subprocess.run(
            ["ps", "-o", "pid=,comm=", "--ppid", str(running.process.pid)],
            capture_output=True, text=True, timeout=DEADLINE, check=True,
        )  # fmt: skip
        serving = re.search(r"(\d+) w\d+g\d+ ready", found.stdout)
        assert serving, found.stdout
        os.kill(int(serving[1]), signal.SIGKILL)
        running.wait_for("SIGKILL")
        wait_for_text(running, "first")


class TestWatched:
    """Which files are watched."""

    def test_include_and_exclude(self, reloading: Callable[..., Running], project: Path) -> None:
        """A page that is included reloads; an excluded folder and other files do not."""
        (project / "scripts").mkdir()
        running = reloading("--reload-include", "*.html", "--reload-exclude", "scripts")
        (project / "scripts" / "one.py").write_text("")
        (project / "notes.txt").write_text("")
        (project / "page.html").write_text("")
        running.wait_for(r"page\.html changed: reloading")
        assert not re.search(r"(one\.py|notes\.txt).* changed", running.log)

    def test_reload_dir(
        self, reloading: Callable[..., Running], project: Path, tmp_path: Path
    ) -> None:
        """Another directory beside that of the application."""
        other = tmp_path / "library"
        other.mkdir()
        running = reloading("--reload-dir", str(project), "--reload-dir", str(other))
        (other / "shared.py").write_text("")
        running.wait_for(r"shared\.py changed: reloading")

    def test_polling(
        self, project: Path, monkeypatch: pytest.MonkeyPatch, reloading: Callable[..., Running]
    ) -> None:
        """For file systems that report no changes."""
        monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "1")
        running = reloading()
        edit(project / "main.py", "first", "second")
        wait_for_text(running, "second")


class TestEnd:
    """A stop ends all processes."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signal(self, reloading: Callable[..., Running], number: int) -> None:
        """Status 0 in spite of an open stream; no process is left, the one that waits included."""
        running = reloading()
        connection = running.connect()
        connection.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(100)
        children = needed.until(lambda: _two_children(running.process.pid))
        running.signal(number)
        assert running.ended() == 0
        needed.until(lambda: not any(Path(f"/proc/{child}/stat").exists() for child in children))

    def test_killed(self, reloading: Callable[..., Running]) -> None:
        """SIGKILL of the first process takes the others along."""
        running = reloading()
        children = needed.until(lambda: _two_children(running.process.pid))
        running.process.kill()
        running.ended()
        needed.until(lambda: not any(map(_runs, children)))


def _two_children(pid: int) -> list[int]:
    """The process that serves and the one that waits, when both exist."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return list(map(int, found)) if len(found) == 2 else []


def _runs(pid: int) -> bool:
    """Whether a process exists that is no zombie, whose parent does not care."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class TestMistakes:
    """One sentence and status 2."""

    CASES = [
        (["--reload", "--workers", "2"], "--reload runs one worker, so --workers must be left out"),
        (["--reload", "--workers", "auto"], "--reload runs one worker, so"),
        (["--reload", "--max-requests", "9"], "--max-requests has no effect with --reload"),
        (["--reload-dir", "x"], "--reload-dir needs --reload"),
        (["--reload-exclude", "x"], "--reload-exclude needs --reload"),
        (["--reload", "--reload-dir", "nowhere"], "--reload-dir: nowhere is not a directory"),
    ]

    @pytest.mark.parametrize(("arguments", "sentence"), CASES)
    def test_sentence(self, command: Command, arguments: list[str], sentence: str) -> None:
        """Before anything listens."""
        ended = command(*arguments, "-p", "0", "stopping:hello")
        assert ended.returncode == 2
        assert ended.stderr.startswith(f"daphne-like: {sentence}")
        assert ended.stderr.count("\n") == 1

    def test_without_watchfiles(self, command: Command, tmp_path: Path) -> None:
        """The sentence says what to install."""
        (tmp_path / "watchfiles.py").write_text("raise ImportError\n")
        paths = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
        ended = command("--reload", "-p", "0", program=["env", f"PYTHONPATH={paths}", *COMMAND])
        assert ended.returncode == 2
        assert ended.stderr == (
            "daphne-like: --reload needs watchfiles: pip install 'daphne-like[reload]'\n"
        )

    def test_twistd(self, command: Command) -> None:
        """twistd has no such option: it makes processes in its own way."""
        program = [sys.executable, "-m", "twisted", "daphne-like"]
        ended = command("--reload", program=program)
        assert ended.returncode == 2
        assert "unrecognized arguments: --reload" in ended.stderr
