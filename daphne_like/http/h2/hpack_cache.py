"""Decodes, checks and encodes the fields of HTTP/2 (RFC 9113, 8.2), with caches."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from h2.errors import ErrorCodes
from h2.exceptions import DenialOfServiceError, ProtocolError
from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hpack.struct import NeverIndexedHeaderTuple

from daphne_like.bounded_cache import BoundedCache
from daphne_like.http.fields import Fields
from daphne_like.http.h2.flood_budget import (
    FIELD_COST,
    FREE_FIELDS,
    FREE_SECTION,
    OCTETS_A_COST,
    SECTION_COST,
    Budget,
)

NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
FORBIDDEN_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
OF_CONNECTIONS = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
MAX_BLOCKS = 64
MAX_CACHED_BLOCK = 128
MAX_CACHED_LINES = 4096
MAX_CACHED_LINE = 512
MAX_STATUSES = 800  # from 200 to 999: as many as there are
MAX_DEFAULT_BLOCKS = 16


class Section(list[tuple[bytes, bytes]]):
    """A decoded field section, which is cached together with its request.

    Attributes:
        request: the checked request, set by h2/request.py if it may be served; else None.
    """

    request: Any = None


class MalformedError(Exception):
    """A request that is malformed (RFC 9113, 8.1.1): its stream is reset, with PROTOCOL_ERROR."""


class CompressionError(ProtocolError):
    """A field section that cannot be decoded (RFC 9113, 4.3): an error of the connection."""

    error_code = ErrorCodes.COMPRESSION_ERROR


def check_names_and_values(fields: Fields) -> None:
    """Refuse octets and fields that are forbidden in HTTP/2 (RFC 9113, 8.2; S18).

    Raises:
        MalformedError: the section contains one.
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
        MalformedError: the section has a pseudo-header field, or an invalid field.
    """
    for name, _ in fields:
        if name[:1] == b":":
            raise MalformedError("a pseudo-field in trailers")
    check_names_and_values(fields)


class CachedDecoder(Decoder):
    """An HPACK decoder that caches decoded blocks while the dynamic table does not change.

    Most later requests of a connection do not change the table: they have indexed fields, and
    literals without indexing, which nghttp2's clients use for `:path`. Decoding a block of 14
    fields took as long as the rest of h2's work on it (measured).

    Args:
        max_header_list_size: octets of a decoded section (RFC 9113, 6.5.2).
        budget: the budget of the peer, charged for large sections.

    Attributes:
        cost: the cost of decoding since the connection reset it to 0; see h2/flood_budget.py.
        charged: the charge for the size of a section, which the connection also resets.
    """

    def __init__(self, max_header_list_size: int, budget: Budget) -> None:
        super().__init__(max_header_list_size)
        self._known: BoundedCache[bytes, Section] = BoundedCache(MAX_BLOCKS)
        self._budget = budget
        self.cost = 0
        self.charged = 0.0

    def decode(self, data: bytes, raw: bool = False) -> Any:
        known = self._known.get(data)
        if known is not None:
            return known
        octets = len(data)
        self.cost += octets // OCTETS_A_COST
        if octets > FREE_SECTION:
            # Charged before decoding; a request that is served gets it back.
            self.charged = octets / (OCTETS_A_COST * SECTION_COST)
            self._spend(self.charged)
        size, count, newest = self._table()
        try:
            decoded: Any = super().decode(data, raw)
        except OversizedHeaderListError:
            raise  # h2 sends ENHANCE_YOUR_CALM
        except HPACKError as error:
            raise CompressionError(f"A field section cannot be decoded: {error}") from error
        fields = len(decoded)
        self.cost += fields * FIELD_COST
        if fields > FREE_FIELDS:
            self._spend((fields - FREE_FIELDS) * FIELD_COST / SECTION_COST)
        now = self._table()
        # Compare by identity, because an equal entry may have been inserted. `newest` keeps the
        # entry alive, so that no other object can have its identity.
        if now[:2] != (size, count) or now[2] is not newest:
            self._known.entries.clear()
        elif len(data) <= MAX_CACHED_BLOCK:  # so that the cache stays small
            decoded = self._known.store(data, Section(decoded))
        return decoded

    def _spend(self, cost: float) -> None:
        if not self._budget.spend(cost):
            raise DenialOfServiceError("field sections that take long to decode, again and again")

    def _table(self) -> tuple[int, int, object]:
        """Return a value that changes whenever the dynamic table changes.

        Entries are inserted at the front and evicted at the back (RFC 7541, 2.3.2).
        """
        table = self.header_table
        entries = table.dynamic_entries
        return table.maxsize, len(entries), entries[0] if entries else None


encoder = Encoder()
"""An encoder whose dynamic table stays empty, because every field is marked as never indexed."""


class StatelessEncoder:
    """An HPACK encoder without a dynamic table, so that encoded fields can be cached globally.

    Responses are slightly larger, and encoding takes a fraction of the time. Without a table,
    compression cannot leak its content. The class has the interface that h2 uses.

    Attributes:
        first: octets that precede the next block, once.
    """

    header_table_size = 4096

    def __init__(self) -> None:
        # RFC 7541, 4.2: the first block sets the size of the dynamic table to 0.
        self.first = b"\x20"

    def encode(self, headers: list[tuple[bytes, bytes]], huffman: bool = True) -> bytes:
        first, self.first = self.first, b""
        return first + encoded_section(headers)


def encoded_section(fields: Fields) -> bytes:
    """Return fields in HPACK, without the size update that StatelessEncoder sends first."""
    return b"".join([known_field(field) or encoded_field(field) for field in fields])


def encoded_field(field: tuple[bytes, bytes]) -> bytes:
    """Return a field in HPACK, and cache it in `encoded_fields`."""
    octets = encoded(field)
    if len(field[0]) + len(field[1]) <= MAX_CACHED_LINE:
        encoded_fields.store(field, octets)
    return octets


encoded_fields: BoundedCache[tuple[bytes, bytes], bytes] = BoundedCache(MAX_CACHED_LINES)
"""Encoded fields of responses."""
known_field = encoded_fields.get


def encoded_status(status: int) -> bytes:
    """Return `:status` in HPACK, and cache it in `status_blocks`."""
    return status_blocks.store(status, encoded((b":status", b"%d" % status)))


status_blocks: BoundedCache[int, bytes] = BoundedCache(MAX_STATUSES)
"""Encoded `:status` fields."""


def encoded(field: tuple[bytes, bytes], *, huffman: bool = False) -> bytes:
    """Return a field in HPACK, without using a dynamic table.

    Args:
        field: name and value.
        huffman: compress: a quarter fewer octets for three times the processor time (measured).
    """
    octets: bytes = encoder.encode([NeverIndexedHeaderTuple(*field)], huffman=huffman)
    if octets[0] < 0x80:  # a literal, not an entry of the static table
        # hpack would add any other literal to its table. Never-indexed literals and literals
        # without indexing differ only in the upper half of the first octet (RFC 7541, 6.2.2 and
        # 6.2.3).
        octets = bytes((octets[0] & 0x0F,)) + octets[1:]
    return octets


def to_fields(lines: Iterable[bytes]) -> Fields:
    """Return the fields of lines `Name: value CRLF`, with names in lower case as in HTTP/2.

    Connection-specific fields of HTTP/1.1 are left out, because they would make the response
    malformed (RFC 9113, 8.2.2).
    """
    return [field for line in lines if (field := to_field(line)) is not None]


def to_field(line: bytes) -> tuple[bytes, bytes] | None:
    """Return the field of a line; None for a connection-specific field of HTTP/1.1."""
    name, _, value = line[:-2].partition(b": ")
    name = name.lower()
    return (name, value.strip(b" \t")) if name and name not in OF_CONNECTIONS else None


def encoded_lines(lines: Iterable[bytes]) -> bytes:
    """Return the fields of lines (see `to_fields`) in HPACK."""
    try:
        return b"".join(map(known_line, lines))
    except KeyError:
        return b"".join([encoded_line(line) for line in lines])


def encoded_line(line: bytes) -> bytes:
    """Return the field of a line in HPACK, and cache it in `encoded_by_line`."""
    octets = encoded_by_line.get(line)
    if octets is None:
        field = to_field(line)
        octets = b"" if field is None else encoded(field)
        if len(line) <= MAX_CACHED_LINE:
            encoded_by_line.store(line, octets)
    return octets


encoded_by_line: BoundedCache[bytes, bytes] = BoundedCache(MAX_CACHED_LINES)
"""Encoded fields, by their lines in HTTP/1.1."""
known_line = encoded_by_line.entries.__getitem__


def encoded_defaults(lines: bytes) -> bytes:
    """Return the fields of Date and Server lines in HPACK; they stay the same for a second."""
    known = default_blocks.get(lines)
    if known is None:
        octets = b"".join([encoded(field, huffman=True) for field in to_default_fields(lines)])
        known = default_blocks.store(lines, octets)
    return known


default_blocks: BoundedCache[bytes, bytes] = BoundedCache(MAX_DEFAULT_BLOCKS)
"""Encoded Date and Server fields of the last few seconds. A second has up to four blocks, because
applications may set either field themselves."""


def to_default_fields(lines: bytes) -> Fields:
    """Return the fields of Date and Server lines."""
    return to_fields(lines.splitlines(keepends=True))
