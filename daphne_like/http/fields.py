"""The fields of a request: what RFC 9110 and 9112 forbid in them and httptools lets through."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daphne_like.exceptions import PeerError

if TYPE_CHECKING:
    from daphne_like.options import Options

Fields = list[tuple[bytes, bytes]]

# RFC 3986, 3.2.2 and 3.2.3: reg-name, IPv4address or IP-literal, and a port.
HOST = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=%]*|\[[0-9A-Fa-f:.]+(?:%25[\w.~-]+)?\])(?::\d*)?")
ONCE = (b"host", b"content-length", b"transfer-encoding")

EXPECTATION = "The only expectation met is 100-continue."
MAX_NAMES = 1024
names: dict[bytes, bytes] = {}
"""Field names seen lately, in lower case; bounded, because peers choose them."""

MAX_HOSTS = 256
hosts: set[bytes] = set()
"""Host values found good lately; bounded likewise."""


# With one of these a field section says more than a repeated one may (see FieldSection).
FRAMING = frozenset((b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect"))


@dataclass(slots=True)
class FieldSection:
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


def lower(name: bytes) -> bytes:
    """The field name in lower case, from the cache or into it."""
    lowered = name.lower()
    if len(names) >= MAX_NAMES:
        names.clear()
    names[name] = lowered
    return lowered


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
    if len(hosts) >= MAX_HOSTS:
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
        if not coding:
            raise PeerError(400, "Transfer-Encoding names no coding.")
        if coding.lower() != b"chunked":
            raise PeerError(501, "The only transfer coding served is chunked.")
        return None
    if length is None:
        return 0
    digits = length.strip(b" \t")
    # S21: a number of thousands of digits is refused before it is converted.
    if not digits.isdigit() or len(digits) > 18:
        raise PeerError(400, "Content-Length is not a plain number.")
    return int(digits)


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

    A trailer that frames a message is refused too, which RFC 9112 leaves to the recipient: software
    between the peer and this server may act on it.

    Raises:
        PeerError: 400 or 431.
    """
    if any(name in (b"content-length", b"transfer-encoding") for name, _ in fields):
        raise PeerError(400, "A trailer cannot frame a message.")
    check_size(fields, options)
    check_nel(fields)
