"""Sends the demo's responses, whole or in pieces, with their common headers.

No route belongs here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asgiref.typing import ASGISendCallable

    Fields = Iterable[tuple[bytes, bytes]]

TEXT = b"text/plain; charset=utf-8"
JSON = b"application/json"

CLOSED_POLICY = b"default-src 'none'; frame-ancestors 'none'"
"""Content-Security-Policy of everything but the page: a document may load and run nothing."""

COMMON_FIELDS = (
    (b"cache-control", b"no-store"),  # each response depends on its request
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

UNBUFFERED = ((b"x-accel-buffering", b"no"),)
"""Asks nginx not to buffer the response before it passes it on."""


async def start(
    send: ASGISendCallable,
    status: int,
    content_type: bytes,
    *,
    fields: Fields = (),
    policy: bytes = CLOSED_POLICY,
) -> None:
    """Send the head of a response.

    Args:
        send: the connection's `send`.
        status: status code.
        content_type: field value of Content-Type.
        fields: further field lines, names in lower case.
        policy: field value of Content-Security-Policy. Do not put one into `fields`: of two
            lines both apply.
    """
    head = [(b"content-type", content_type), (b"content-security-policy", policy)]
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*head, *COMMON_FIELDS, *fields],
            "trailers": False,
        }
    )


async def proceed(send: ASGISendCallable, chunk: bytes, *, more: bool = True) -> None:
    """Send one piece of the body; the piece without `more` ends the response."""
    await send({"type": "http.response.body", "body": chunk, "more_body": more})


async def answer(
    send: ASGISendCallable,
    status: int,
    content_type: bytes,
    content: bytes,
    *,
    fields: Fields = (),
    policy: bytes = CLOSED_POLICY,
    head_only: bool = False,
) -> None:
    """Send a whole response with its Content-Length.

    Args:
        send: the connection's `send`.
        status: status code.
        content_type: field value of Content-Type.
        content: the body.
        fields: further field lines, as for `start`.
        policy: field value of Content-Security-Policy, as for `start`.
        head_only: the request was HEAD: send the length of the body only (RFC 9110, 9.3.2).
    """
    length = (b"content-length", str(len(content)).encode("ascii"))
    await start(send, status, content_type, fields=[length, *fields], policy=policy)
    await proceed(send, b"" if head_only else content, more=False)
