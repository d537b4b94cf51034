"""From a parsed request head to an exchange: request line, target, addresses, scope.

What is wrong with its fields is in fields.py.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

import httptools
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import ISSLTransport

from daphne_like.asgi.response_fields import TOKEN
from daphne_like.exceptions import PeerError
from daphne_like.http.exchange import Exchange
from daphne_like.http.extensions import EXTENSIONS, NOT_OF_HTTP_10, ExtendedExchange, Supported
from daphne_like.http.fields import HOST, Fields, FieldSection
from daphne_like.http.tls_info import tls_extension_of

if TYPE_CHECKING:
    from daphne_like.http.h1.request_reader import RequestReader
    from daphne_like.http.h2.stream import HTTP2Stream

log = logging.getLogger("daphne_like.http")

ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)(/[^?#]*)?(\?[^#]*)?")

TLS_RECORD = b"\x16\x03"
"""How a TLS handshake begins, in every version (RFC 8446, 5.1)."""
NOT_TLS = "This port speaks plain HTTP, not TLS: use http:// (ws:// for WebSocket)."

NOT_HTTP = "The request is not valid HTTP/1.1."

EMPTY_LINES = re.compile(rb"(?:\r\n)*")

METHODS = {
    method: method.decode()
    for method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS")
}

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


# Slots, not named tuples: the interpreter specialises how it reads those alone.
@dataclass(slots=True)
class ConnectionEnds:
    """What every scope of one connection says about its ends, and what may be done with it."""

    scheme: str
    client: list[Any] | None
    server: list[Any] | None
    extensions: dict[str, Any]
    """To be copied: none of its values is written into."""


@dataclass(slots=True)
class RequestLine:
    """A request line, parsed and checked."""

    method: str
    is_head: bool
    target: bytes
    path: str
    raw_path: bytes
    query_string: bytes


class Target(NamedTuple):
    """A request target, split."""

    path: str
    raw_path: bytes
    query_string: bytes
    authority: bytes | None


MAX_LINES = 512
MAX_CACHED_TARGET = 128  # the least that --max-request-line can be
request_lines: dict[bytes, RequestLine] = {}
"""Request lines of HTTP/1.1 in origin form parsed lately; bounded in number and size."""


def split_target(method: bytes, target: bytes) -> Target:
    """Split a request target (RFC 9112, 3.2) into what the scope wants.

    Escapes in the path are decoded as UTF-8, what is none is replaced (ASGI H05); the query
    stays as received. Dot segments stay: resolving them is the application's business.

    Args:
        method: for `OPTIONS *` and CONNECT.
        target: octets between the two spaces of the request line, as httptools let them through.
    Returns:
        `authority` is None for the origin form; in absolute form it takes the place of Host
        (RFC 9112, 3.2.2). The path of `*` is "*".
    Raises:
        PeerError: 400 for a fragment, a foreign scheme, an authority with a user; 501 for
            CONNECT, which an origin server does not have to serve.
    """
    if method == b"CONNECT":
        raise PeerError(501, "CONNECT is not served here.")
    if b"#" in target:
        raise PeerError(400, "A request target has no fragment.")
    if target[:1] == b"/":
        raw_path, _, query_string = target.partition(b"?")
        return Target(decoded(raw_path), raw_path, query_string, None)
    if target == b"*" and method == b"OPTIONS":
        return Target("*", b"*", b"", None)
    absolute = ABSOLUTE.fullmatch(target)
    if absolute is None or not absolute[1] or HOST.fullmatch(absolute[1]) is None:
        raise PeerError(400, "The request target has no valid form.")
    raw_path = absolute[2] or b"/"
    return Target(decoded(raw_path), raw_path, (absolute[3] or b"?")[1:], absolute[1])


def decoded(raw_path: bytes) -> str:
    """The path with its escapes decoded; octets that are no UTF-8 become U+FFFD."""
    if b"%" in raw_path:
        return unquote_to_bytes(raw_path).decode("utf-8", "replace")
    return raw_path.decode("ascii")


def describe_ends(transport: Any) -> ConnectionEnds:
    """Scheme, client and server of a connection (ASGI H04, H12, H13).

    Asked for at the first request, not earlier: behind a PROXY protocol wrapper the transport
    learns the client's address with the first octets.
    """
    ends: list[list[Any] | None] = []
    peer, host = transport.getPeer(), transport.getHost()
    for address in (peer, host):
        if address.__class__ is IPv4Address or address.__class__ is IPv6Address:
            ends.append([address.host, address.port])
        elif (  # somebody else's
            getattr(address, "host", None) is not None
            and getattr(address, "port", None) is not None
        ):
            ends.append([str(address.host), int(address.port)])
        elif address is host and isinstance(address, UNIXAddress) and address.name:
            name = address.name.decode("utf-8", "surrogateescape")
            # An abstract name, in its usual spelling: a NUL in a path surprises who reads it.
            ends.append(["@" + name[1:] if name[0] == "\0" else name, None])
        else:
            ends.append(None)
    if not ISSLTransport.providedBy(transport):
        return ConnectionEnds("http", ends[0], ends[1], EXTENSIONS)
    return ConnectionEnds("https", ends[0], ends[1], with_tls(tls_extension_of(transport)))


def with_tls(tls: dict[str, Any] | None) -> dict[str, Any]:
    """The extensions of a connection, with what is known of its TLS (ASGI T01)."""
    return EXTENSIONS if tls is None else {**EXTENSIONS, "tls": Supported(tls)}


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


def check_request(connection: RequestReader, known: FieldSection, target: bytes) -> Exchange:
    """Check a request line that httptools has parsed, and make the exchange.

    Args:
        connection: has parsed the head and not yet the next.
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
    if len(target) > connection.server.options.max_request_line:
        raise PeerError(414, "The request line is too long.")
    path, raw_path, query_string, authority = split_target(method, target)
    line = RequestLine(name, name == "HEAD", target, path, raw_path, query_string)
    fields = known.fields
    if authority is not None:
        fields = [(n, authority if n == b"host" else v) for n, v in fields]
    elif version == "1.1" and len(target) <= MAX_CACHED_TARGET and name != "OPTIONS":
        if len(request_lines) >= MAX_LINES:
            request_lines.clear()
        request_lines[head[: line_end + 9]] = line
    exchange = open_exchange(
        connection, line, fields, version, keep_alive or parser.should_keep_alive()
    )
    if version == "1.0":
        exchange.http_10 = True
        for name in NOT_OF_HTTP_10:
            del exchange.scope["extensions"][name]
    return exchange


