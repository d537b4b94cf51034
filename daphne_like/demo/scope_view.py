"""`GET /scope`: the scope of the request, as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from daphne_like.demo.answers import JSON, answer

if TYPE_CHECKING:
    from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope


def describe(scope: HTTPScope) -> dict[str, object]:
    """Convert a scope to values that JSON supports.

    Bytes are decoded as ISO 8859-1, one byte per character, so data from the peer never fails to
    decode. Missing keys get the specification's default. `state` is left out, because it belongs to
    the application; of `extensions` only the names are shown.
    """
    raw_path = scope.get("raw_path")
    return {
        "asgi": dict(scope["asgi"]),
        "http_version": scope["http_version"],
        "method": scope["method"],
        "scheme": scope.get("scheme", "http"),
        "path": scope["path"],
        "raw_path": None if raw_path is None else raw_path.decode("latin-1"),
        "query_string": scope.get("query_string", b"").decode("latin-1"),
        "root_path": scope.get("root_path", ""),
        "headers": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in scope["headers"]],
        "client": scope.get("client"),
        "server": scope.get("server"),
        "extensions": sorted(scope.get("extensions") or {}),
    }


async def show_scope(
    scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """Send the scope of this request."""
    # ASCII only, so that a lone surrogate in a path cannot prevent encoding.
    content = json.dumps(describe(scope), ensure_ascii=True).encode("ascii")
    await answer(send, 200, JSON, content, head_only=scope["method"] == "HEAD")
