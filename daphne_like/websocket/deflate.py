"""permessage-deflate (RFC 7692): accepts an offer of the client and bounds decompression.

autobahn checks the parameters, builds the negotiated response and compresses.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Any

from autobahn.websocket.compress_deflate import (
    PerMessageDeflate,
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
)

from daphne_like.exceptions import FrameError
from daphne_like.websocket.handshake import Parameters

NAME = "permessage-deflate"
DAMAGED = "The compressed message is damaged"
STRIPPED = b"\x00\x00\xff\xff"
"""The last octets of each message, which the sender removes (RFC 7692, 7.2.1)."""
WINDOW_BITS = re.compile(r"[1-9][0-9]?")
"""A decimal number without leading zeros (RFC 7692, 7.1.2.1); `int` also accepts 010, +10, 1_0."""
MAX_FINAL_BLOCKS = 64
"""Blocks with BFINAL in one message, in addition to those that OCTETS_PER_FINAL_BLOCK allows. Each
needs a new decompressor, which takes some microseconds, while an empty block has two octets."""
OCTETS_PER_FINAL_BLOCK = 256
"""Number of inflated octets of a message that allow one more block with BFINAL."""
FIRST_PIECE = 64
"""Size of the first piece that a new decompressor is fed; each later piece is twice as large. zlib
copies all input behind a final block, so feeding the whole rest after each final block would take
quadratic time."""


def accept_offer(
    offered: list[tuple[str, Parameters]],
    window_bits: int,
    memory_level: int,
    max_message_size: int | None,
    declined: Callable[[object], None],
) -> PerMessageDeflateOfferAccept | None:
    """Accept the first acceptable offer of permessage-deflate (RFC 7692, 5 and 7.1).

    An offer that breaks a rule is declined; the handshake still succeeds.

    Args:
        offered: extensions of the opening handshake.
        window_bits: 9 to 15, for both directions. A client that does not let the server limit its
            window is asked not to take over its context, which saves even more memory here.
        memory_level: zlib's memory level of the server's compressor, 1 to 9.
        max_message_size: octets of a decompressed message; None for no limit.
        declined: called with the reason for each offer that is declined.
    """
    for name, parameters in offered:
        if name != NAME:
            continue
        if not are_window_bits(parameters):
            declined("its window is not a number")
            continue
        try:
            offer = PerMessageDeflateOffer.parse(parameters)
        except Exception as error:  # noqa: BLE001 # autobahn raises no narrower one
            declined(error)
            continue
        bounded = offer.accept_max_window_bits
        # autobahn drops the value that the client offers; the response must not exceed it.
        (own, *_) = parameters.get("client_max_window_bits", [True])
        client_bits = window_bits if own is True else min(window_bits, int(own))
        return PerMessageDeflateOfferAccept(
            offer,
            request_max_window_bits=client_bits if bounded else 0,
            request_no_context_takeover=not bounded,
            window_bits=min(window_bits, offer.request_max_window_bits or window_bits),
            mem_level=memory_level,
            max_message_size=max_message_size,
        )
    return None


def are_window_bits(parameters: Parameters) -> bool:
    """Tell whether the window sizes of an offer are valid numbers (RFC 7692, 7.1.2.1)."""
    values = [
        value
        for name in ("server_max_window_bits", "client_max_window_bits")
        for value in parameters.get(name, ())
    ]
    return all(value is True or WINDOW_BITS.fullmatch(str(value)) for value in values)


class Deflate(PerMessageDeflate):  # type: ignore[misc] # untyped base
    """autobahn's compressor and decompressor, for whole messages of a bounded size.

    autobahn bounds decompression only from version 26.7, which needs Python 3.11, so this class
    does it. autobahn also stops at a block with BFINAL, although RFC 7692, 7.2.3.4, allows more
    blocks after it. This class continues with a new decompressor, which gets the window of the
    previous one. Only this class uses autobahn's private names for the two zlib objects.
    """

    _decompressor: Any
    _received = 0  # inflated octets of the message so far
    _final_blocks = 0  # blocks with BFINAL in the message so far
    _recent: bytearray | None = None  # the last inflated octets: at least a window if available
    _remembers = True  # whether later calls need octets of this message

    @property
    def has_compressor(self) -> bool:
        """True while a compressor with its context is in memory."""
        return self._compressor is not None

    def forget_compressor(self) -> None:
        """Free the compressor. The next message gets a new one; the peer sees no difference."""
        self._compressor = None

    def compress_message(self, payload: bytes) -> bytes:
        """Return the octets of a compressed message."""
        self.start_compress_message()
        octets: bytes = self.compress_message_data(payload) + self.end_compress_message()
        return octets

    def decompress_message(self, payload: bytes | bytearray) -> bytes:
        """Decompress a message that consists of one frame.

        Raises:
            FrameError: see decompress_message_data.
        """
        self.start_decompress_message()
        self._remembers = not self.client_no_context_takeover
        octets = self.decompress_message_data(payload)
        self.end_decompress_message()
        return octets

    def start_decompress_message(self) -> None:
        """Begin a message."""
        if self._decompressor is None or self.client_no_context_takeover:
            self._decompressor = zlib.decompressobj(-self.client_max_window_bits)
            self._recent = None
        self._remembers = True
        self._received = 0
        self._final_blocks = 0

    def decompress_message_data(
        self, data: bytes | bytearray, max_output_len: int | None = None
    ) -> bytes:
        """Decompress a part of a message.

        Args:
            data: unmasked.
            max_output_len: autobahn's limit, ignored because this class has its own.
        Raises:
            FrameError: 1009 if the message is too large, and inflating stops at the limit (S28);
                1007 for data that cannot be inflated; 1008 for too many final blocks.
        """
        octets = self._inflate(data)
        if self._decompressor.eof:
            return self._inflate_rest(octets)
        if self._remembers:
            self._remember(octets)
        return octets

    def end_decompress_message(self) -> None:
        """End a message.

        Raises:
            FrameError: 1007 if the message is incomplete.
        """
        decompressor = self._decompressor
        # After a final block there is no end to restore.
        if not decompressor.eof:
            try:
                decompressor.decompress(STRIPPED)
            except zlib.error:
                raise FrameError(1007, DAMAGED)
        if self.client_no_context_takeover:
            self._recent = None

    def _inflate(self, data: bytes | bytearray | memoryview) -> bytes:
        """Feed the decompressor, and enforce the maximum size of the message."""
        most = self.max_message_size
        try:
            if most is None:
                octets: bytes = self._decompressor.decompress(data)
            else:
                octets = self._decompressor.decompress(data, most - self._received + 1)
        except zlib.error:
            raise FrameError(1007, DAMAGED)
        self._received += len(octets)
        if most is not None and self._received > most:
            raise FrameError(1009, "The message is too large when it is decompressed")
        return octets

    def _inflate_rest(self, octets: bytes) -> bytes:
        """Inflate the octets after a final block, with a new decompressor for each such block.

        Args:
            octets: the octets inflated so far; the decompressor holds the rest of the input.
        Returns:
            All octets of this part of the message.
        """
        parts = [octets]
        self._remember(octets)
        rest = memoryview(self._decompressor.unused_data)
        start = 0
        size = FIRST_PIECE
        while start < len(rest):
            if self._decompressor.eof:
                self._renew()
            piece = rest[start : start + size]
            start += len(piece)
            size *= 2
            octets = self._inflate(piece)
            if octets:
                parts.append(octets)
                self._remember(octets)
            if self._decompressor.eof:
                start -= len(self._decompressor.unused_data)
                size = FIRST_PIECE
        return b"".join(parts)

    def _renew(self) -> None:
        """Replace a decompressor that has reached a final block; keep its window."""
        self._final_blocks += 1
        if self._final_blocks > MAX_FINAL_BLOCKS + self._received // OCTETS_PER_FINAL_BLOCK:
            raise FrameError(1008, "The compressed message has too many final blocks")
        bits = self.client_max_window_bits
        window = bytes((self._recent or b"")[-(1 << bits) :])
        self._decompressor = zlib.decompressobj(-bits, zdict=window)

    def _remember(self, octets: bytes) -> None:
        """Store the window for a new decompressor, because zlib does not expose it."""
        window = 1 << self.client_max_window_bits
        size = len(octets)
        if size >= window:
            self._recent = bytearray(octets[-window:])
        elif size:
            recent = self._recent
            if recent is None:
                self._recent = recent = bytearray()
            recent += octets
            if len(recent) > window + (window >> 2):  # not on each call, because it copies
                del recent[:-window]
