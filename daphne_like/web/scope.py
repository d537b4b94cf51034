"""Turns a request of twisted.web into an exchange: target, place in the tree, fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted.web.http_headers import Headers

from daphne_like.exceptions import PeerError
from daphne_like.http.exchange import Exchange
from daphne_like.http.fields import Fields, check_fields, lower
from daphne_like.http.scope import RequestOrigin, open_exchange
from daphne_like.http.target import METHODS, RequestLine, split_target

if TYPE_CHECKING:
    from twisted.web.server import Request

VERSIONS = {b"HTTP/1.0": "1.0", b"HTTP/1.1": "1.1", b"HTTP/2": "2"}


class HasRequest(RequestOrigin, Protocol):
    """The carrier of a request of twisted.web."""

    request: Request


def open_web_exchange(carrier: HasRequest) -> Exchange:
    """Check what twisted.web does not check, and create the exchange.

    `path` is the complete path and begins with `root_path` (ASGI H08). `root_path` is the option of
    that name, which a proxy has removed from the path, followed by the place of the resource.

    Raises:
        PeerError: the request is refused.
    """
    request: Any = carrier.request
    options = carrier.context.options
    method, target = request.method, request.uri
    if len(target) > options.max_request_line:
        raise PeerError(414, "The request line is too long.")
    if not target.isascii():
        raise PeerError(400, "The request target has no valid form.", reason="invalid_request_line")
    if method != method.upper():  # ASGI H03
        raise PeerError(501, "The method is not known here.")
    path, raw_path, query_string, authority = split_target(method, target)
    place, postpath = _segments(request.prepath), _segments(request.postpath)
    if authority is None:
        # The tree's view of the path, because resources that rewrite a request do not change its
        # target.
        path = (place + postpath) or "/"
    fields = _checked(request.requestHeaders, carrier)
    if authority is not None:
        fields = [(n, authority if n == b"host" else v) for n, v in fields]
    name = METHODS.get(method) or method.decode("ascii")
    line = RequestLine(name, name == "HEAD", target, path, raw_path, query_string)
    version = VERSIONS[request.clientproto]
    exchange = open_exchange(carrier, line, fields, version, True, Exchange)
    scope = exchange.scope
    scope["path"] = scope["root_path"] + path
    scope["root_path"] += place.rstrip("/")
    return exchange


def _segments(segments: list[bytes]) -> str:
    return b"".join([b"/" + segment for segment in segments]).decode("utf-8", "replace")


def _checked(headers: Headers, carrier: HasRequest) -> Fields:
    """Return the checked fields for the application; fields of one name keep their order.

    Raises:
        PeerError: 400 or 431.
    """
    fields = [
        (lower(name), value) for name, values in headers.getAllRawHeaders() for value in values
    ]
    octets = b"".join([b"\r\n%b: %b" % field for field in fields]) + b"\r\n\r\n"
    return check_fields(fields, octets, carrier.context.options).fields
