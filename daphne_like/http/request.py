"""From a parsed request head to an exchange: what RFC 9112 forbids and httptools lets through."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

import httptools
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import ISSLTransport

from daphne_like.exceptions import PeerError
from daphne_like.http.exchange import Exchange

if TYPE_CHECKING:
    from daphne_like.http.reading import HTTP1Input
    from daphne_like.options import Options

log = logging.getLogger("daphne_like.http")

Fields = list[tuple[bytes, bytes]]

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 3986, 3.2.2 and 3.2.3: reg-name, IPv4address or IP-literal, and a port.
HOST = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=%]*|\[[0-9A-Fa-f:.]+(?:%25[\w.~-]+)?\])(?::\d*)?")
ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)(/[^?#]*)?(\?[^#]*)?")

ONCE = (b"host", b"content-length", b"transfer-encoding")

EXPECTATION = "The only expectation met is 100-continue."
NOT_HTTP = "The request is not valid HTTP/1.1."

EMPTY_LINES = re.compile(rb"(?:\r\n)*")

MOST_NAMES = 1024
names: dict[bytes, bytes] = {}
"""Field names seen lately, in lower case; bounded, because peers choose them."""

MOST_HOSTS = 256
hosts: set[bytes] = set()
"""Host values found good lately; bounded likewise."""


METHODS = {
    method: method.decode()
    for method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS")
}


class Addresses(NamedTuple):
    """What every scope of one connection says about its ends."""

    scheme: str
    client: list[Any] | None
    server: list[Any] | None


# With one of these a field section says more than a repeated one may (see FieldSection).
FRAMING = frozenset((b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect"))


class FieldSection(NamedTuple):
    """The fields of one request, checked.

    Consecutive requests on a connection mostly differ in their request line alone, and the
    fields are most of a request: the section's octets tell that it came again.
    """

    octets: bytes
    """From the end of the request line to the empty line; b"" where there is more to look for
    in a section that comes again."""
    fields: Fields
    by_name: dict[bytes, bytes]
    has_host: bool
    length: int | None
    """Octets of the body; None when the fields say anything else about the message's framing or
    the connection, except that it is kept alive, as HTTP/1.1 means it anyway."""


class RequestLine(NamedTuple):
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


MOST_LINES = 512
LONGEST_TARGET = 128  # the least that --max-request-line can be
request_lines: dict[bytes, RequestLine] = {}
"""Request lines of HTTP/1.1 in origin form parsed lately; bounded in number and size."""


def lower(name: bytes) -> bytes:
    """The field name in lower case, from the cache or into it."""
    lowered = name.lower()
    if len(names) >= MOST_NAMES:
        names.clear()
    names[name] = lowered
    return lowered


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


def check_repeated(fields: Fields) -> None:
    """Refuse a field that may stand once only (RFC 9112, 3.2 and 6.3; advisory S08, S34).

    Raises:
        PeerError: 400, or 417.
    """
    seen = [name for name, _ in fields]
    for name in ONCE:
        if seen.count(name) > 1:
            raise PeerError(400, f"More than one {name.decode().title()} field.")
    if seen.count(b"expect") > 1:
        raise PeerError(417, EXPECTATION)


def check_host(value: bytes) -> None:
    """Refuse a Host that is no host and port (RFC 9112, 3.2).

    Raises:
        PeerError: 400.
    """
    if HOST.fullmatch(value) is None:
        raise PeerError(400, "The Host field is not a host and port.")
    if len(hosts) >= MOST_HOSTS:
        hosts.clear()
    hosts.add(value)


def check_nel(fields: Fields) -> None:
    """Refuse NEL that is not part of a UTF-8 character (advisory S02).

    httptools refuses every other control octet. A stray 0x85 ends a line for software that
    splits text as Unicode does; inside of a UTF-8 character (the second octet of "Å") it is
    none, and names in fields of identity-aware proxies are UTF-8.

    Raises:
        PeerError: 400.
    """
    for _, value in fields:
        if b"\x85" in value:
            try:
                text = value.decode("utf-8")
            except UnicodeDecodeError:
                text = "\x85"
            if "\x85" in text:
                raise PeerError(400, "A control character in a field value.")


def body_length(http_10: bool, known: dict[bytes, bytes]) -> int | None:
    """How long the body is (RFC 9112, 6.3).

    Args:
        http_10: the request is of HTTP/1.0.
        known: the request's fields; none of ONCE stood twice.
    Returns:
        Octets of the body; None for a chunked one.
    Raises:
        PeerError: 400 for both framings at once, a transfer coding in HTTP/1.0, or a length that
            is not plain digits; 501 for a transfer coding other than `chunked` alone.
    """
    coding = known.get(b"transfer-encoding")
    length = known.get(b"content-length")
    if coding is not None:
        if http_10:
            raise PeerError(400, "HTTP/1.0 has no transfer codings.")
        if length is not None:
            raise PeerError(400, "Both Content-Length and Transfer-Encoding.")
        if coding.strip(b" \t").lower() != b"chunked":
            raise PeerError(501, "The only transfer coding served is chunked.")
        return None
    if length is None:
        return 0
    digits = length.strip(b" \t")
    # S21: a number of thousands of digits is refused before it is converted.
    if not digits.isdigit() or len(digits) > 18:
        raise PeerError(400, "Content-Length is not a plain number.")
    return int(digits)


def find_addresses(transport: Any) -> Addresses:
    """Scheme, client and server of a connection (ASGI H04, H12, H13).

    Asked for at the first request, not earlier: behind a PROXY protocol wrapper the transport
    learns the client's address with the first octets.
    """
    ends: list[list[Any] | None] = []
    peer, host = transport.getPeer(), transport.getHost()
    for address in (peer, host):
        if (
            getattr(address, "host", None) is not None
            and getattr(address, "port", None) is not None
        ):
            ends.append([str(address.host), int(address.port)])
        elif address is host and isinstance(address, UNIXAddress) and address.name:
            ends.append([address.name.decode("utf-8", "surrogateescape"), None])
        else:
            ends.append(None)
    scheme = "https" if ISSLTransport.providedBy(transport) else "http"
    return Addresses(scheme, *ends)


def without_empty_lines(head: bytes) -> bytes:
    """The head from its request line on (RFC 9112, 2.2, lets a peer send empty lines before)."""
    found = EMPTY_LINES.match(head)
    assert found is not None
    return head[found.end() :]


def check_fields(fields: Fields, head: bytes, options: Options) -> FieldSection:
    """Check the fields of a request.

    Args:
        fields: names in lower case, values as httptools gives them.
        head: the octets they stood in.
        options: for the limits.
    Raises:
        PeerError: the request is not to be served.
    """
    if len(head) > options.max_field_section or len(fields) > options.max_fields:
        check_size(fields, options)
    if b"\x85" in head:
        check_nel(fields)
    if b" \r\n" in head or b"\t\r\n" in head:  # httptools leaves white space behind a value
        fields = [(name, value.rstrip(b" \t")) for name, value in fields]
    by_name = dict(fields)
    if len(by_name) != len(fields):
        check_repeated(fields)
    host = by_name.get(b"host")
    if host is not None and host not in hosts:
        check_host(host)
    length: int | None = 0
    if not FRAMING.isdisjoint(by_name):
        said = FRAMING.intersection(by_name)
        if (
            len(by_name) == len(fields)  # else `close` may stand in another Connection field
            and by_name.get(b"connection", b"").lower() == b"keep-alive"
        ):
            said -= {b"connection"}  # what browsers send with every request
        length = body_length(False, by_name) if said <= {b"content-length"} else None
    octets = b"" if length is None or not fields else head[head.index(b"\r\n") :]
    if not options.keep_underscores and b"_" in b"".join(by_name):
        # S03: X_Y and X-Y are one name to CGI and in Django's META.
        fields = [field for field in fields if b"_" not in field[0]]
    return FieldSection(octets, fields, by_name, host is not None, length)


def check_size(fields: Fields, options: Options) -> None:
    """Refuse a field section over a limit; a field counts with its colon, space and CRLF.

    Raises:
        PeerError: 431.
    """
    if len(fields) > options.max_fields:
        raise PeerError(431, "Too many header fields.")
    if sum(len(name) + len(value) + 4 for name, value in fields) > options.max_field_section:
        raise PeerError(431, "The header section is too large.")


def check_trailers(fields: Fields, options: Options) -> None:
    """Refuse trailers as fields of a head would be; they are dropped (RFC 9112, 7.1.2).

    Raises:
        PeerError: 400 or 431.
    """
    check_size(fields, options)
    check_nel(fields)


def name_of(method: bytes) -> str:
    """The name of a method that is not among the usual ones.

    Raises:
        PeerError: 501 for CONNECT, which httptools takes with a path, too.
    """
    if method == b"CONNECT":
        raise PeerError(501, "CONNECT is not served here.")
    return method.decode("ascii")


def version_of(head: bytes, line_start: int) -> str:
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


def make_exchange(connection: HTTP1Input, known: FieldSection, target: bytes) -> Exchange:
    """Check a request line that httptools has parsed, and make the exchange.

    Args:
        connection: has parsed the head and not yet the next.
        known: the request's fields, checked.
        target: as on the request line.
    Raises:
        PeerError: the request is not to be served.
    """
    parser: Any = connection.parser
    method: bytes = parser.get_method()
    head = connection.whole_head
    line_end = len(method) + 1 + len(target)
    # httptools formats the version anew for each request (2 % of one, measured); where it
    # stands in the octets is known.
    if head.startswith(b" HTTP/1.1\r\n", line_end):
        version = "1.1"
        if not known.has_host:
            raise PeerError(400, "A request in HTTP/1.1 has a Host field.")
        keep_alive = known.length is not None
    else:
        version = version_of(head, line_end)
        # Where the length is known, a Connection field says keep-alive and nothing else.
        keep_alive = known.length is not None and b"connection" in known.by_name
        if keep_alive:
            # Where the fields came again httptools did not see that field: it takes the
            # connection for closed.
            connection.parser = None
    if len(target) > connection.server.options.max_request_line:
        raise PeerError(414, "The request line is too long.")
    path, raw_path, query_string, authority = split_target(method, target)
    name = METHODS.get(method) or name_of(method)
    line = RequestLine(name, name == "HEAD", target, path, raw_path, query_string)
    fields = known.fields
    if authority is not None:
        fields = [(n, authority if n == b"host" else v) for n, v in fields]
    elif version == "1.1" and len(target) <= LONGEST_TARGET and name != "OPTIONS":
        if len(request_lines) >= MOST_LINES:
            request_lines.clear()
        request_lines[head[: line_end + 9]] = line
    exchange = exchange_for(
        connection, line, fields, version, keep_alive or parser.should_keep_alive()
    )
    if version == "1.0":
        exchange.http_10 = True
    return exchange


def exchange_for(
    connection: HTTP1Input, line: RequestLine, fields: Fields, version: str, keep_alive: bool
) -> Exchange:
    """The exchange of a request that is to be served; flat because it runs for every one.

    Args:
        connection: the request came on.
        line: its request line.
        fields: all of its fields that the application is to see; copied.
        version: "1.1" or "1.0".
        keep_alive: the peer allows another request.
    """
    server = connection.server
    method, is_head, target, path, raw_path, query_string = line
    scheme, client, own = connection.addresses or connection.find_addresses()
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": version,
        "method": method,
        "scheme": scheme,
        "path": path,
        "raw_path": raw_path,
        "query_string": query_string,
        "root_path": server.options.root_path,
        "headers": fields[:],
        "client": client and client[:],
        "server": own and own[:],
        "state": server.lifespan_state.copy(),
        "extensions": {},
    }
    if server.proxies is not None:
        server.proxies.apply(scope)
    exchange = Exchange(server, connection, scope, keep_alive)
    if is_head:
        exchange.head_only = True
    if server.action_logger is not None:
        # Not from the scope, which is the application's to change.
        exchange.method = method
        exchange.client = scope["client"] and tuple(scope["client"])
        exchange.target = target
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
    if isinstance(error, httptools.HttpParserInvalidMethodError):
        method = bytes(octets[:64]).lstrip(b"\r\n").partition(b" ")[0]
        if TOKEN.fullmatch(method):
            return PeerError(501, "The method is not known here.")
    return PeerError(400, NOT_HTTP)
