"""Fields of HTTP/2: what RFC 9113, 8.2 and 8.3, asks of them, and how those of answers go out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from hpack import Decoder, Encoder
from hpack.struct import HeaderTuple, NeverIndexedHeaderTuple

from daphne_like.exceptions import PeerError
from daphne_like.http.fields import Fields, check_host

NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
FORBIDDEN_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
TARGET = re.compile(rb"[\x21-\x7e]+")
METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path", b":protocol"))
OF_CONNECTIONS = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
MOST_BLOCKS = 64
MOST_LINES = 4096
LONGEST_LINE = 512


class MalformedError(Exception):
    """A request that is malformed (RFC 9113, 8.1.1): its stream is reset, with PROTOCOL_ERROR."""


class Head(NamedTuple):
    """The head of a request."""

    method: bytes
    path: bytes
    protocol: bytes | None
    """Of an extended CONNECT (RFC 8441), else None."""
    fields: Fields
    """With `host` first, which is `:authority` where the request has one (ASGI H11)."""
    length: int | None
    """The declared Content-Length."""


def check_head(received: list[tuple[bytes, bytes]]) -> Head:
    """Take a request's field section apart.

    Args:
        received: as decoded, pseudo-fields first.
    Raises:
        MalformedError: RFC 9113, 8.2 and 8.3, forbid it.
        PeerError: it is well-formed, and not served: 400 for a Host that is none.
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
    if method == b"CONNECT" and protocol is None:
        raise PeerError(501, "CONNECT is not served here.")
    if TARGET.fullmatch(path) is None or pseudo.get(b":scheme") not in (b"http", b"https"):
        raise MalformedError("path or scheme")
    if protocol is not None and method != b"CONNECT":
        raise MalformedError(":protocol without CONNECT")
    by_name = dict(fields)
    host, authority = by_name.get(b"host"), pseudo.get(b":authority")
    if len(by_name) != len(fields):
        seen = [name for name, _ in fields]
        if seen.count(b"host") > 1 or seen.count(b"content-length") > 1:
            raise MalformedError("a field that may stand once")
    if authority is not None:
        if host is not None:
            if host != authority:
                raise MalformedError("host is not :authority")
            fields = [field for field in fields if field[0] != b"host"]
        fields.insert(0, (b"host", authority))
        host = authority
    if not host:
        raise MalformedError("no :authority and no host")
    check_host(host)
    return Head(method, path, protocol, fields, length_of(by_name.get(b"content-length")))


def length_of(value: bytes | None) -> int | None:
    """The number in Content-Length; None without one.

    Raises:
        MalformedError: it is no plain number.
    """
    if value is None:
        return None
    if not value.isdigit() or len(value) > 18:
        raise MalformedError("content-length")
    return int(value)


def check_names_and_values(fields: Fields) -> None:
    """Refuse octets and fields that a section of HTTP/2 must not have (RFC 9113, 8.2; S18).

    Raises:
        MalformedError: there is one.
    """
    for name, value in fields:
        if NAME.fullmatch(name) is None:
            raise MalformedError(f"name {name!r:.80}")
        if FORBIDDEN_IN_VALUE.search(value) is not None or value.strip(b" \t") != value:
            raise MalformedError(f"value of {name!r:.80}")
        if name in OF_CONNECTIONS or (name == b"te" and value.lower() != b"trailers"):
            raise MalformedError(f"{name.decode()} is of HTTP/1.1")


class CachedDecoder(Decoder):
    """Decodes a block of indexed fields once, as long as the table it points into is the same.

    A connection's later requests mostly are such blocks: decoding one of 14 fields took as long
    as all the rest of h2's work on it (measured).
    """

    def __init__(self, max_header_list_size: int) -> None:
        super().__init__(max_header_list_size)
        self._known: dict[bytes, Iterable[HeaderTuple]] = {}

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:
        known = self._known.get(data)
        if known is not None:
            return known
        decoded = super().decode(data, raw)
        if data and min(data) >= 0x80:  # nothing but indexed fields (RFC 7541, 6.1)
            if len(self._known) >= MOST_BLOCKS:
                self._known.clear()
            self._known[data] = decoded
        else:
            self._known.clear()  # the table may have changed
        return decoded


class StatelessEncoder:
    """Encodes each field by itself, without a dynamic table, so that each is encoded once for all.

    Answers are a little larger so, and cost a fraction; and no table can be made to leak what is
    in it. Has what h2 asks of an encoder.
    """

    header_table_size = 4096

    def __init__(self) -> None:
        # RFC 7541, 4.2: the first block says that the table has no room, whatever the peer allows.
        self._first = b"\x20"

    def encode(self, headers: list[tuple[bytes, bytes]], huffman: bool = True) -> bytes:
        parts = [self._first] if self._first else []
        self._first = b""
        for field in headers:
            octets = encoded_fields.get(field)
            if octets is None:
                octets = encoded(field)
            parts.append(octets)
        return b"".join(parts)


encoded_fields: dict[tuple[bytes, bytes], bytes] = {}
"""Fields of answers, encoded; bounded in number and size."""
fields_of_lines: dict[bytes, tuple[bytes, bytes]] = {}
"""Fields of the lines that they are in HTTP/1.1; bounded likewise."""


def encoded(field: tuple[bytes, bytes]) -> bytes:
    """A field in HPACK, without a dynamic table; from now on in `encoded_fields`."""
    octets: bytes = Encoder().encode([field])
    if len(octets) > 1:  # not one of the static table's
        # hpack indexes what may be indexed. A literal that is never indexed, and one without
        # indexing, differ in the first octet's high half alone (RFC 7541, 6.2.2 and 6.2.3).
        literal: bytes = Encoder().encode([NeverIndexedHeaderTuple(*field)])
        octets = bytes((literal[0] & 0x0F,)) + literal[1:]
    if len(field[0]) + len(field[1]) <= LONGEST_LINE:
        if len(encoded_fields) >= MOST_LINES:
            encoded_fields.clear()
        encoded_fields[field] = octets
    return octets


def field_of(line: bytes) -> tuple[bytes, bytes]:
    """The field of a line `Name: value CRLF`, its name in lower case, as HTTP/2 has it."""
    known = fields_of_lines.get(line)
    if known is not None:
        return known
    name, _, value = line[:-2].partition(b": ")
    field = (name.lower(), value.strip(b" \t"))
    if len(line) <= LONGEST_LINE:
        if len(fields_of_lines) >= MOST_LINES:
            fields_of_lines.clear()
        fields_of_lines[line] = field
    return field
