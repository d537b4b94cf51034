"""`manage.py runserver`: what it serves, says and refuses, without the autoreloader."""

from __future__ import annotations

import importlib.util
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
import pytest

from tests.support import needed

httpx = needed.module("httpx")
connect = needed.module("websockets.sync.client").connect

Project = Callable[..., Path]
Start = Callable[..., Any]


OWN_RUNSERVER = """
from daphne_like.management.commands import runserver

class Command(runserver.Command):
    def log_action(self, protocol, action, details):
        application = runserver.get_default_application()
        print("own line:", protocol, action, details["path"], details["status"], application)
"""


@pytest.fixture(scope="module")
def running(project: Project, runserver: Start) -> Any:
    """One server for all tests that only ask."""
    return runserver(project(), "--force-color", "--http_timeout", "3")


class TestServing:
    """Daphne's runserver, with its settings and options."""

    def test_view(self, running: Any) -> None:
        """HTTP goes to Django, over ASGI."""
        assert httpx.get(f"{running.url}/tell").json() == {
            "url": "/tell", "scheme": "http", "asgi": True,
        }  # fmt: skip

    def test_websocket(self, running: Any) -> None:
        """A WebSocket goes to the application of ASGI_APPLICATION."""
        with connect(f"ws://127.0.0.1:{running.port}/echo") as socket_:
            socket_.send("hello")
            assert socket_.recv() == "hello"

    def test_static_files(self, running: Any) -> None:
        """In DEBUG, staticfiles' finders serve STATIC_URL."""
        assert httpx.get(f"{running.url}/static/site.css").text == "body { color: teal; }\n"

    def test_banner(self, running: Any) -> None:
        """Django's banner: version, settings, server, real port, how to quit, and a warning."""
        assert re.search(
            r"Django version \S+, using settings 'developed.settings'\n"
            r"Starting ASGI/daphne-like version \S+ development server at "
            rf"http://127.0.0.1:{running.port}/\n"
            r"Quit the server with CONTROL-C.\n",
            running.log,
        )
        assert "This is a development server" in running.log

    def test_checks_run(self, running: Any) -> None:
        """The system checks run, and say so."""
        assert "System check identified no issues" in running.log

    def test_lifespan(self, running: Any) -> None:
        """Startup has ended before the banner is printed."""
        before, _, _ = running.log.partition("Starting ASGI")
        assert "lifespan startup" in before

    def test_http_timeout(self, project: Project, runserver: Start) -> None:
        """`--http_timeout`, with Daphne's underscore: 503 for a response that takes longer."""
        running = runserver(project(), "--http_timeout", "1")
        assert httpx.get(f"{running.url}/slow?for=9", timeout=20).status_code == 503


class TestRequestLines:
    """Request lines are coloured by class, slow ones marked, WebSockets have their close code."""

    @pytest.mark.parametrize(
        ("path", "status", "colour"),
        [
            ("/status/200", 200, ""),
            ("/status/304", 304, "36"),
            ("/status/302", 302, "32"),
            ("/status/404", 404, "33"),
            ("/status/410", 410, "31;1"),
            ("/status/500", 500, "35;1"),
        ],
    )
    def test_colour(self, running: Any, path: str, status: int, colour: str) -> None:
        """Method, path, status, seconds and client, in the colour of the status."""
        if django.VERSION < (5, 0) and importlib.util.find_spec("colorama"):
            pytest.skip("Django 4.2 lets colorama, if it is installed, take colours out of a pipe")
        assert httpx.get(running.url + path).status_code == status
        line = rf"(?m)^\x1b\[{colour}mHTTP GET {path} {status} \[\d\.\d\d, 127.0.0.1:\d+\]"
        running.wait_for(line)

    def test_slow_request_is_marked(self, running: Any) -> None:
        """A response that took more than a second is marked."""
        assert httpx.get(f"{running.url}/slow", timeout=20).text == "slow"
        running.wait_for(r"HTTP GET /slow 200 \[1\.\d\d, \S+\](\x1b\[0m)? (\x1b\[[\d;]+m)?slow")

    def test_websocket_accepted(self, running: Any) -> None:
        """HANDSHAKING, CONNECT and DISCONNECT, the last with the close code."""
        with connect(f"ws://127.0.0.1:{running.port}/lines") as socket_:
            socket_.close(4001)
        client = r"\[127.0.0.1:\d+\]"
        running.wait_for(rf"WebSocket HANDSHAKING /lines {client}")
        running.wait_for(rf"WebSocket CONNECT /lines {client}")
        running.wait_for(rf"WebSocket DISCONNECT /lines 4001 {client}")

    def test_websocket_refused(self, running: Any) -> None:
        """REJECT."""
        with pytest.raises(Exception, match="403"):
            connect(f"ws://127.0.0.1:{running.port}/refuse")
        running.wait_for(r"WebSocket REJECT /refuse \[127.0.0.1:\d+\]")

    def test_verbosity_zero(self, project: Project, runserver: Start) -> None:
        """`--verbosity 0` prints no request lines."""
        running = runserver(project(), "--verbosity", "0")
        httpx.get(running.url)
        running.signal()
        running.ended()
        assert "HTTP GET" not in running.log


