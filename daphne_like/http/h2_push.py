"""Server push: what an application promises, as the request that a client did not make.

RFC 9113, 8.4; ASGI, "HTTP/2 Server Push". The promised request is served as any other: h2.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from daphne_like.exceptions import ApplicationError, PeerError
from daphne_like.http.extensions import EARLY_HINT, PUSH
from daphne_like.http.fields import Fields
from daphne_like.http.h2_fields import MalformedError, size_encoded
from daphne_like.http.h2_frames import FRAME
from daphne_like.http.h2_request import Head, check_head

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from daphne_like.http.h2 import HTTP2Connection
    from daphne_like.http.h2_stream import HTTP2Stream

MOST_PROMISES = 16
"""For one request: a page's first style sheets, and not an application's endless loop."""
LARGEST_PROMISE = FRAME - 64
"""Octets of a promise's fields, encoded: they go into one frame."""


class Pusher:
    """What one request's application may promise.

    Args:
        stream: of the request; its peer takes promises.
        received: its field section, as decoded.
    """

    __slots__ = ("_left", "_received", "_stream")

    def __init__(self, stream: HTTP2Stream, received: Fields) -> None:
        self._stream = stream
        self._received = received
        self._left = MOST_PROMISES

    def __call__(self, path: bytes, fields: Fields) -> Awaitable[None] | None:
        """Promise a request, and serve it; or do nothing where no promise can be made now.

        Args:
            path: of the request, in origin form.
            fields: of the request, checked as far as those of answers are.
        Raises:
            ApplicationError: it is no request that a server may promise.
        """
        request = self._request(path, fields)
        head = checked(request)
        if not self._left:
            return None
        connection: HTTP2Connection = self._stream.connection
        try:
            promised = connection.promise(self._stream, request, head)
        except (MalformedError, PeerError) as error:
            raise ApplicationError(f"{PUSH}: not a request to be served: {error}") from error
        if promised:
            self._left -= 1
        return connection.turn()

    def _request(self, path: bytes, fields: Fields) -> Fields:
        """As the client would have made it: same scheme, same authority (X11)."""
        received = dict(self._received)
        # Whatever the request's head was, h2_request.py has seen to it that it has these.
        authority = received.get(b":authority") or received[b"host"]
        return [
            (b":method", b"GET"),
            (b":scheme", received[b":scheme"]),
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
    if size_encoded(request) > LARGEST_PROMISE:
        raise ApplicationError(f"{PUSH}: the fields are larger than {LARGEST_PROMISE} octets")
    return head


def without_what_promises_have_not(extensions: dict[str, object]) -> None:
    """Take from a promised request's scope what does not work on its stream.

    h2 (4.4) sends no informational answers there; further promises are of clients' streams only
    (RFC 9113, 6.6), and never in the scope of others.
    """
    del extensions[EARLY_HINT]
