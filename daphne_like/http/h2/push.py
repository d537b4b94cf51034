"""Server push: builds and checks the requests that an application promises.

See RFC 9113, 8.4, and ASGI, "HTTP/2 Server Push". connection.py serves a promised request in the
same way as any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from daphne_like.exceptions import ApplicationError, PeerError
from daphne_like.http.extensions import EARLY_HINT
from daphne_like.http.fields import Fields
from daphne_like.http.h2.frame_reader import MAX_FRAME_SIZE
from daphne_like.http.h2.hpack_cache import MalformedError, encoded_section
from daphne_like.http.h2.request import Head, check_head
from daphne_like.http.response_state import PUSH

if TYPE_CHECKING:
    from collections.abc import Awaitable

MAX_PROMISE_SIZE = MAX_FRAME_SIZE - 64
"""Maximum octets of a promise's encoded fields, which must fit into one frame."""


class Promising(Protocol):
    """A stream whose application may promise requests.

    Attributes:
        promises_left: how many more.
    """

    promises_left: int


class PromisingConnection(Protocol):
    """The connection of such a stream."""

    def promise(self, stream: Any, fields: Fields, head: Head) -> bool:
        """Promise a request, and serve it; return whether that was possible."""

    def drain(self) -> Awaitable[None]:
        """Return what the application awaits until the peer has room."""


def push(
    connection: PromisingConnection,
    stream: Promising,
    received: Fields,
    path: bytes,
    fields: Fields,
) -> Awaitable[None] | None:
    """Promise a request and serve it, if a promise is possible now.

    Args:
        connection: the connection of the stream.
        stream: the stream of the request whose application promises; its peer accepts push.
        received: the decoded field section of that request.
        path: the path of the promised request, in origin form.
        fields: the fields of the promised request, checked like response fields.
    Raises:
        ApplicationError: a server may not promise such a request.
    """
    request = promised_request(received, path, fields)
    head = checked(request)
    if not stream.promises_left:
        return None
    try:
        promised = connection.promise(stream, request, head)
    except (MalformedError, PeerError) as error:
        raise ApplicationError(f"{PUSH}: not a request to be served: {error}") from error
    if promised:
        stream.promises_left -= 1
    return connection.drain()


def promised_request(received: Fields, path: bytes, fields: Fields) -> Fields:
    """Return a promised request's field section: same scheme, same authority (X11)."""
    before = dict(received)
    # h2/request.py has checked that the request has these fields.
    authority = before.get(b":authority") or before[b"host"]
    return [
        (b":method", b"GET"),
        (b":scheme", before[b":scheme"]),
        (b":authority", authority),
        (b":path", path),
        *fields,
    ]


def checked(request: Fields) -> Head:
    """Check a promised request and return its head.

    Raises:
        ApplicationError: the request is malformed, has content, or is too large for a frame.
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
    """Remove extensions that do not work on a promised stream from the scope.

    h2 (4.4) sends no informational responses there. The push extension is absent anyway, because
    promises are sent only on streams that a client has opened (RFC 9113, 6.6).
    """
    del extensions[EARLY_HINT]
