"""The ASGI application of --status: the page, its data, the probes and the actions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import parse_qs

from daphne_like.status.guard import Guard
from daphne_like.status.page import load_page
from daphne_like.status.rows import MAX_ROWS, Query
from daphne_like.status.service import SCHEMA, Service

TEXT, JSON = b"text/plain; charset=utf-8", b"application/json"
NO_POLICY = b"default-src 'none'; frame-ancestors 'none'"
Fields = Sequence[tuple[bytes, bytes]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class StatusApplication:
    """Serves the page, JSON, events, probes and actions.

    Args:
        service: the process or processes that it is about.
        guard: decides who may ask.
        metrics: the application that serves /metrics; None without metrics.
    """

    def __init__(self, service: Service, guard: Guard, metrics: Any = None) -> None:
        self._service = service
        self._guard = guard
        self._metrics = metrics
        self._routes: dict[str, Callable[..., Awaitable[None]]] = {
            "/": self._page,
            "/status.json": self._status,
            "/history.json": self._history,
            "/instances.json": self._instances,
            "/threads.json": self._threads,
            "/events": self._events,
        }

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        """Answer one request; a WebSocket is refused."""
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        path = scope["path"]
        if path in ("/livez", "/healthz"):
            await self._probe(send, 200, "alive\n")
        elif path == "/readyz":
            await self._readiness(scope, send)
        elif (refusal := self._guard.refuse(scope)) is not None:
            await _respond(send, refusal.status, TEXT, f"{refusal.sentence}\n", refusal.fields)
        elif path == "/metrics" and self._metrics is not None:
            await self._metrics(scope, receive, send)
        elif path[1:] in self._service.actions:
            await self._act(scope, send, path[1:])
        elif path not in self._routes:
            await _respond(send, 404, TEXT, "There is no such page.\n")
        elif scope["method"] not in ("GET", "HEAD"):
            allow = ((b"allow", b"GET, HEAD"),)
            await _respond(send, 405, TEXT, "Only GET and HEAD.\n", allow)
        else:
            await self._routes[path](scope, receive, send)

    # Probes. They need no token, because they tell only whether the server lives or is ready.

    async def _probe(self, send: Send, status: int, text: str) -> None:
        await _respond(send, status, TEXT, text)

    async def _readiness(self, scope: dict[str, Any], send: Send) -> None:
        """Answer 200 or 503; while draining the status that `?draining=404` asks for."""
        if self._service.is_ready:
            await self._probe(send, 200, "ready\n")
            return
        wants_404 = scope["query_string"] == b"draining=404" and self._service.is_stopping
        text = "stopping\n" if self._service.is_stopping else "not ready\n"
        await self._probe(send, 404 if wants_404 else 503, text)

    # Pages and JSON.

    async def _page(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        page = load_page()
        fields = ((b"content-security-policy", page.policy),)
        await _respond(send, 200, b"text/html; charset=utf-8", page.content, fields)

    def _present(self) -> dict[str, Any]:
        service = self._service
        return {
            "schema": SCHEMA,
            **service.overview(),
            "ready": service.is_ready,
            "stopping": service.is_stopping,
            "actions": service.actions,
            "totals": service.history.totals,
            "last_minute": service.history.last_minute(),
        }

    async def _status(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        points = self._service.history.latest(self._service.history.number - 1)
        await _respond_json(
            send, {**self._present(), "last_second": points[-1] if points else None}
        )

    async def _history(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        points = self._service.history.latest(0)
        await _respond_json(send, {"schema": SCHEMA, "points": points})

    async def _instances(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        found = await self._service.listing(query_of(scope["query_string"]))
        await _respond_json(send, {"schema": SCHEMA, **found})

    async def _threads(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        slot = _first(scope["query_string"], "worker")
        text = (
            await self._service.threads(int(slot)) if slot.isdecimal() and len(slot) < 6 else None
        )
        if text is None:
            await _respond(send, 404, TEXT, "There is no such worker.\n")
        else:
            await _respond_json(send, {"schema": SCHEMA, "worker": int(slot), "text": text})

    async def _events(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        """Send the present values, and each second as it ends, until the client goes."""
        headers = _headers(b"text/event-stream", ())
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body"})
            return
        history = self._service.history
        number = history.number
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            while not gone.done():
                points = history.latest(number)
                number = history.number
                event = json.dumps({"points": points, "status": self._present()})
                body = f"data: {event}\n\n".encode()
                await send({"type": "http.response.body", "body": body, "more_body": True})
                second = asyncio.ensure_future(history.next())
                try:
                    await asyncio.wait((gone, second), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    second.cancel()
        finally:
            gone.cancel()

    # Actions.

    async def _act(self, scope: dict[str, Any], send: Send, action: str) -> None:
        if scope["method"] != "POST":
            allow = ((b"allow", b"POST"),)
            await _respond(send, 405, TEXT, "Actions are POST requests.\n", allow)
        elif (refusal := self._guard.refuse_action(scope, action)) is not None:
            await _respond(send, refusal.status, TEXT, f"{refusal.sentence}\n")
        else:
            self._service.act(action)
            await _respond_json(send, {"schema": SCHEMA, "begun": action}, 202)


def query_of(query_string: bytes) -> Query:
    """Return the query of a request, with defaults for missing and invalid values."""
    limit = _first(query_string, "limit")
    return Query(
        _first(query_string, "sort"),
        _first(query_string, "match"),
        int(limit) if limit.isdecimal() and len(limit) < 6 else MAX_ROWS,
    )


def _first(query_string: bytes, name: str) -> str:
    try:
        found = parse_qs(query_string.decode("latin-1"), max_num_fields=8)
    except ValueError:
        return ""
    return found.get(name, [""])[0]


async def _until_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _headers(content_type: bytes, more: Fields) -> list[tuple[bytes, bytes]]:
    given = {name for name, _ in more}
    return [
        (b"content-type", content_type),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
        *(((b"content-security-policy", NO_POLICY),)
          if b"content-security-policy" not in given else ()),
        *more,
    ]  # fmt: skip


async def _respond(
    send: Send, status: int, content_type: bytes, body: bytes | str, more: Fields = ()
) -> None:
    octets = body if isinstance(body, bytes) else body.encode()
    headers = _headers(content_type, more)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": octets})


async def _respond_json(send: Send, value: dict[str, Any], status: int = 200) -> None:
    await _respond(send, status, JSON, json.dumps(value))
