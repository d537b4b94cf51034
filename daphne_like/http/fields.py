"""Checks the fields of a request for violations of RFC 9110 and 9112 that httptools accepts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daphne_like.bounded_cache import BoundedCache
from daphne_like.exceptions import PeerError

if TYPE_CHECKING:
    from daphne_like.options import Options

Fields = list[tuple[bytes, bytes]]

# RFC 3986, 3.2.2 and 3.2.3: reg-name, IPv4address or IP-literal, and a port.
HOST = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=%]*|\[[0-9A-Fa-f:.]+(?:%25[\w.~-]+)?\])(?::\d*)?")
ONCE = (b"host", b"content-length", b"transfer-encoding")

EXPECTATION = "The only expectation met is 100-continue."
MAX_NAMES = 1024
MAX_CACHED_NAME = 128
names: BoundedCache[bytes, bytes] = BoundedCache(MAX_NAMES)
"""Field names in lower case, by the names as received. Bounded because peers choose them."""
known_names = names.entries

MAX_HOSTS = 256
MAX_CACHED_HOST = 261  # the longest name in DNS, a colon and a port
hosts: BoundedCache[bytes, bool] = BoundedCache(MAX_HOSTS)
"""Values of Host that `check_host` has accepted. Bounded because peers choose them."""
known_hosts = hosts.entries


# A field section with one of these fields must not be reused (see FieldSection).
FRAMING = frozenset((b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect"))


@dataclass(slots=True)
class FieldSection:
    """The checked fields of one request.

    Consecutive requests on a connection mostly differ only in the request line, and most of a
    request are its fields. If a section has the same octets again, its checks are reused.
    """

    octets: bytes
    """The octets from the end of the request line through the empty line; b"" when the section must
    not be reused."""
    fields: Fields
    by_name: dict[bytes, bytes]
    has_host: bool
    length: int | None
    """Body length. None if any other field affects framing or the connection, apart from an
    explicit keep-alive."""


def lower(name: bytes) -> bytes:
    """Return the field name in lower case, and cache it unless it is long."""
    lowered = name.lower()
    return names.store(name, lowered) if len(name) <= MAX_CACHED_NAME else lowered


def check_repeated(fields: Fields) -> None:
    """Refuse repetitions of a field that may occur only once (RFC 9112, 3.2 and 6.3; S08, S34).

    Raises:
        PeerError: 400, or 417 for Expect.
    """
    seen = [name for name, _ in fields]
    for name in ONCE:
        if seen.count(name) > 1:
            raise PeerError(400, f"More than one {name.decode().title()} field.")
    if seen.count(b"expect") > 1:
        raise PeerError(417, EXPECTATION)


def check_host(value: bytes) -> None:
    """Refuse a Host value that is not a host with an optional port (RFC 9112, 3.2).

    Raises:
        PeerError: 400.
    """
    if HOST.fullmatch(value) is None:
        raise PeerError(400, "The Host field is not a host and port.")
    if len(value) <= MAX_CACHED_HOST:
        hosts.store(value, True)


def check_nel(fields: Fields) -> None:
    """Refuse NEL that is not part of a UTF-8 character (advisory S02).

    httptools refuses all other control octets. A stray 0x85 ends a line for software that splits
    text at Unicode line ends. The octet 0x85 within a UTF-8 character (the second octet of "Å") is
    accepted, because identity-aware proxies send names in UTF-8.

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
    """Return the length of the body (RFC 9112, 6.3).

    Args:
        http_10: the request is an HTTP/1.0 request.
        known: the request's fields; the fields in ONCE occur at most once.
    Returns:
        Octets of the body; None for a chunked body.
    Raises:
        PeerError: 400 for both framings at once, a transfer coding in HTTP/1.0, or a length that
            is not plain digits; 501 for a transfer coding other than a single `chunked`.
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
            raise PeerError(
                501,
                "The only transfer coding served is chunked.",
                reason="unsupported_transfer_coding",
            )
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
        fields: names in lower case, values as httptools returns them.
        head: the octets of the request head.
        options: provides the limits.
    Raises:
        PeerError: the request must be refused.
    """
    if len(head) > options.max_field_section or len(fields) > options.max_fields:
        check_size(fields, options)
    if b"\x85" in head:
        check_nel(fields)
    if b" \r\n" in head or b"\t\r\n" in head:  # httptools keeps white space after a value
        fields = [(name, value.rstrip(b" \t")) for name, value in fields]
    by_name = dict(fields)
    if len(by_name) != len(fields):
        check_repeated(fields)
    host = by_name.get(b"host")
    if host is not None and host not in known_hosts:
        check_host(host)
    length: int | None = 0
    if not FRAMING.isdisjoint(by_name):
        said = FRAMING.intersection(by_name)
        if (
            len(by_name) == len(fields)  # otherwise another Connection field may have `close`
            and by_name.get(b"connection", b"").lower() == b"keep-alive"
        ):
            said -= {b"connection"}  # browsers send keep-alive with every request
        length = body_length(False, by_name) if said <= {b"content-length"} else None
    octets = b"" if length is None or not fields else head[head.index(b"\r\n") :]
    if not options.keep_underscores and b"_" in b"".join(by_name):
        # S03: X_Y and X-Y are one name to CGI and in Django's META.
        fields = [field for field in fields if b"_" not in field[0]]
    return FieldSection(octets, fields, by_name, host is not None, length)


def check_size(fields: Fields, options: Options) -> None:
    """Refuse a field section over a limit; colon, space and CRLF of each field count.

    Raises:
        PeerError: 431.
    """
    if len(fields) > options.max_fields:
        raise PeerError(431, "Too many header fields.", reason="max_request_header_count_exceeded")
    if sum(len(name) + len(value) + 4 for name, value in fields) > options.max_field_section:
        raise PeerError(431, "The header section is too large.")


def check_trailers(fields: Fields, options: Options) -> None:
    """Check trailers with the rules for fields of a head; valid trailers are dropped afterwards.

    RFC 9112, 7.1.2, lets a recipient choose. A trailer that frames a message is refused too,
    because software between the peer and this server may act on it.

    Raises:
        PeerError: 400 or 431.
    """
    if any(name in (b"content-length", b"transfer-encoding") for name, _ in fields):
        raise PeerError(400, "A trailer cannot frame a message.")
    check_size(fields, options)
    check_nel(fields)