class TestOptionsAndSettings:
    """Django's and Daphne's options and settings keep their effect."""

    def test_settings(self, project: Project, runserver: Start) -> None:
        """FORCE_SCRIPT_NAME is the root path; the size of a message is limited."""
        running = runserver(
            project("FORCE_SCRIPT_NAME = '/below'", "DAPHNE_WEBSOCKET_MAX_MESSAGE_SIZE = 10")
        )
        assert httpx.get(f"{running.url}/below/tell").json()["url"] == "/below/tell"
        with connect(f"ws://127.0.0.1:{running.port}/echo") as socket_:
            socket_.send("more than ten octets")
            with pytest.raises(Exception, match="1009"):
                socket_.recv(timeout=20)

    def test_help(self, project: Project, manage: Start) -> None:
        """The help shows the defaults that hold here, those of the settings too."""
        running = manage(
            project("FORCE_SCRIPT_NAME = '/50%'", "DAPHNE_WEBSOCKET_MAX_MESSAGE_SIZE = 10"),
            "runserver", "--help",
        )  # fmt: skip
        assert running.ended() == 0
        text = re.sub(r"\s+", " ", running.log)
        for flag, default in [
            ("--graceful-timeout TIME", "1"),
            ("--root-path PATH", "/50%"),
            ("--websocket-max-message-size SIZE", "10"),
            ("--websocket-max-frame-size SIZE", "1048576"),
        ]:
            assert re.search(rf"{flag} [^(]*(\(1009\)[^(]*)?(\(root_path [^(]*)?"
                             rf"\(default: {default}\)", text), text  # fmt: skip
        assert " -b " not in text

    def test_subclass(self, project: Project, runserver: Start) -> None:
        """Names of Daphne's command: an app with a runserver of its own, made for Daphne."""
        folder = project("INSTALLED_APPS.insert(0, 'own')")
        commands = folder / "own" / "management" / "commands"
        commands.mkdir(parents=True)
        (commands / "runserver.py").write_text(OWN_RUNSERVER)
        running = runserver(folder)
        assert httpx.get(f"{running.url}/tell").status_code == 200
        running.wait_for(r"own line: http complete /tell 200 <function application")

    def test_option_before_setting(self, project: Project, runserver: Start) -> None:
        """What the command line says counts more than a setting."""
        running = runserver(
            project("DAPHNE_WEBSOCKET_MAX_FRAME_SIZE = 10"), "--websocket-max-frame-size", "0"
        )
        with connect(f"ws://127.0.0.1:{running.port}/echo") as socket_:
            socket_.send("more than ten octets")
            assert socket_.recv() == "more than ten octets"

    def test_noasgi(self, project: Project, runserver: Start) -> None:
        """`--noasgi` runs Django's own WSGI server."""
        # Its banner has the real port from Django 5.0 on: the port is chosen here.
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        running = runserver(project(), "--noasgi", port=str(port))
        answer = needed.until(lambda: reached(f"{running.url}/tell"))
        assert "WSGIServer" in answer.headers["server"]
        assert answer.json()["asgi"] is False

    def test_nostatic(self, project: Project, runserver: Start) -> None:
        """`--nostatic` leaves STATIC_URL to the project."""
        running = runserver(project(), "--nostatic")
        assert httpx.get(f"{running.url}/static/site.css").status_code == 404

    def test_insecure(self, project: Project, runserver: Start) -> None:
        """`--insecure` serves static files without DEBUG."""
        running = runserver(project("DEBUG = False"), "--insecure")
        assert httpx.get(f"{running.url}/static/site.css").status_code == 200

    def test_no_static_files_without_debug(self, project: Project, runserver: Start) -> None:
        """Without DEBUG there are none."""
        running = runserver(project("DEBUG = False"))
        assert httpx.get(f"{running.url}/static/site.css").status_code == 404

    def test_without_staticfiles(self, project: Project, runserver: Start) -> None:
        """A project of Django alone, without staticfiles and without a lifespan."""
        running = runserver(
            project(
                "INSTALLED_APPS.remove('django.contrib.staticfiles')",
                "ASGI_APPLICATION = 'developed.plain.application'",
            )
        )
        assert httpx.get(running.url).text == "first"

    def test_channels(self, project: Project, runserver: Start) -> None:
        """Channels' ProtocolTypeRouter: HTTP, static files and WebSocket."""
        needed.module("channels")
        running = runserver(project("ASGI_APPLICATION = 'developed.routed.application'"))
        assert httpx.get(running.url).text == "first"
        assert httpx.get(f"{running.url}/static/site.css").status_code == 200
        with connect(f"ws://127.0.0.1:{running.port}/echo") as socket_:
            socket_.send("hello")
            assert socket_.recv() == "hello"

    def test_skip_checks(self, project: Project, runserver: Start) -> None:
        """`--skip-checks`: a project with a wrong order of apps is served."""
        running = runserver(project("INSTALLED_APPS.append('django.contrib.sessions')",
                                    "SESSION_ENGINE = 3"), "--skip-checks")  # fmt: skip
        assert "Performing system checks" not in running.log

    def test_unapplied_migrations(self, project: Project, runserver: Start) -> None:
        """The check of the migrations says what is not applied."""
        running = runserver(project("INSTALLED_APPS.append('django.contrib.contenttypes')"))
        assert "unapplied migration(s)" in running.log

    def test_no_color(self, project: Project, runserver: Start) -> None:
        """`--no-color`: no escape sequence anywhere."""
        running = runserver(project(), "--no-color")
        httpx.get(f"{running.url}/status/404")
        running.wait_for("/status/404 404")
        assert "\x1b" not in running.log

    def test_settings_option(self, project: Project, runserver: Start) -> None:
        """`--settings` and `--pythonpath`."""
        folder = project()
        (folder / "elsewhere").mkdir()
        (folder / "elsewhere" / "other.py").write_text(
            "from developed.settings import *\nFORCE_SCRIPT_NAME = '/other'\n"
        )
        running = runserver(folder, "--settings", "other", "--pythonpath", "elsewhere")
        assert "using settings 'other'" in running.log
        assert httpx.get(f"{running.url}/other/tell").json()["url"] == "/other/tell"


