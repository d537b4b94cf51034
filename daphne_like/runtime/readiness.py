"""Answers a load balancer that can only ask on the application's port (`--readiness-path`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Readiness:
    """An ASGI application in front of the application.

    Args:
        application: answers all other paths.
        path: the path of a GET or HEAD request about readiness.
        is_ready: tells whether a load balancer should send requests.
    """

    def __init__(self, application: Any, path: str, is_ready: Callable[[], bool]) -> None:
        self._application = application
        self._path = path
        self._is_ready = is_ready

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer the request, or pass it on."""
        if (
            scope["type"] != "http"
            or scope["path"] != self._path
            or scope["method"] not in ("GET", "HEAD")
        ):
            await self._application(scope, receive, send)
            return
        status, text = (200, b"ready\n") if self._is_ready() else (503, b"stopping\n")
        headers = [(b"content-type", b"text/plain"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text})
