"""Fields of HTTP/2: what RFC 9113, 8.2, asks of them, and how they are decoded and encoded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from h2.errors import ErrorCodes
from h2.exceptions import DenialOfServiceError, ProtocolError
from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hpack.struct import NeverIndexedHeaderTuple

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
MAX_LINES = 4096
MAX_CACHED_LINE = 512
MAX_DEFAULT_BLOCKS = 16


class Section(list[tuple[bytes, bytes]]):
    """A field section as decoded, kept with what became of it.

    Attributes:
        request: the same, checked, where it is the usual head of one; see h2/request.py.
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

    Args:
        max_header_list_size: octets of a decoded section (RFC 9113, 6.5.2).
        budget: of the peer, which pays for large sections.

    Attributes:
        cost: of what was decoded since the connection has set it to 0; see h2/flood_budget.py.
        charged: what the size of a section has cost the budget, likewise.
    """

    def __init__(self, max_header_list_size: int, budget: Budget) -> None:
        super().__init__(max_header_list_size)
        self._known: dict[bytes, Section] = {}
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
            # Before it is decoded: an honest request gets it back when it is served.
            self.charged = octets / (OCTETS_A_COST * SECTION_COST)
            self._spend(self.charged)
        size, count, newest = self._table()
        try:
            decoded: Any = super().decode(data, raw)
        except OversizedHeaderListError:
            raise  # h2 says ENHANCE_YOUR_CALM
        except HPACKError as error:
            raise CompressionError(f"A field section can not be decoded: {error}") from error
        fields = len(decoded)
        self.cost += fields * FIELD_COST
        if fields > FREE_FIELDS:
            self._spend((fields - FREE_FIELDS) * FIELD_COST / SECTION_COST)
        now = self._table()
        # The same object, not an equal one: that may have come in before it. It is held on to, so
        # that no other one has its place in memory.
        if now[:2] != (size, count) or now[2] is not newest:
            self._known.clear()
        elif len(data) <= MAX_CACHED_BLOCK:  # not so many fields that keeping them counts
            if len(self._known) >= MAX_BLOCKS:
                self._known.clear()
            self._known[data] = decoded = Section(decoded)
        return decoded

    def _spend(self, cost: float) -> None:
        if not self._budget.spend(cost):
            raise DenialOfServiceError("field sections that take long to decode, again and again")

    def _table(self) -> tuple[int, int, object]:
        """What is another one as soon as the dynamic table is.

        Entries come at the front and go at the back (RFC 7541, 2.3.2).
        """
        table = self.header_table
        entries = table.dynamic_entries
        return table.maxsize, len(entries), entries[0] if entries else None


encoder = Encoder()
"""Asked for nothing that is indexed: its table stays empty."""


class StatelessEncoder:
    """Encodes each field by itself, without a dynamic table, so that each is encoded once for all.

    Answers are a little larger so, and cost a fraction; and no table can be made to leak what is
    in it. Has what h2 asks of an encoder.

    Attributes:
        first: goes in front of the next block, once.
    """

    header_table_size = 4096

    def __init__(self) -> None:
        # RFC 7541, 4.2: the first block says that the table has no room, whatever the peer allows.
        self.first = b"\x20"

    def encode(self, headers: list[tuple[bytes, bytes]], huffman: bool = True) -> bytes:
        first, self.first = self.first, b""
        return first + encoded_section(headers)


def encoded_section(fields: Fields) -> bytes:
    """The fields as a StatelessEncoder writes them, when its first block is out."""
    return b"".join([encoded_fields.get(field) or encoded_field(field) for field in fields])


def encoded_field(field: tuple[bytes, bytes]) -> bytes:
    """A field in HPACK; from now on in `encoded_fields`."""
    octets = encoded(field)
    if len(field[0]) + len(field[1]) <= MAX_CACHED_LINE:
        if len(encoded_fields) >= MAX_LINES:
            encoded_fields.clear()
        encoded_fields[field] = octets
    return octets


encoded_fields: dict[tuple[bytes, bytes], bytes] = {}
"""Fields of answers, encoded; bounded in number and size."""


def encoded_status(status: int) -> bytes:
    """`:status` in HPACK; from now on in `status_blocks`."""
    octets = status_blocks[status] = encoded((b":status", b"%d" % status))
    return octets


status_blocks: dict[int, bytes] = {}
"""By status, of which there are 800."""


def encoded(field: tuple[bytes, bytes], *, huffman: bool = False) -> bytes:
    """A field in HPACK, without a dynamic table.

    Args:
        field: name and value.
        huffman: compress it: a quarter fewer octets, for three times the processor time (measured).
    """
    octets: bytes = encoder.encode([NeverIndexedHeaderTuple(*field)], huffman=huffman)
    if octets[0] < 0x80:  # not one of the static table's
        # hpack indexes what may be indexed. A literal that is never indexed, and one without
        # indexing, differ in the first octet's high half alone (RFC 7541, 6.2.2 and 6.2.3).
        octets = bytes((octets[0] & 0x0F,)) + octets[1:]
    return octets


def to_fields(lines: Iterable[bytes]) -> Fields:
    """The fields of lines `Name: value CRLF`, as HTTP/2 has them: names in lower case.

    What is about a connection of HTTP/1.1 is left out: a client of HTTP/2 would take the answer
    for malformed (RFC 9113, 8.2.2).
    """
    return [field for line in lines if (field := to_field(line)) is not None]


def to_field(line: bytes) -> tuple[bytes, bytes] | None:
    """The field of a line; None for one that is about a connection of HTTP/1.1."""
    name, _, value = line[:-2].partition(b": ")
    name = name.lower()
    return (name, value.strip(b" \t")) if name and name not in OF_CONNECTIONS else None


def encoded_lines(lines: Iterable[bytes]) -> bytes:
    """The fields of lines as in `to_fields`, in HPACK."""
    try:
        return b"".join(map(known_line, lines))
    except KeyError:
        return b"".join([encoded_line(line) for line in lines])


def encoded_line(line: bytes) -> bytes:
    """The field of a line in HPACK, from now on in `encoded_by_line`."""
    octets = encoded_by_line.get(line)
    if octets is None:
        field = to_field(line)
        octets = b"" if field is None else encoded(field)
        if len(line) <= MAX_CACHED_LINE:
            if len(encoded_by_line) >= MAX_LINES:
                encoded_by_line.clear()
            encoded_by_line[line] = octets
    return octets


encoded_by_line: dict[bytes, bytes] = {}
"""Fields of lines of HTTP/1.1, encoded; bounded in number and size."""
known_line = encoded_by_line.__getitem__


def encoded_defaults(lines: bytes) -> bytes:
    """The fields of Date and Server lines in HPACK; they are the same for a second."""
    known = default_blocks.get(lines)
    if known is None:
        if len(default_blocks) > MAX_DEFAULT_BLOCKS:
            default_blocks.clear()
        default_blocks[lines] = known = b"".join(
            [encoded(field, huffman=True) for field in to_default_fields(lines)]
        )
    return known


default_blocks: dict[bytes, bytes] = {}
"""Those of the last few seconds; four of each, for what applications set themselves."""


def to_default_fields(lines: bytes) -> Fields:
    """The fields of Date and Server lines, one by one."""
    return to_fields(lines.splitlines(keepends=True))
