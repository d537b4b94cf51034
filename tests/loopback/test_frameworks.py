"""Frameworks from PyPI, unmodified: one set of rules, run against each one's own application.

tests/projects holds that application once for each framework. The table in
docs/howto/applications.rst tells the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from tests.support import needed
from tests.support.playing import ask, play
from tests.support.real_server import TRACEBACK, Running

httpx = needed.module("httpx")
websockets = needed.module("websockets")
from websockets.asyncio.client import connect as ws_connect  # noqa: E402

OCTETS = bytes(range(251)) * 16_000  # four megabytes
PART = 50_000


class Rules:
    """What an application over HTTP needs of a server, whichever framework it stands on."""

    MODULE: ClassVar[str]
    ARGUMENTS: ClassVar[tuple[str, ...]]
    READS_CHUNKED = True

    @pytest.fixture(scope="class")
    @classmethod
    def running(cls) -> Iterator[Running]:
        """One server for the class; its log holds no traceback but the one made on purpose."""
        needed.module(cls.MODULE)
        running = Running("-p", "0", *cls.ARGUMENTS)
        try:
            yield running.wait_until_ready()
        finally:
            log = running.stop()
        assert log.count(TRACEBACK) == log.count("RuntimeError: on purpose"), log

    @pytest.fixture
    def client(self, running: Running) -> Iterator[Any]:
        with httpx.Client(base_url=running.url, timeout=20, trust_env=False) as client:
            yield client

    def test_hello(self, client: Any) -> None:
        """A whole response, with its length."""
        for _ in range(3):
            response = client.get("/")
            assert (response.status_code, response.text) == (200, "Hello, world!")
            assert response.headers["content-length"] == "13"

    def test_streaming_down(self, client: Any) -> None:
        """H23: a body of unknown length, chunked, and the connection is kept."""
        for _ in range(3):
            response = client.get("/stream")
            assert response.text == "0\n1\n2\n3\n4\n"
            assert response.headers["transfer-encoding"] == "chunked"

    @pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
    def test_streaming_up(self, client: Any, chunked: bool) -> None:
        """H17: four megabytes come back octet for octet, with a length and chunked."""
        parts = (OCTETS[at : at + PART] for at in range(0, len(OCTETS), PART))
        response = client.post("/echo", content=parts if chunked else OCTETS)
        assert response.status_code == 200
        expected = OCTETS if self.READS_CHUNKED or not chunked else b""
        assert hashlib.sha256(response.content).digest() == hashlib.sha256(expected).digest()

    def test_client_leaves_a_stream(self, client: Any, running: Running) -> None:
        """H28, H30, H31: an endless stream ends with its client."""
        with client.stream("GET", "/flood") as response:
            next(response.iter_raw())
        needed.until(lambda: ask(running).get("flood") == "ended")

    def test_failing(self, client: Any) -> None:
        """C12: an exception is 500, and the next request is served."""
        response = client.get("/fail")
        assert response.status_code == 500
        assert "on purpose" not in response.text
        assert client.get("/").text == "Hello, world!"


class Background:
    """Rules of a framework that goes on working after its response."""

    def test_background_work(self, client: Any, running: Running) -> None:
        """C17: the client has the whole response while the work goes on."""
        assert client.get("/background").text == "accepted"
        needed.until(lambda: ask(running).get("background") == "running")
        client.get("/finish")
        needed.until(lambda: ask(running)["background"] == "done")


class Lifespan:
    """Rules of a framework that takes part in lifespan."""

    ARGUMENTS: ClassVar[tuple[str, ...]]

    def test_lifespan(self) -> None:
        """L05, L08: startup before the server listens, shutdown at its end."""
        running = Running("-p", "0", "--lifespan", "on", *self.ARGUMENTS).wait_until_ready()
        log = running.stop()
        assert log.index("lifespan: startup") < log.index("http://127.0.0.1")
        assert log.count("lifespan: shutdown") == 1
        assert running.process.returncode == 0


class WebSocket:
    """Rules of a framework that has WebSocket."""

    GONE: ClassVar[Any] = 4002

    def test_websocket(self, running: Running) -> None:
        """W24, W33: texts both ways, and the application's close code."""

        async def story() -> None:
            async with ws_connect(f"ws://127.0.0.1:{running.port}/socket", proxy=None) as client:
                for text in ("a", "größe" * 10_000, "enough"):
                    await client.send(text)
                    if text != "enough":
                        assert await client.recv() == text
                with pytest.raises(websockets.ConnectionClosed) as closed:
                    await client.recv()
                assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "enough")

        play(story())

    def test_close_code_of_the_client(self, running: Running) -> None:
        """W28: the application has the client's close code, or what its framework makes of it."""

        async def story() -> None:
            async with ws_connect(f"ws://127.0.0.1:{running.port}/socket", proxy=None) as client:
                await client.close(4002)

        play(story())
        needed.until(lambda: ask(running).get("socket") == self.GONE)


class NoWebSocket:
    """Rules of a framework without WebSocket."""

    def test_websocket_is_refused(self, running: Running) -> None:
        """W31: the handshake is answered, and not with 101."""

        async def story() -> None:
            with pytest.raises(websockets.InvalidStatus) as error:
                await ws_connect(f"ws://127.0.0.1:{running.port}/", proxy=None)
            assert error.value.response.status_code == 403

        play(story())


class TestStarlette(Rules, Background, Lifespan, WebSocket):
    """Starlette."""

    MODULE = "starlette"
    ARGUMENTS = ("starlettes",)


class TestFastAPI(Rules, Background, Lifespan, WebSocket):
    """FastAPI."""

    MODULE = "fastapi"
    ARGUMENTS = ("fastapis",)


class TestQuart(Rules, Background, Lifespan, WebSocket):
    """Quart: a client that leaves a WebSocket is a cancellation, without its code."""

    MODULE = "quart"
    ARGUMENTS = ("quarts",)
    GONE = "cancelled"


class TestLitestar(Rules, Background, Lifespan, WebSocket):
    """Litestar: it cannot send a Stream while it reads (tests/projects/litestars.py)."""

    MODULE = "litestar"
    ARGUMENTS = ("litestars",)


class TestBlackSheep(Rules, Background, Lifespan, WebSocket):
    """BlackSheep."""

    MODULE = "blacksheep"
    ARGUMENTS = ("blacksheeps",)


class TestFalcon(Rules, Background, Lifespan, WebSocket):
    """Falcon's ASGI half."""

    MODULE = "falcon"
    ARGUMENTS = ("falcons",)


class TestDjango(Rules):
    """Django's ASGI half; Channels, which has its WebSockets, is in test_websocket_frameworks."""

    MODULE = "django"
    ARGUMENTS = ("--factory", "djangos:asgi")


class TestFlask(Rules, Background, NoWebSocket):
    """Flask, WSGI: its background work is what `call_on_close` is given."""

    MODULE = "flask"
    ARGUMENTS = ("flasks",)


class TestFalconWSGI(Rules, NoWebSocket):
    """Falcon's WSGI half."""

    MODULE = "falcon"
    ARGUMENTS = ("falcons_wsgi",)


class TestDjangoWSGI(Rules, NoWebSocket):
    """Django's WSGI half: it takes a request without Content-Length for one without body.

    Seen in WSGIRequest of Django 5.2, which does not look at `wsgi.input_terminated`.
    """

    READS_CHUNKED = False

    MODULE = "django"
    ARGUMENTS = ("--factory", "djangos:wsgi")
