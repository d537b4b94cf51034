"""Applications of every kind, served by the real command."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support import needed
from tests.support.playing import resident
from tests.support.real_server import TRACEBACK, Running

httpx = needed.module("httpx")
needed.module("a2wsgi")

Start = Callable[..., Running]
MAX_GROWTH = 40.0  # MiB; the transport's and the kernel's buffers, and the allocator's slack


def got(running: Running, path: str = "/", **options: Any) -> Any:
    return httpx.get(running.url + path, timeout=20, trust_env=False, **options)


class TestNaming:
    """Import strings, `--factory`, `--app-dir`, `--interface`."""

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (("kinds:asgi3",), "ASGI 3"),
            (("kinds:asgi2",), "ASGI 2"),
            (("kinds:app",), "WSGI"),
            (("kinds",), "WSGI"),
            (("--factory", "kinds:make"), "ASGI 3"),
            (("--interface", "asgi2", "kinds:unclear"), "ASGI 2"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
    )  # fmt: skip
    def test_served(self, server: Start, arguments: tuple[str, ...], text: str) -> None:
        """C01, C02, G01: each kind is found out, or told, and served."""
        *options, application = arguments
        assert got(server(application, *options)).text == text

    def test_app_dir(self, server: Start, tmp_path: Path) -> None:
        """`--app-dir`: the module is found there, and before the working directory."""
        (tmp_path / "kinds.py").write_text(
            "def app(environ, start_response):\n"
            "    start_response('200 OK', [])\n"
            "    return [b'elsewhere']\n"
        )
        assert got(server("kinds", "--app-dir", str(tmp_path))).text == "elsewhere"

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (
                ("kinds:make",),
                "'kinds:make' is no ASGI application: "  # noqa: ISC004 # one sentence
                "it needs no arguments; did you mean --factory?",
            ),
            (
                ("kinds.py",),
                "'kinds.py' names a file: expected a module; did you mean kinds:application?",
            ),
            (
                ("--factory", "kinds:asgi2"),
                "'kinds:asgi2' cannot be called without arguments: it needs scope",
            ),
        ],
        ids=["factory", "file", "no factory"],
    )
    def test_refused(
        self,
        command: Callable[..., subprocess.CompletedProcess[str]],
        arguments: tuple[str, ...],
        sentence: str,
    ) -> None:
        """One sentence on standard error, and exit status 2."""
        ended = command("-p", "0", *arguments)
        assert (ended.returncode, ended.stderr) == (2, f"daphne-like: {sentence}\n")


class TestWSGI:
    """G01: WSGI applications run in a thread pool, and stream in both directions."""

    @pytest.fixture(scope="class")
    @classmethod
    def running(cls) -> Iterator[Running]:
        running = Running("-p", "0", "--wsgi-threads", "2", "kinds:app", expects_traceback=True)
        yield running.wait_until_ready()
        running.stop()

    @pytest.mark.parametrize("path", ["/fail", "/exit"])
    def test_failing(self, running: Running, path: str) -> None:
        """C12, K1: 500 for the peer, one traceback for the log, and the server goes on."""
        before = running.log.count(TRACEBACK)
        assert got(running, path).status_code == 500
        running.wait_for(f'"GET {path}" 500')
        assert running.log.count(TRACEBACK) == before + 1
        assert got(running).text == "WSGI"

    def test_failing_late(self, running: Running) -> None:
        """C12: with the head out the connection is cut, so nobody takes the body for whole."""
        before = running.log.count(TRACEBACK)
        with pytest.raises(httpx.TransportError):
            got(running, "/late")
        running.wait_for("GET '/late' raised")
        running.wait_for(r'"GET /late" 200 \d+ \d+\.\d{3} cut\n')
        assert running.log.count(TRACEBACK) == before + 1

    def test_slow_reader(self, running: Running) -> None:
        """C09: endless responses that nobody reads take no memory, and no thread from others."""
        assert got(running).text == "WSGI"
        before, closed = resident(running), running.log.count("flood: closed")
        connections = [running.connect() for _ in range(2)]
        for connection in connections:
            connection.sendall(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.recv(1000)
        # Both threads wait, and lend their slots, for longer than it takes to fill memory.
        until = time.monotonic() + 1
        while time.monotonic() < until:
            assert got(running).text == "WSGI"
        assert resident(running) - before < MAX_GROWTH
        for connection in connections:
            connection.close()
        needed.until(lambda: running.log.count("flood: closed") == closed + 2)
        assert got(running).text == "WSGI"

    def test_no_lifespan(self, running: Running) -> None:
        """L04: without lifespan, and without a word about it."""
        assert got(running).text == "WSGI"
        before = running.log[: running.log.index("serves")]
        assert "lifespan" not in before
        assert TRACEBACK not in before

    def test_busy(self, server: Start) -> None:
        """G01: requests wait for a thread, and `--http-timeout` still answers them."""
        running = server("kinds:app", "--wsgi-threads", "1", "--http-timeout", "1")
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(got, running, "/wait")
            running.wait_for("waiting")
            second = pool.submit(got, running, "/")
            assert first.result().status_code == 503
            assert second.result().status_code == 503
        running.process.kill()  # its thread waits for a minute, and would be waited for
