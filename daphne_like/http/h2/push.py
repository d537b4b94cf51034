"""Server push: what an application promises, as the request that a client did not make.

RFC 9113, 8.4; ASGI, "HTTP/2 Server Push". The promised request is served as any other: h2.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from daphne_like.exceptions import ApplicationError, PeerError
from daphne_like.http.extensions import EARLY_HINT, PUSH
from daphne_like.http.fields import Fields
from daphne_like.http.h2.frame_reader import MAX_FRAME_SIZE
from daphne_like.http.h2.hpack_cache import MalformedError, encoded_section
from daphne_like.http.h2.request import Head, check_head

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from daphne_like.http.h2.connection import HTTP2Connection
    from daphne_like.http.h2.stream import HTTP2Stream

MAX_PROMISE_SIZE = MAX_FRAME_SIZE - 64
"""Octets of a promise's fields, encoded: they go into one frame."""


def push(
    stream: HTTP2Stream, received: Fields, path: bytes, fields: Fields
) -> Awaitable[None] | None:
    """Promise a request, and serve it; or do nothing where no promise can be made now.

    Args:
        stream: of the request whose application promises; its peer takes promises.
        received: its field section, as decoded.
        path: of the promised request, in origin form.
        fields: of it, checked as far as those of answers are.
    Raises:
        ApplicationError: it is no request that a server may promise.
    """
    request = promised_request(received, path, fields)
    head = checked(request)
    if not stream.promises_left:
        return None
    connection: HTTP2Connection = stream.connection
    try:
        promised = connection.promise(stream, request, head)
    except (MalformedError, PeerError) as error:
        raise ApplicationError(f"{PUSH}: not a request to be served: {error}") from error
    if promised:
        stream.promises_left -= 1
    return connection.drain()


def promised_request(received: Fields, path: bytes, fields: Fields) -> Fields:
    """As the client would have made it: same scheme, same authority (X11)."""
    before = dict(received)
    # Whatever the request's head was, h2/request.py has seen to it that it has these.
    authority = before.get(b":authority") or before[b"host"]
    return [
        (b":method", b"GET"),
        (b":scheme", before[b":scheme"]),
        (b":authority", authority),
        (b":path", path),
        *fields,
    ]


def checked(request: Fields) -> Head:
    """The head of a request that is to be promised.

    Raises:
        ApplicationError: it is malformed, has content, or is too large for a frame.
    """
    try:
        head = check_head(request)
    except MalformedError as error:
        raise ApplicationError(f"{PUSH}: not a request: {error}") from error
    if head.refusal is not None or head.length:
        raise ApplicationError(f"{PUSH}: a promised request has no content, and asks for none")
    if len(encoded_section(request)) > MAX_PROMISE_SIZE:
        raise ApplicationError(f"{PUSH}: the fields are larger than {MAX_PROMISE_SIZE} octets")
    return head


def remove_unsupported_on_push(extensions: dict[str, object]) -> None:
    """Take from a promised request's scope what does not work on its stream.

    h2 (4.4) sends no informational answers there; further promises are of clients' streams only
    (RFC 9113, 6.6), and never in the scope of others.
    """
    del extensions[EARLY_HINT]
