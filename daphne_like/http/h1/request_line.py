"""Checks the request line of HTTP/1.1 after httptools has parsed the head.

http/fields.py checks the fields, and http/scope.py creates the scope.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Protocol

import httptools

from daphne_like.asgi.response_fields import TOKEN
from daphne_like.bounded_cache import BoundedCache
from daphne_like.exceptions import PeerError
from daphne_like.http.exchange import Exchange
from daphne_like.http.extensions import NOT_OF_HTTP_10, ExtendedCarrier, ExtendedExchange
from daphne_like.http.fields import FieldSection
from daphne_like.http.scope import RequestOrigin, open_exchange
from daphne_like.http.target import METHODS, RequestLine, split_target
from daphne_like.options import MIN_REQUEST_LINE

log = logging.getLogger("daphne_like.http")

TLS_RECORD = b"\x16\x03"
"""The first octets of a TLS handshake in every version (RFC 8446, 5.1)."""
NOT_TLS = "This port speaks plain HTTP, not TLS: use http:// (ws:// for WebSocket)."

NOT_HTTP = "The request is not valid HTTP/1.1."

EMPTY_LINES = re.compile(rb"(?:\r\n)*")

AS_THEY_ARE = frozenset((*METHODS, b"CONNECT", b"PRI"))
"""Methods that are passed to httptools unchanged: the common ones, CONNECT, which is refused, and
PRI, which begins HTTP/2."""
STAND_IN = b"GET"
"""Passed to httptools instead of any other method. The framing does not depend on the method: it is
given by Content-Length and Transfer-Encoding (RFC 9112, 6.3)."""
MAX_METHOD = 64
UNKNOWN_METHOD = "The method is not known here."

LINE_BEGINS = re.compile(rb"(?:\r\n)*(\r\Z|[!#$%&'*+\-.^_`|~0-9A-Za-z]*)")
"""Empty lines, and the received part of the method."""


MAX_CACHED_REQUEST_LINES = 512
request_lines: BoundedCache[bytes, RequestLine] = BoundedCache(MAX_CACHED_REQUEST_LINES)
"""Parsed request lines of HTTP/1.1 in origin form. Targets are at most MIN_REQUEST_LINE octets: no
server's --max-request-line refuses them, so all servers of the process may share the cache."""


class HasHead(RequestOrigin, ExtendedCarrier, Protocol):
    """The interface of a connection whose latest request head is checked.

    Attributes:
        parser: the httptools parser of the head.
        head: the octets of the head, starting with the request line.
    """

    parser: Any
    head: bytes


def without_empty_lines(head: bytes) -> bytes:
    """Return the head without the empty lines that may precede it (RFC 9112, 2.2)."""
    found = EMPTY_LINES.match(head)
    assert found is not None
    return head[found.end() :]


def with_known_method(head: bytes) -> bytes | None:
    """Replace an unusual method with one that httptools accepts.

    httptools has a fixed list of methods, and refuses some of them for versions of HTTP. The
    request keeps its method: `check_request` reads it from the received head.

    Args:
        head: the beginning of a head, or all of it, possibly after empty lines.
    Returns:
        The octets to parse; None if more octets of the method may arrive.
    Raises:
        PeerError: 501, the method is too long, or in lower case (ASGI H03).
    """
    found = LINE_BEGINS.match(head)
    assert found is not None
    method, end = found[1], found.end()
    if len(method) > MAX_METHOD:
        raise PeerError(501, UNKNOWN_METHOD)
    if end == len(head):
        return None
    if method in AS_THEY_ARE or not method or head[end] != 32:
        return head
    if method != method.upper():
        raise PeerError(501, UNKNOWN_METHOD)
    return STAND_IN + head[end:]


def check_method(method: bytes) -> str:
    """Check an unusual method and return its name.

    Raises:
        PeerError: 501 for CONNECT, which httptools accepts even with a path; 400 for an invalid
            method, because httptools skips line ends before a method.
    """
    if method == b"CONNECT":
        raise PeerError(501, "CONNECT is not served here.")
    if TOKEN.fullmatch(method) is None:
        raise PeerError(
            400, "The request line is not valid HTTP/1.1.", reason="invalid_request_line"
        )
    return method.decode("ascii")


def parse_version(head: bytes, line_start: int) -> str:
    """Return the version "1.0", or refuse any other request line (RFC 9112, 3).

    httptools accepts more than one space between the parts, a bare CR or LF before the line, and
    RTSP and ICE instead of HTTP.

    Args:
        head: the head, starting with the request line.
        line_start: length of the method, one space, and the target.
    Raises:
        PeerError: 400 or 505.
    """
    if head.startswith(b" HTTP/1.0\r\n", line_start):
        return "1.0"
    if head.startswith(b" HTTP/2.0\r\n", line_start):
        raise PeerError(505, "Only HTTP/1.0 and HTTP/1.1 here.")
    raise PeerError(400, "The request line is not valid HTTP/1.1.", reason="invalid_request_line")


def check_request(connection: HasHead, known: FieldSection, target: bytes) -> Exchange:
    """Check a request line that httptools has parsed, and create the exchange.

    Args:
        connection: the connection; its parser is dropped where it assumes a closed connection.
        known: the checked fields of the request.
        target: the request target.
    Raises:
        PeerError: the request must be refused.
    """
    parser: Any = connection.parser
    head = connection.head
    method = head[: head.find(b" ")]
    name = METHODS.get(method) or check_method(method)
    line_end = len(method) + 1 + len(target)
    # Read the version from the octets, because httptools formats a string for each request.
    if head.startswith(b" HTTP/1.1\r\n", line_end):
        version = "1.1"
        if not known.has_host:
            raise PeerError(400, "A request in HTTP/1.1 has a Host field.")
        keep_alive = known.length is not None
    else:
        version = parse_version(head, line_end)
        # If the length is known, the only possible Connection field is keep-alive.
        keep_alive = known.length is not None and b"connection" in known.by_name
        if keep_alive:
            # If the field section was reused, httptools has not seen that field, and assumes that
            # the connection is closed.
            connection.parser = None
    if len(target) > connection.context.options.max_request_line:
        raise PeerError(414, "The request line is too long.")
    path, raw_path, query_string, authority = split_target(method, target)
    line = RequestLine(name, name == "HEAD", target, path, raw_path, query_string)
    fields = known.fields
    if authority is not None:
        fields = [(n, authority if n == b"host" else v) for n, v in fields]
    elif version == "1.1" and len(target) <= MIN_REQUEST_LINE and name != "OPTIONS":
        request_lines.store(head[: line_end + 9], line)
    exchange = open_exchange(
        connection,
        line,
        fields,
        version,
        keep_alive or parser.should_keep_alive(),
        ExtendedExchange,
    )
    if version == "1.0":
        exchange.http_10 = True
        for name in NOT_OF_HTTP_10:
            del exchange.scope["extensions"][name]
    return exchange


def refusal(error: httptools.HttpParserError, octets: bytes | memoryview, label: str) -> PeerError:
    """Return the error with which to refuse a request after an error of httptools.

    Args:
        error: raised by httptools.
        octets: those that it was fed.
        label: of the connection, for the log.
    """
    cause = error.__context__
    if isinstance(cause, PeerError):
        return cause
    if isinstance(error, httptools.HttpParserCallbackError):
        log.error("%s ! reading a request failed", label, exc_info=cause or error)
        return PeerError(500, "Internal Server Error")
    if octets[:2] == TLS_RECORD:
        return PeerError(400, NOT_TLS, reason="tls_not_supported")
    return PeerError(400, NOT_HTTP, reason="invalid_request_line")
