"""Request lines and request targets, split and checked (RFC 9112, 3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from daphne_like.exceptions import PeerError
from daphne_like.http.fields import HOST

ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)(/[^?#]*)?(\?[^#]*)?")

METHODS = {
    method: method.decode()
    for method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS")
}


@dataclass(slots=True)
class RequestLine:
    """A parsed and checked request line."""

    method: str
    is_head: bool
    target: bytes
    path: str
    raw_path: bytes
    query_string: bytes


class Target(NamedTuple):
    """The parts of a request target."""

    path: str
    raw_path: bytes
    query_string: bytes
    authority: bytes | None


def split_target(method: bytes, target: bytes) -> Target:
    """Split a request target (RFC 9112, 3.2) into the parts that a scope needs.

    Escapes in the path are decoded as UTF-8, and invalid UTF-8 is replaced (ASGI H05). The query is
    not changed. Dot segments are not resolved; that is left to the application.

    Args:
        method: the request method, which decides about `*` and CONNECT.
        target: the octets between the two spaces of the request line, as httptools accepts them.
    Returns:
        The parts. `authority` is None for the origin form; in absolute form it replaces Host
        (RFC 9112, 3.2.2). The path of `*` is "*".
    Raises:
        PeerError: 400 for a fragment, a foreign scheme or an authority with user information; 501
            for CONNECT, which an origin server need not support.
    """
    if method == b"CONNECT":
        raise PeerError(501, "CONNECT is not served here.")
    if b"#" in target:
        raise PeerError(400, "A request target has no fragment.", reason="invalid_request_line")
    if target[:1] == b"/":
        raw_path, _, query_string = target.partition(b"?")
        return Target(decoded(raw_path), raw_path, query_string, None)
    if target == b"*" and method == b"OPTIONS":
        return Target("*", b"*", b"", None)
    absolute = ABSOLUTE.fullmatch(target)
    if absolute is None or not absolute[1] or HOST.fullmatch(absolute[1]) is None:
        raise PeerError(400, "The request target has no valid form.", reason="invalid_request_line")
    raw_path = absolute[2] or b"/"
    return Target(decoded(raw_path), raw_path, (absolute[3] or b"?")[1:], absolute[1])


def decoded(raw_path: bytes) -> str:
    """Return the path with its escapes decoded; octets that are not UTF-8 become U+FFFD."""
    if b"%" in raw_path:
        return unquote_to_bytes(raw_path).decode("utf-8", "replace")
    return raw_path.decode("ascii")
