"""The application behind `--https-redirect`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.listening.https_redirect import RedirectToHTTPS
from tests.support.peers import get, post, read_answers
from tests.support.websocket_peer import opening

Serve = Callable[..., Any]


def redirected(serve: Serve, request: bytes, port: int | None = 443) -> Any:
    (answer,) = read_answers(serve(RedirectToHTTPS(lambda: port)).connect().sends(request).take())
    return answer


class TestRedirect:
    """RFC 9110, 15.4.9: 308, which keeps method and body."""

    @pytest.mark.parametrize(
        ("host", "port", "location"),
        [
            (b"example.org", 443, b"https://example.org"),
            (b"example.org:80", 443, b"https://example.org"),
            (b"example.org:8080", 8443, b"https://example.org:8443"),
            (b"example.org", 8443, b"https://example.org:8443"),
            (b"example.org:8080", None, b"https://example.org"),
            (b"[2001:db8::1]", 443, b"https://[2001:db8::1]"),
            (b"[2001:db8::1]:80", 8443, b"https://[2001:db8::1]:8443"),
        ],
    )
    def test_host_and_port(
        self, serve: Serve, host: bytes, port: int | None, location: bytes
    ) -> None:
        """The host of the request; the port that speaks TLS, left out where it is 443."""
        answer = redirected(serve, get(b"/", host=host), port)
        assert (answer.status, answer.fields[b"location"]) == (308, location + b"/")

    @pytest.mark.parametrize("target", [b"/a/b?c=d&e", b"/%2e%2e/%C3%A4?", b"//evil.test/"])
    def test_target(self, serve: Serve, target: bytes) -> None:
        """Path and query as octets; two slashes do not make another host of it."""
        answer = redirected(serve, get(target))
        assert answer.fields[b"location"] == b"https://x" + target.rstrip(b"?")

    def test_post(self, serve: Serve) -> None:
        """The body is not waited for."""
        assert redirected(serve, post(b"abc", path=b"/form")).status == 308

    def test_asterisk(self, serve: Serve) -> None:
        """OPTIONS * is a request of the server as a whole: its root."""
        answer = redirected(serve, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.fields[b"location"] == b"https://x/"

    def test_without_host(self, serve: Serve) -> None:
        """HTTP/1.0 need not name one: 400, as there is nowhere to send it."""
        answer = redirected(serve, b"GET / HTTP/1.0\r\n\r\n")
        assert answer.status == 400
        assert b"location" not in answer.fields

    def test_a_websocket_is_denied(self, serve: Serve) -> None:
        """Browsers follow no redirect of an opening handshake: 403."""
        assert redirected(serve, opening()).status == 403
