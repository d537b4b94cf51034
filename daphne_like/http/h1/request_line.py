"""The request line of HTTP/1.1: checked, or refused, after httptools has parsed the head.

Checks of the fields are in http/fields.py, the scope is made in http/scope.py.
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
from daphne_like.http.extensions import NOT_OF_HTTP_10
from daphne_like.http.fields import FieldSection
from daphne_like.http.scope import RequestOrigin, open_exchange
from daphne_like.http.target import METHODS, RequestLine, split_target
from daphne_like.options import MIN_REQUEST_LINE

log = logging.getLogger("daphne_like.http")

TLS_RECORD = b"\x16\x03"
"""How a TLS handshake begins, in every version (RFC 8446, 5.1)."""
NOT_TLS = "This port speaks plain HTTP, not TLS: use http:// (ws:// for WebSocket)."

NOT_HTTP = "The request is not valid HTTP/1.1."

EMPTY_LINES = re.compile(rb"(?:\r\n)*")

AS_THEY_ARE = frozenset((*METHODS, b"CONNECT", b"PRI"))
"""Methods that httptools is fed: those that it knows in HTTP, and those that are refused or begin
HTTP/2."""
STAND_IN = b"GET"
"""What httptools is fed in place of any other method. It frames all of them alike: by
Content-Length and Transfer-Encoding, whatever the method (RFC 9112, 6.3)."""
MAX_METHOD = 64
UNKNOWN_METHOD = "The method is not known here."

LINE_BEGINS = re.compile(rb"(?:\r\n)*(\r\Z|[!#$%&'*+\-.^_`|~0-9A-Za-z]*)")
"""Empty lines, and the method as far as it came."""


MAX_LINES = 512
request_lines: BoundedCache[bytes, RequestLine] = BoundedCache(MAX_LINES)
"""Parsed request lines of HTTP/1.1 in origin form. Targets are at most MIN_REQUEST_LINE octets: no
server's --max-request-line refuses them, so all servers of the process may share the cache."""


class HasHead(RequestOrigin, Protocol):
    """A connection that has parsed a head and not yet the next.

    Attributes:
        parser: httptools' parser of the head.
        head: the octets from the request line on.
    """

    parser: Any
    head: bytes


def without_empty_lines(head: bytes) -> bytes:
    """The head from its request line on (RFC 9112, 2.2, lets a peer send empty lines before)."""
    found = EMPTY_LINES.match(head)
    assert found is not None
    return head[found.end() :]


def with_known_method(head: bytes) -> bytes | None:
    """Put a method that httptools knows in place of any other one.

    Its list of methods is closed, and it refuses some of them for versions of HTTP. The request
    keeps its own method: `check_request` reads it from the head as it came.

    Args:
        head: the beginning of a head, or all of it; with empty lines before it or without.
    Returns:
        What is to be fed; None if more octets of the method may come.
    Raises:
        PeerError: 501, no method is as long, or is in lower case (ASGI H03).
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


def name_of(method: bytes) -> str:
    """The name of a method that is not among the usual ones.

    Raises:
        PeerError: 501 for CONNECT, which httptools takes with a path, too; 400 for what is not a
            method: httptools skips line ends before it.
    """
    if method == b"CONNECT":
        raise PeerError(501, "CONNECT is not served here.")
    if TOKEN.fullmatch(method) is None:
        raise PeerError(400, "The request line is not valid HTTP/1.1.")
    return method.decode("ascii")


def parse_version(head: bytes, line_start: int) -> str:
    """The version, where it is not 1.1 or the request line is not as RFC 9112, 3, has it.

    httptools lets through more than one space between the parts, a bare CR or LF before the
    line, and RTSP and ICE in the place of HTTP.

    Args:
        head: from the request line on.
        line_start: octets of the method, one space, and the target.
    Raises:
        PeerError: 400 or 505.
    """
    if head.startswith(b" HTTP/1.0\r\n", line_start):
        return "1.0"
    if head.startswith(b" HTTP/2.0\r\n", line_start):
        raise PeerError(505, "Only HTTP/1.0 and HTTP/1.1 here.")
    raise PeerError(400, "The request line is not valid HTTP/1.1.")


def check_request(connection: HasHead, known: FieldSection, target: bytes) -> Exchange:
    """Check a request line that httptools has parsed, and make the exchange.

    Args:
        connection: whose parser is dropped if it would take the connection for closed.
        known: the request's fields, checked.
        target: as on the request line.
    Raises:
        PeerError: the request is not to be served.
    """
    parser: Any = connection.parser
    head = connection.head
    method = head[: head.find(b" ")]
    name = METHODS.get(method) or name_of(method)
    line_end = len(method) + 1 + len(target)
    # httptools formats the version anew for each request; where it stands in the octets is
    # known.
    if head.startswith(b" HTTP/1.1\r\n", line_end):
        version = "1.1"
        if not known.has_host:
            raise PeerError(400, "A request in HTTP/1.1 has a Host field.")
        keep_alive = known.length is not None
    else:
        version = parse_version(head, line_end)
        # Where the length is known, a Connection field says keep-alive and nothing else.
        keep_alive = known.length is not None and b"connection" in known.by_name
        if keep_alive:
            # Where the fields came again httptools did not see that field: it takes the
            # connection for closed.
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
        connection, line, fields, version, keep_alive or parser.should_keep_alive()
    )
    if version == "1.0":
        exchange.http_10 = True
        for name in NOT_OF_HTTP_10:
            del exchange.scope["extensions"][name]
    return exchange


def refusal(error: httptools.HttpParserError, octets: bytes | memoryview) -> PeerError:
    """What a peer is owed for what httptools, or a callback of ours, did not take."""
    cause = error.__context__
    if isinstance(cause, PeerError):
        return cause
    if isinstance(error, httptools.HttpParserCallbackError):
        log.error("Reading a request failed", exc_info=cause or error)
        return PeerError(500, "Internal Server Error")
    if octets[:2] == TLS_RECORD:
        return PeerError(400, NOT_TLS)
    return PeerError(400, NOT_HTTP)