def open_exchange(
    connection: RequestReader | HTTP2Stream,
    line: RequestLine,
    fields: Fields,
    version: str,
    keep_alive: bool,
) -> ExtendedExchange:
    """The exchange of a request that is to be served; flat because it runs for every one.

    Args:
        connection: the request came on, or the stream of one.
        line: its request line.
        fields: all of its fields that the application is to see; copied.
        version: "1.1" or "1.0".
        keep_alive: the peer allows another request.
    """
    server = connection.server
    addresses = connection.addresses or connection.describe_ends()
    client, own = addresses.client, addresses.server
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": version,
        "method": line.method,
        "scheme": addresses.scheme,
        "path": line.path,
        "raw_path": line.raw_path,
        "query_string": line.query_string,
        "root_path": server.options.root_path,
        "headers": fields.copy(),
        "client": client and client.copy(),
        "server": own and own.copy(),
        "state": server.lifespan_state.copy(),
        "extensions": addresses.extensions.copy(),
    }
    if server.proxies is not None:
        server.proxies.apply(scope)
    exchange = ExtendedExchange(server, connection, scope, keep_alive)
    if line.is_head:
        exchange.head_only = True
    if server.action_logger is not None:
        # Not from the scope, which is the application's to change.
        exchange.method = line.method
        exchange.client = scope["client"] and tuple(scope["client"])
        exchange.target = line.target
        exchange.started = server.clock()
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
