"""Turns an HTTP/2 field section into a request (RFC 9113, 8.3); the stream is added later."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from daphne_like.exceptions import PeerError
from daphne_like.http.fields import (
    EXPECTATION,
    Fields,
    check_host,
    check_nel,
    check_size,
    known_hosts,
)
from daphne_like.http.h2.hpack_cache import MalformedError, Section, check_names_and_values
from daphne_like.http.h2.priority import Priority, parse_priority
from daphne_like.http.request_body import check_body_size
from daphne_like.http.target import METHODS, RequestLine, Target, split_target

if TYPE_CHECKING:
    from daphne_like.options import Options

TARGET = re.compile(rb"[\x21-\x7e]+")
METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path", b":protocol"))


class Head(NamedTuple):
    """The head of a request."""

    method: bytes
    path: bytes
    protocol: bytes | None
    """The `:protocol` of an extended CONNECT (RFC 8441), else None."""
    fields: Fields
    """The fields; `:authority` becomes `host` and comes first (ASGI H11)."""
    length: int | None
    """The declared Content-Length."""
    priority: bytes | None
    """The value of the Priority field (RFC 9218)."""
    refusal: PeerError | None
    """The error with which the server refuses a well-formed request; else None."""


class Request(NamedTuple):
    """A well-formed request, independent of its stream."""

    line: RequestLine
    fields: Fields
    """The fields that the application receives."""
    length: int | None
    protocol: bytes | None
    priority: Priority | None
    """The priority of the response (RFC 9218)."""
    expectation: bytes | None
    refusal: PeerError | None
    """The error to send instead of the application's response; else None."""


def to_request(received: Fields, options: Options) -> Request:
    """Check a request's field section; a cached section is checked only once.

    Args:
        received: the decoded field section.
        options: provides the limits.
    Raises:
        MalformedError: the request is malformed.
    """
    if not isinstance(received, Section):
        return request_from(check_head(received), options)
    known: Request | None = received.request
    if known is None:
        known = request_from(check_head(received), options)
        if known.refusal is None:  # an exception must not be shared
            received.request = known
    return known


def request_from(head: Head, options: Options) -> Request:
    """Return the request with a given head.

    Raises:
        MalformedError: the request is malformed.
    """
    fields = joined_cookies(head.fields)
    refusal = head.refusal
    target = Target("", b"", b"", None)
    try:
        check_size(fields, options)
        check_nel(fields)
        if refusal is None:
            target = split_target(b"GET" if head.protocol else head.method, head.path)
        if len(head.path) > options.max_request_line:
            raise PeerError(414, "The request target is too long.")
        check_body_size(head.length, options)
    except PeerError as error:
        refusal = refusal or error
    if target.authority is not None:
        raise MalformedError("the path is an absolute URI")
    method = METHODS.get(head.method) or head.method.decode("ascii")
    line = RequestLine(method, method == "HEAD", head.path, *target[:3])
    if not options.keep_underscores and any(b"_" in name for name, _ in fields):
        fields = [field for field in fields if b"_" not in field[0]]  # S03
    expectation = next((value for name, value in fields if name == b"expect"), None)
    priority = None if head.priority is None else parse_priority(head.priority)
    return Request(line, fields, head.length, head.protocol, priority, expectation, refusal)


def check_head(received: list[tuple[bytes, bytes]]) -> Head:
    """Check a request's field section and return its parts.

    Args:
        received: the decoded field section, pseudo-header fields first.
    Raises:
        MalformedError: the section violates RFC 9113, 8.2 or 8.3.
    """
    pseudo: dict[bytes, bytes] = {}
    fields: Fields = []
    for name, value in received:
        if name[:1] == b":":
            if fields or name in pseudo or name not in PSEUDO:
                raise MalformedError(f"pseudo-field {name!r}")
            pseudo[name] = value
        else:
            fields.append((name, value))
    check_names_and_values(fields)
    method, path = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
    protocol = pseudo.get(b":protocol")
    if METHOD.fullmatch(method) is None:
        raise MalformedError("method")
    refusal: PeerError | None = None
    if method == b"CONNECT" and protocol is None:
        if b":path" in pseudo or b":scheme" in pseudo or b":authority" not in pseudo:
            raise MalformedError("CONNECT has an authority and no more")
        refusal = PeerError(501, "CONNECT is not served here.")
    elif TARGET.fullmatch(path) is None or pseudo.get(b":scheme") not in (b"http", b"https"):
        raise MalformedError("path or scheme")
    elif protocol is not None and method != b"CONNECT":
        raise MalformedError(":protocol without CONNECT")
    elif method != method.upper():
        refusal = PeerError(501, "The method is not known here.")  # as in HTTP/1.1 (ASGI H03)
    by_name = dict(fields)
    host, authority = by_name.get(b"host"), pseudo.get(b":authority")
    if len(by_name) != len(fields):
        seen = [name for name, _ in fields]
        if seen.count(b"host") > 1 or seen.count(b"content-length") > 1:
            raise MalformedError("a field that may stand once")
        if seen.count(b"expect") > 1:
            refusal = refusal or PeerError(417, EXPECTATION)
    if authority is not None:
        if host is not None:
            if host != authority:
                raise MalformedError("host is not :authority")
            fields = [field for field in fields if field[0] != b"host"]
        fields.insert(0, (b"host", authority))
        host = authority
    if not host:
        raise MalformedError("no :authority and no host")
    if host not in known_hosts:
        try:
            check_host(host)
        except PeerError as error:
            refusal = refusal or error
    length = parse_content_length(by_name.get(b"content-length"))
    return Head(method, path, protocol, fields, length, by_name.get(b"priority"), refusal)


def parse_content_length(value: bytes | None) -> int | None:
    """Return the number in Content-Length; None without the field.

    Raises:
        MalformedError: the value is not a plain number.
    """
    if value is None:
        return None
    if not value.isdigit() or len(value) > 18:
        raise MalformedError("content-length")
    return int(value)


def joined_cookies(fields: Fields) -> Fields:
    """Return fields with all cookie fields joined into the first (8.2.3; ASGI H16)."""
    crumbs = [value for name, value in fields if name == b"cookie"]
    if len(crumbs) < 2:
        return fields
    whole: Fields = []
    for name, value in fields:
        if name != b"cookie":
            whole.append((name, value))
        elif crumbs:
            whole.append((name, b"; ".join(crumbs)))
            crumbs = []
    return whole
