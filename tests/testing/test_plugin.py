"""The pytest plug-in: the fixture `daphne_like_server`."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread
from websockets.sync.client import connect

from daphne_like.exceptions import ConfigurationError
from daphne_like.testing import RunningServer
from tests.support import needed, processes
from tests.support.python_runs import CHANNELS_PROJECT, Run, runner

DEADLINE = 20.0
Serve = Callable[..., RunningServer]


def get(server: RunningServer, path: str = "/") -> str:
    with urlopen(server.url + path, timeout=DEADLINE) as answer:
        return answer.read().decode()


class TestServer:
    """What a test gets."""

    def test_an_application_of_the_test(self, daphne_like_server: Serve) -> None:
        """An application that is defined in a test, and knows the test's names, is served."""
        word = "closure"

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await processes.answer(send, f"{word} {scope['path']}".encode())

        assert get(daphne_like_server(application), "/here") == "closure /here"

    def test_an_import_string(self, daphne_like_server: Serve) -> None:
        """An import string is served from a process that has never seen the test."""
        server = daphne_like_server("tests.support.processes:application")
        assert int(get(server)) != os.getpid()

    def test_a_websocket(self, daphne_like_server: Serve) -> None:
        """`ws_url` is where WebSockets go."""

        async def echo(scope: Any, receive: Any, send: Any) -> None:
            assert (await receive())["type"] == "websocket.connect"
            await send({"type": "websocket.accept"})
            event = await receive()
            await send({"type": "websocket.send", "text": event["text"]})

        with connect(f"{daphne_like_server(echo).ws_url}/", proxy=None) as websocket:
            websocket.send("hello")
            assert websocket.recv(timeout=DEADLINE) == "hello"

    def test_the_log(self, daphne_like_server: Serve) -> None:
        """`log` holds prints, requests and the application's tracebacks."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                print("printed")
                raise RuntimeError("on purpose")

        server = daphne_like_server(application)
        with pytest.raises(OSError, match="500"):
            get(server, "/path")
        assert "printed" in server.log
        assert "RuntimeError: on purpose" in server.log
        assert server.wait_for_log('"GET (.*)" 500')[1] == "/path"

    def test_a_line_that_never_comes(self, daphne_like_server: Serve) -> None:
        """Waiting for a line has an end, which shows the log."""
        server = daphne_like_server(processes.application)
        with pytest.raises(TimeoutError, match="no 'nonsense' in"):
            server.wait_for_log("nonsense", 0.1)

    def test_options(self, daphne_like_server: Serve) -> None:
        """Options are the command's, by name."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await processes.answer(send, scope["root_path"].encode())

        assert get(daphne_like_server(application, root_path="/below")) == "/below"

    def test_a_bad_option(self, daphne_like_server: Serve) -> None:
        """A value out of range is refused where the test is."""
        with pytest.raises(ConfigurationError, match="--max-fields"):
            daphne_like_server(processes.application, max_fields=0)

    def test_two_servers(self, daphne_like_server: Serve) -> None:
        """A test may have several."""
        first, second = (daphne_like_server(processes.application) for _ in range(2))
        assert get(first) != get(second)
        assert first.port != second.port

    def test_lifespan_shutdown(self, daphne_like_server: Serve) -> None:
        """The end is a graceful one: the application's shutdown runs, and its log stays."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            print("shut down")
            await send({"type": "lifespan.shutdown.complete"})

        server = daphne_like_server(application)
        assert server.stop() == 0
        assert "shut down" in server.log

    def test_one_that_does_not_end(self, daphne_like_server: Serve) -> None:
        """A response that never ends does not keep the test waiting for long."""
        server = daphne_like_server(processes.lasting, graceful_timeout=0)
        with urlopen(server.url, timeout=DEADLINE) as answer:
            assert answer.read(5) == b"begun"
            server.stop()
        assert "Traceback" not in server.log

    def test_a_thread_pool_of_its_own(self, daphne_like_server: Serve) -> None:
        """Synchronous code runs though the test has used asgiref's threads before the fork."""
        from asgiref.sync import sync_to_async

        with asyncio.Runner() if hasattr(asyncio, "Runner") else _Runner() as runner:
            runner.run(sync_to_async(int)())
        assert get(daphne_like_server(processes.application)) != ""

    @pytest_twisted.inlineCallbacks
    def test_inside_of_pytest_twisted(self, daphne_like_server: Serve) -> Any:
        """A test that runs in pytest-twisted's reactor has the server beside it."""
        server = daphne_like_server(processes.application)
        answer = yield deferToThread(get, server)
        assert int(answer) != os.getpid()


