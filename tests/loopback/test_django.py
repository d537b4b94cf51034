"""A real Django project."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import needed

httpx = needed.module("httpx")
needed.module("django")

Start = Callable[..., Any]
APPLICATION = "django_site.asgi:application"


@pytest.fixture
def running(server: Start) -> Any:
    return server(APPLICATION)


@pytest.fixture
def client(running: Any) -> Any:
    with httpx.Client(base_url=running.url, timeout=20) as client:
        yield client


class TestDjango:
    """Django: streaming responses, uploads and static files."""

    def test_hello(self, client: Any) -> None:
        """L04: Django knows no lifespan, and is served."""
        assert client.get("/").text == "Hello from Django"

    @pytest.mark.parametrize("path", ["/astream", "/stream"])
    @pytest.mark.filterwarnings("ignore")
    def test_streaming(self, client: Any, path: str) -> None:
        """H23: synchronous and asynchronous iterators, chunked."""
        for _ in range(2):
            response = client.get(path)
            assert response.text == "0\n1\n2\n"
            assert response.headers["transfer-encoding"] == "chunked"

    def test_upload(self, client: Any) -> None:
        """H17: a file above FILE_UPLOAD_MAX_MEMORY_SIZE, octet for octet."""
        octets = bytes(range(251)) * 20000
        response = client.post("/upload", files={"file": ("a.bin", octets)})
        assert response.json() == {
            "sha256": hashlib.sha256(octets).hexdigest(),
            "size": len(octets),
            "on_disk": True,
        }

    def test_static_files(self, client: Any) -> None:
        """ASGIStaticFilesHandler: a file of the project, one of the admin, and none."""
        assert client.get("/static/site.css").text == "body { color: teal; }\n"
        assert client.get("/static/admin/css/base.css").status_code == 200
        assert client.get("/static/none.css").status_code == 404
        assert client.head("/static/site.css").content == b""

    def test_admin(self, client: Any) -> None:
        """The login page, after its redirect."""
        response = client.get("/admin/", follow_redirects=True)
        assert response.status_code == 200
        assert "csrfmiddlewaretoken" in response.text

    def test_failing_view(self, server: Start) -> None:
        """C12: Django's own error page, and the next request is served."""
        running = server(APPLICATION, expects_traceback=True)
        with httpx.Client(base_url=running.url, timeout=20) as client:
            response = client.get("/fail")
            assert response.status_code == 500
            assert "on purpose" in response.text
            assert client.get("/").status_code == 200

    def test_disconnect_reaches_the_view(self, client: Any, running: Any) -> None:
        """H28: a view that runs long is cancelled when its client leaves."""
        connection = running.connect()
        connection.sendall(b"GET /long HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        needed.until(lambda: client.get("/seen").json().get("long") == "running")
        connection.close()
        needed.until(lambda: client.get("/seen").json()["long"] == "cancelled")

    def test_client_leaves_a_stream(self, client: Any) -> None:
        """H30, H31: the endless stream ends."""
        with client.stream("GET", "/flood") as response:
            next(response.iter_raw())
        needed.until(lambda: client.get("/seen").json().get("flood") == "ended")
