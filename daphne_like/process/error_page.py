"""The application that --reload serves while the user's application cannot be loaded."""

from __future__ import annotations

import html
import json
import secrets
from importlib import resources
from string import Template
from typing import Any

from daphne_like.wording import escaped

ID = "x-daphne-like-error"
"""Field with the identity of an error: of each response, and of the page's question whether the
error is still the same."""
Headers = list[tuple[bytes, bytes]]


class ErrorPage:
    """An ASGI application that answers every request with 500 and an error.

    Browsers get a page. It asks for a stream of events, which lasts until the server stops, and
    loads itself again when the stream has ended and the error is another one, or none.

    Args:
        application: name of the application that cannot be loaded.
        sentence: says why.
        detail: the traceback of its code, or "".
    """

    def __init__(self, application: str, sentence: str, detail: str) -> None:
        self._id = secrets.token_hex(8)
        sentence, detail = escaped(sentence), escaped(detail)
        self._text = f"{detail}\n\n{sentence}\n".lstrip().encode()
        template = resources.files("daphne_like.process").joinpath("error_page.html")
        # Each value is escaped, so that neither code nor a message can contain a tag.
        self._page = Template(template.read_text(encoding="utf-8")).substitute(
            application=html.escape(escaped(application)),
            sentence=html.escape(sentence),
            detail=html.escape(detail),
            hidden="" if detail else "hidden",
            field=json.dumps(ID),
            id=json.dumps(self._id),
        ).encode()  # fmt: skip

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        fields = dict(scope.get("headers", ()))
        if scope["type"] == "websocket":
            await receive()
            await self._answer("websocket.http.response", send, b"text/plain", self._text)
        elif fields.get(ID.encode()) == self._id.encode():
            await self._last(receive, send)
        elif b"text/html" in fields.get(b"accept", b""):
            await self._answer("http.response", send, b"text/html", self._page)
        else:
            await self._answer("http.response", send, b"text/plain", self._text)

    async def _answer(self, kind: str, send: Any, media_type: bytes, body: bytes) -> None:
        await send({"type": f"{kind}.start", "status": 500, "headers": self._headers(media_type)})
        await send({"type": f"{kind}.body", "body": body})

    async def _last(self, receive: Any, send: Any) -> None:
        """Keep a stream of events open until the page has gone or the server stops."""
        headers = self._headers(b"text/event-stream")
        await send({"type": "http.response.start", "status": 500, "headers": headers})
        await send({"type": "http.response.body", "body": b":\n\n", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body"})

    def _headers(self, media_type: bytes) -> Headers:
        return [
            (b"content-type", media_type + b"; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (ID.encode(), self._id.encode()),
        ]