class TestRefusals:
    """An error is one sentence, with the traceback of the code that raised it, if any."""

    @pytest.mark.parametrize(
        ("setting", "sentence"),
        [
            ("del ASGI_APPLICATION", "ASGI_APPLICATION must name .* it is None"),
            ("ASGI_APPLICATION = 'developed.asgi.aplication'",
             "ASGI_APPLICATION is 'developed.asgi.aplication'. 'developed.asgi' has no attribute"),
            ("ASGI_APPLICATION = 'developed.agsi.application'",
             "ASGI_APPLICATION is .* There is no module named 'developed.agsi'"),
        ],
    )  # fmt: skip
    def test_application(self, project: Project, fails: Start, setting: str, sentence: str) -> None:
        """ASGI_APPLICATION missing or misspelt: CommandError names the setting."""
        ended = fails(project(setting), "runserver", "--noreload", "0")
        assert re.search(f"CommandError: .*{sentence}", ended.stderr)
        assert "Traceback" not in ended.stderr

    def test_application_that_fails_to_import(self, project: Project, fails: Start) -> None:
        """The application's own traceback is shown, and no frame of ours."""
        folder = project()
        (folder / "developed" / "asgi.py").write_text("def deep():\n    return 1 / 0\n\ndeep()\n")
        ended = fails(folder, "runserver", "--noreload", "0")
        assert "The setting ASGI_APPLICATION is 'developed.asgi.application'" in ended.stderr
        assert "in deep\n    return 1 / 0" in ended.stderr
        assert "runserver.py" not in ended.stderr

    def test_taken_port(self, project: Project, fails: Start, running: Any) -> None:
        """One sentence, exit status 1."""
        ended = fails(project(), "runserver", "--noreload", "--skip-checks", str(running.port))
        assert ended.returncode == 1
        assert ended.stderr.strip() == (
            f"Cannot listen on 127.0.0.1:{running.port}: Address already in use"
        )

    def test_bad_value(self, project: Project, fails: Start) -> None:
        """A value out of range is refused before anything starts."""
        ended = fails(project(), "runserver", "--ping-interval=-7")
        assert "CommandError: --ping-interval: expected more than 0, got -7" in ended.stderr

    def test_failing_check(self, project: Project, fails: Start) -> None:
        """A failing system check ends it."""
        ended = fails(project("ROOT_URLCONF = 'developed.urls'", "STATICFILES_DIRS = 'x'"),
                      "runserver", "--noreload", "0")  # fmt: skip
        assert "SystemCheckError" in ended.stderr

    def test_failing_startup(self, project: Project, fails: Start) -> None:
        """The lifespan's startup failed: the sentence, exit status 3."""
        folder = project()
        (folder / "developed" / "asgi.py").write_text(
            "async def application(scope, receive, send):\n"
            "    await receive()\n"
            "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n"
        )
        ended = fails(folder, "runserver", "--noreload", "0")
        assert ended.returncode == 3
        assert "Application startup failed: no database" in ended.stderr