class _Runner:
    """Python 3.10 has no asyncio.Runner."""

    def __enter__(self) -> _Runner:
        self.loop = asyncio.new_event_loop()
        return self

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def __exit__(self, *_: object) -> None:
        self.loop.close()


FAILING = """
async def application(scope, receive, send):
    await receive()
    raise RuntimeError("no database today")

def make():
    raise ValueError("no application today")

def ends():
    import os
    os._exit(7)

def test_lifespan(daphne_like_server):
    daphne_like_server(application, lifespan="on")

def test_factory(daphne_like_server):
    daphne_like_server(make, factory=True)

def test_missing(daphne_like_server):
    daphne_like_server("no_such_module:app")

def test_broken(daphne_like_server):
    daphne_like_server("broken:app")

def test_ending(daphne_like_server):
    daphne_like_server(ends, factory=True)

def test_port(daphne_like_server):
    first = daphne_like_server(application)
    daphne_like_server(application, port=first.port)
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says of FAILING."""
    folder = tmp_path_factory.mktemp("failing")
    (folder / "test_failing.py").write_text(FAILING)
    (folder / "broken.py").write_text("1 / 0\n")
    return runner(folder)("-m", "pytest", "-rA", "-p", "no:cacheprovider").stdout


def told(output: str) -> str:
    """What pytest says of the failures, without the summary behind it."""
    _, _, failures = output.partition("= FAILURES =")
    return failures.partition("= short test summary info =")[0]


class TestFailing:
    """An application that does not start."""

    def test_all_fail(self, output: str) -> None:
        """Each is a failure of its test, told once and without our own frames."""
        assert "6 failed" in output, output
        assert "running.py" not in output

    @pytest.mark.parametrize(
        "sentence",
        [
            "RuntimeError: no database today",
            "ValueError: no application today",
            "There is no module named 'no_such_module'",
            "ZeroDivisionError",
            "its process ended with status 7",
            "Address already in use",
        ],
    )
    def test_it_says_why(self, output: str, sentence: str) -> None:
        """The failure holds the application's own traceback, or the sentence."""
        assert sentence in told(output), output

    def test_it_says_so_once(self, output: str) -> None:
        """The cause is told once, and not a second time as the exception behind the failure."""
        assert told(output).count("The server did not start: ") == 6, output
        assert "During handling of" not in output


class TestOtherPlugins:
    """Beside other plug-ins."""

    def test_registered(self, pytestconfig: pytest.Config) -> None:
        """It is registered when daphne-like is installed."""
        assert pytestconfig.pluginmanager.hasplugin("daphne_like")

    def test_pytest_asyncio(self, run: Run, tmp_path: Path) -> None:
        """A test in pytest-asyncio's loop forks a server with a loop of its own."""
        needed.module("pytest_asyncio")
        (tmp_path / "test_it.py").write_text(
            "import asyncio, pytest\n"
            "from urllib.request import urlopen\n"
            "from tests.support import processes\n"
            "@pytest.mark.asyncio\n"
            "async def test_it(daphne_like_server):\n"
            "    server = daphne_like_server(processes.application)\n"
            "    answer = await asyncio.to_thread(urlopen, server.url, timeout=20)\n"
            "    assert answer.read()\n"
            "    answer.close()\n"
        )
        done = run("-m", "pytest", "-q", "-p", "no:cacheprovider")
        assert "1 passed" in done.stdout, done.stdout

    def test_pytest_django(self, run: Run, tmp_path: Path) -> None:
        """Our test case runs under pytest-django."""
        needed.module("pytest_django")
        shutil.copytree(CHANNELS_PROJECT, tmp_path, dirs_exist_ok=True)
        (tmp_path / "conftest.py").unlink()
        done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--ds", "settings")
        assert "8 passed" in done.stdout, done.stdout
