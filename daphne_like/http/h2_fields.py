"""Fields of HTTP/2: what RFC 9113, 8.2, asks of them, and how they are decoded and encoded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hpack.struct import NeverIndexedHeaderTuple

from daphne_like.http.fields import Fields

NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
FORBIDDEN_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
OF_CONNECTIONS = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
MOST_BLOCKS = 64
LONGEST_BLOCK = 128
MOST_LINES = 4096
LONGEST_LINE = 512


class Section(list[tuple[bytes, bytes]]):
    """A field section as decoded, kept with what became of it.

    Attributes:
        request: the same, checked, where it is the usual head of one; see h2_request.py.
    """

    request: Any = None


class MalformedError(Exception):
    """A request that is malformed (RFC 9113, 8.1.1): its stream is reset, with PROTOCOL_ERROR."""


class CompressionError(ProtocolError):
    """A field section that can not be decoded (RFC 9113, 4.3): the connection is at fault."""

    error_code = ErrorCodes.COMPRESSION_ERROR


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


def check_trailers(fields: Fields) -> None:
    """Refuse trailers that RFC 9113, 8.1, forbids.

    Raises:
        MalformedError: there is a pseudo-field, or what a head must not have either.
    """
    for name, _ in fields:
        if name[:1] == b":":
            raise MalformedError("a pseudo-field in trailers")
    check_names_and_values(fields)


class CachedDecoder(Decoder):
    """Decodes a block once, as long as the table it points into is the same.

    A connection's later requests mostly are blocks that do not change it: indexed fields, and
    literals without indexing, as nghttp2's clients write `:path`. Decoding one of 14 fields took as
    long as all the rest of h2's work on it (measured).
    """

    def __init__(self, max_header_list_size: int) -> None:
        super().__init__(max_header_list_size)
        self._known: dict[bytes, Section] = {}

    def decode(self, data: bytes, raw: bool = False) -> Any:
        known = self._known.get(data)
        if known is not None:
            return known
        size, count, newest = self._table()
        try:
            decoded: Any = super().decode(data, raw)
        except OversizedHeaderListError:
            raise  # h2 says ENHANCE_YOUR_CALM
        except HPACKError as error:
            raise CompressionError(f"A field section can not be decoded: {error}") from error
        now = self._table()
        # The same object, not an equal one: that may have come in before it. It is held on to, so
        # that no other one has its place in memory.
        if now[:2] != (size, count) or now[2] is not newest:
            self._known.clear()
        elif len(data) <= LONGEST_BLOCK:  # not so many fields that keeping them counts
            if len(self._known) >= MOST_BLOCKS:
                self._known.clear()
            self._known[data] = decoded = Section(decoded)
        return decoded

    def _table(self) -> tuple[int, int, object]:
        """What is another one as soon as the dynamic table is.

        Entries come at the front and go at the back (RFC 7541, 2.3.2).
        """
        table = self.header_table
        entries = table.dynamic_entries
        return table.maxsize, len(entries), entries[0] if entries else None


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


def size_encoded(fields: Fields) -> int:
    """Octets of the fields as a StatelessEncoder writes them."""
    return sum(len(encoded_fields.get(field) or encoded(field)) for field in fields)


encoded_fields: dict[tuple[bytes, bytes], bytes] = {}
"""Fields of answers, encoded; bounded in number and size."""
fields_of_lines: dict[bytes, tuple[bytes, bytes] | None] = {}
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


def fields_of(lines: Iterable[bytes]) -> Fields:
    """The fields of lines `Name: value CRLF`, as HTTP/2 has them: names in lower case.

    What is about a connection of HTTP/1.1 is left out: a client of HTTP/2 would take the answer
    for malformed (RFC 9113, 8.2.2).
    """
    fields: Fields = []
    for line in lines:
        try:
            field = fields_of_lines[line]
        except KeyError:
            field = field_of(line)
        if field is not None:
            fields.append(field)
    return fields


def field_of(line: bytes) -> tuple[bytes, bytes] | None:
    """The field of a line; from now on in `fields_of_lines`."""
    name, _, value = line[:-2].partition(b": ")
    field: tuple[bytes, bytes] | None = (name.lower(), value.strip(b" \t"))
    if not name or name.lower() in OF_CONNECTIONS:
        field = None
    if len(line) <= LONGEST_LINE:
        if len(fields_of_lines) >= MOST_LINES:
            fields_of_lines.clear()
        fields_of_lines[line] = field
    return field


def default_fields_of(lines: bytes) -> Fields:
    """The fields of Date and Server lines, which are the same for a second."""
    known = default_fields.get(lines)
    if known is None:
        if len(default_fields) > 16:
            default_fields.clear()
        default_fields[lines] = known = fields_of(lines.splitlines(keepends=True))
    return known


default_fields: dict[bytes, Fields] = {}