class TestEnd:
    """Ctrl-C ends runserver without a traceback."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signal(self, project: Project, runserver: Start, number: int) -> None:
        """Exit status 0, the lifespan ended, no traceback."""
        running = runserver(project())
        running.signal(number)
        assert running.ended() == 0
        assert "lifespan shutdown" in running.log

    def test_open_stream_and_websocket(self, project: Project, runserver: Start) -> None:
        """Neither delays the end for long, and the WebSocket is told 1012."""
        running = runserver(project())
        connection = running.connect()
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(100)
        with connect(f"ws://127.0.0.1:{running.port}/echo") as socket_:
            running.signal(signal.SIGINT)
            assert running.ended(timeout=10) == 0
            with pytest.raises(Exception, match="1012"):
                socket_.recv(timeout=5)


def reached(url: str) -> Any:
    """The response, or None where nothing listens yet."""
    try:
        return httpx.get(url)
    except httpx.ConnectError:
        return None


class TestConfiguration:
    """Options from a file and from the environment."""

    def test_shared_file(self, project: Project, runserver: Start) -> None:
        """Options of the connection count; the site's addresses and log are not runserver's."""
        folder = project()
        (folder / "daphne-like.toml").write_text(
            'application = "nothere:app"\nport = 1\nendpoint = ["tcp:1"]\nworkers = 4\n'
            'access-log = "/nothere/log"\nserver-name = "from the file"\nmax-fields = 5\n'
        )
        running = runserver(folder, "--server-name", "from the flag")
        answer = httpx.get(f"{running.url}/tell")
        assert answer.headers["server"] == "from the flag"
        assert (
            httpx.get(f"{running.url}/tell", headers=dict.fromkeys("abcdef", "x")).status_code
            == 431
        )

    def test_mistake(self, project: Project, fails: Start) -> None:
        """One sentence of Django's, which names the file."""
        folder = project()
        (folder / "other.toml").write_text("prot = 1")
        ended = fails(folder, "runserver", "--noreload", "--config", "other.toml")
        assert "CommandError: other.toml: there is no option 'prot'; did you mean port?" in (
            ended.stderr
        )
        assert ended.returncode == 2
