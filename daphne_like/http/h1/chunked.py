"""Decodes chunked request bodies (RFC 9112, 7.1): chunk sizes, extensions and trailers.

The decoder knows neither connections nor exchanges. fields.py checks the size of the trailers.
"""

from __future__ import annotations

import re

from daphne_like.exceptions import PeerError

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
# "Bad white space" is allowed around `;` and `=` only (RFC 9112, 7.1.1).
SIZE_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,16})"
    rb"(?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?)*\r\n" % (TOKEN, TOKEN, QUOTED)
)
SIZE_LINE_BEGINS = re.compile(rb"[0-9A-Fa-f]{1,16}(?:\r?|[ \t]*(?:;[^\r\n]*\r?)?)")
FIELD_LINE = re.compile(rb"(%b):[ \t]*([\t\x20-\x7e\x80-\xff]*)\r\n" % TOKEN)

MAX_OVERHEAD = 65536
"""Maximum octets of chunk framing in excess of the octets of the body."""
FREE_OVERHEAD = 16
"""Octets of framing that are free for each chunk: a size, and the line ends around it."""

CHECKED_OCTETS = 64
"""Octets of an incomplete chunk size line that are checked before the line is complete."""

MALFORMED = "The chunked body is malformed."
TOO_MUCH = "Too much between the octets of a chunked body."
CRLF = b"\r\n"


class ChunkedDecoder:
    """The state of one chunked body between two reads.

    Attributes:
        chunks: number of chunks and trailers that the last call of `decode` has read.
        trailers: names in lower case and values, complete when `is_done` is set.
        is_done: the last chunk and the trailers have been read.
    """

    __slots__ = (
        "_chunk_overhead",
        "_in_trailers",
        "_left",
        "_line",
        "chunks",
        "is_done",
        "trailers",
    )

    def __init__(self) -> None:
        self.chunks = 0
        self.is_done = False
        self.trailers: list[tuple[bytes, bytes]] = []
        self._left = 0  # octets of the chunk and its CRLF that have not arrived
        self._chunk_overhead = 0
        self._line: bytearray | None = None  # the beginning of a line
        self._in_trailers = False

    def decode(self, data: bytes, start: int, max_chunks: int) -> tuple[bytes, int]:
        """Decode received octets.

        Args:
            data: received octets, which continue those of the last call.
            start: the index of the first octet to decode.
            max_chunks: chunks and trailers after which to stop, at least 1.
        Returns:
            Octets of the body, and the index where decoding stopped: the end of `data`, the end
            of the body, or the end of a chunk after `max_chunks` chunks.
        Raises:
            PeerError: 400.
        """
        self.chunks = 0
        parts: list[bytes] = []
        size = len(data)
        match = SIZE_LINE.match
        while start < size and not self.is_done:
            if self._left:
                start = self._read_data(data, start, parts)
            elif self.chunks >= max_chunks:
                break
            elif self._line is not None:
                start = self._read_line(data, start)
            else:
                # Flat on purpose: a peer may send a million chunks of one octet.
                found = match(data, start)
                if found is None:
                    self._line = bytearray()
                    continue
                self.chunks += 1
                begin = found.end()
                length = int(found[1], 16)
                if begin - start > FREE_OVERHEAD or self._chunk_overhead:
                    self._charge(begin - start, length)
                end = begin + length
                if length and data[end : end + 2] == CRLF:
                    parts.append(data[begin:end])
                    start = end + 2
                else:
                    start = begin
                    self._begin_chunk(length)
        return parts[0] if len(parts) == 1 else b"".join(parts), start

    def _begin_chunk(self, length: int) -> None:
        if length:
            self._left = length + 2
        else:
            self._in_trailers = True
            self._line = bytearray()

    def _charge(self, octets: int, length: int) -> None:
        """Count the octets of a size line, less the octets of the chunk.

        Otherwise a peer could send a small body with any amount of framing to parse.
        """
        self._chunk_overhead = max(0, self._chunk_overhead + octets - FREE_OVERHEAD - length)
        if self._chunk_overhead > MAX_OVERHEAD:
            raise PeerError(400, TOO_MUCH, reason="invalid_request_content")

    def _read_data(self, data: bytes, start: int, parts: list[bytes]) -> int:
        """Continue a chunk whose size is known, and the CRLF after it."""
        end = min(len(data), start + self._left)
        came = end - start
        of_body = min(came, max(0, self._left - 2))
        if of_body:
            parts.append(data[start : start + of_body])
        if came > of_body:  # the rest is CRLF, or LF if one octet is left
            left = self._left - of_body
            if not CRLF[2 - left :].startswith(data[start + of_body : end]):
                raise PeerError(400, MALFORMED, reason="invalid_request_content")
        self._left -= came
        return end

    def _read_line(self, data: bytes, start: int) -> int:
        """Continue an incomplete line: a chunk size, or one of the trailers."""
        line = self._line
        assert line is not None
        found = data.find(b"\n", start)
        end = len(data) if found < 0 else found + 1
        before = len(line)
        if before + end - start > MAX_OVERHEAD:
            raise PeerError(400, TOO_MUCH, reason="invalid_request_content")
        line += data[start:end]
        if found >= 0:
            self._line = None
            if self._in_trailers:
                self._end_of_field_line(bytes(line))
            else:
                self._end_of_size_line(line)
        elif (
            # Refuse an invalid chunk size at once, as long as the check is cheap.
            not self._in_trailers
            and before < CHECKED_OCTETS
            and SIZE_LINE_BEGINS.fullmatch(line, 0, CHECKED_OCTETS) is None
        ):
            raise PeerError(400, MALFORMED, reason="invalid_request_content")
        return end

    def _end_of_size_line(self, line: bytearray) -> None:
        found = SIZE_LINE.fullmatch(line)
        if found is None:
            raise PeerError(400, MALFORMED, reason="invalid_request_content")
        self.chunks += 1
        length = int(found[1], 16)
        self._charge(len(line), length)
        self._begin_chunk(length)

    def _end_of_field_line(self, line: bytes) -> None:
        if line == CRLF:
            self.is_done = True
            return
        found = FIELD_LINE.fullmatch(line)
        if found is None:
            raise PeerError(400, MALFORMED, reason="invalid_request_content")
        self.chunks += 1  # a trailer costs as much as a chunk
        self._charge(len(line) + FREE_OVERHEAD, 0)
        self.trailers.append((found[1].lower(), found[2].rstrip(b" \t")))
        self._line = bytearray()
