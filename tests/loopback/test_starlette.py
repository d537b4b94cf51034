"""Starlette and FastAPI, with what they need of a server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import needed

httpx = needed.module("httpx")
needed.module("starlette")

Start = Callable[..., Any]
SOURCE = Path(__file__).parent.parent / "projects" / "star.py"


@pytest.fixture(params=["star:plain", "star:marking"])
def running(request: Any, server: Start) -> Any:
    """The same routes bare, and behind BaseHTTPMiddleware."""
    return server(request.param)


@pytest.fixture
def client(running: Any) -> Any:
    with httpx.Client(base_url=running.url, timeout=20) as client:
        yield client


class TestStarlette:
    """Starlette: BaseHTTPMiddleware, StreamingResponse, background tasks."""

    def test_lifespan_state(self, client: Any, running: Any) -> None:
        """L05, L06, L11: startup comes first, and its state is in every request."""
        assert client.get("/").text == "from the lifespan 1"
        assert client.get("/").text == "from the lifespan 2"
        log = running.stop()
        assert log.index("lifespan: startup") < log.index("http://127.0.0.1")
        assert log.count("lifespan: shutdown") == 1

    def test_upload(self, client: Any) -> None:
        """H17: request.stream() reads the whole body."""
        octets = bytes(range(251)) * 16000
        response = client.post("/echo", content=octets)
        assert response.text == hashlib.sha256(octets).hexdigest()

    def test_streaming_response(self, client: Any) -> None:
        """H23: chunked, whole, and the connection is kept."""
        for _ in range(3):
            response = client.get("/stream")
            assert response.text == "0\n1\n2\n3\n4\n"
            assert response.headers["transfer-encoding"] == "chunked"

    def test_file_response(self, client: Any) -> None:
        """H33: the declared length; H32: HEAD without a body; a range."""
        octets = SOURCE.read_bytes()
        assert client.get("/file").content == octets
        response = client.head("/file")
        assert (response.content, response.headers["content-length"]) == (b"", str(len(octets)))
        part = client.get("/file", headers={"Range": "bytes=5-9"})
        assert (part.status_code, part.content) == (206, octets[5:10])

    def test_event_source(self, client: Any) -> None:
        """H28: a stream of events ends with its client."""
        with client.stream("GET", "/events") as response:
            assert next(response.iter_raw()) == b"data: first\n\n"
        needed.until(lambda: client.get("/seen").json().get("events") == "disconnected")

    def test_client_leaves_a_stream(self, client: Any, running: Any) -> None:
        """H30, H31: the endless stream ends, and the log holds no traceback."""
        with client.stream("GET", "/flood") as response:
            next(response.iter_raw())
        needed.until(lambda: client.get("/seen").json().get("flood") == "ended")
        assert "ERROR" not in running.stop()

    def test_background_task(self, client: Any, running: Any) -> None:
        """C17: a background task outlives the response and the connection."""
        with httpx.Client(base_url=running.url) as other:
            assert other.get("/background").text == "accepted"
        assert client.get("/seen").json()["background"] == "running"
        assert client.get("/finish").text == "finished"
        needed.until(lambda: client.get("/seen").json()["background"] == "done")


class TestFastAPI:
    """FastAPI, on its own."""

    def test_hello(self, server: Start) -> None:
        """An endpoint with parameters."""
        needed.module("fastapi")
        response = httpx.get(server("star:fast").url + "/items/3?q=%C3%A9")
        assert response.json() == {"number": 3, "q": "\u00e9"}
