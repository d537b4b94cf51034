"""The application that serves the metrics at /metrics."""

from __future__ import annotations

from typing import Any

from daphne_like.metrics.exposition import Registry

PATH = "/metrics"
TEXT = "text/plain; charset=utf-8"


class MetricsPage:
    """An ASGI application; it answers GET and HEAD.

    Args:
        registry: the metrics.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request; a WebSocket is refused."""
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        status, body, content_type, more = self._respond(scope)
        headers = [
            (b"content-type", content_type.encode("latin-1")),
            (b"cache-control", b"no-store"),
            *more,
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _respond(self, scope: Any) -> tuple[int, bytes, str, list[tuple[bytes, bytes]]]:
        if scope["path"] != PATH:
            return 404, b"The metrics are at /metrics.\n", TEXT, []
        if scope["method"] not in ("GET", "HEAD"):
            return 405, b"Only GET and HEAD.\n", TEXT, [(b"allow", b"GET, HEAD")]
        accept = b", ".join(value for name, value in scope["headers"] if name == b"accept")
        body, content_type = self._registry.encode(accept.decode("latin-1"))
        return 200, body, content_type, [(b"vary", b"Accept")]
