"""permessage-deflate (RFC 7692): which of a client's offers is accepted, and how.

The parameters' own rules, the negotiated answer and the compression are autobahn's.
"""

from __future__ import annotations

import logging
import re
import zlib
from typing import Any

from autobahn.websocket.compress_deflate import (
    PerMessageDeflate,
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
)

from daphne_like.exceptions import FrameError
from daphne_like.websocket.handshake import Parameters

log = logging.getLogger("daphne_like.websocket")

NAME = "permessage-deflate"
DAMAGED = "The compressed message is damaged"
STRIPPED = b"\x00\x00\xff\xff"
"""The end of each message that its sender leaves out (RFC 7692, 7.2.1)."""
WINDOW_BITS = re.compile(r"[1-9][0-9]?")
"""A decimal number without leading zeros (RFC 7692, 7.1.2.1); `int` would take 010, +10 and 1_0."""
MAX_FINAL_BLOCKS = 64
"""Blocks with BFINAL in one message, beside those that OCTETS_PER_FINAL_BLOCK allows. Each costs a
new decompressor, some microseconds, and an empty one is two octets long."""
OCTETS_PER_FINAL_BLOCK = 256
"""Inflated octets of a message that allow one more block with BFINAL."""
FIRST_PIECE = 64
"""Octets that a new decompressor is fed with first, and twice as many each time after that. zlib
copies what it was fed with and lies behind a final block, so a whole message must not be fed for
each of its final blocks."""


def accept_offer(
    offered: list[tuple[str, Parameters]],
    window_bits: int,
    memory_level: int,
    max_message_size: int | None,
) -> PerMessageDeflateOfferAccept | None:
    """Accept the first offer of permessage-deflate that can be (RFC 7692, 5 and 7.1).

    An offer that breaks a rule is declined; the handshake succeeds nevertheless.

    Args:
        offered: extensions of the opening handshake.
        window_bits: 9 to 15, for both directions. A client that cannot bound its own window is
            asked to forget it after each message, which bounds our memory better still.
        memory_level: 1 to 9, zlib's, of our compressor.
        max_message_size: octets of a message when it is decompressed; None for no limit.
    """
    for name, parameters in offered:
        if name != NAME:
            continue
        if not are_window_bits(parameters):
            log.debug("! offer of %s declined: its window is not a number", NAME)
            continue
        try:
            offer = PerMessageDeflateOffer.parse(parameters)
        except Exception as error:  # noqa: BLE001 # autobahn raises no narrower one
            log.debug("! offer of %s declined: %s", NAME, error)
            continue
        bounded = offer.accept_max_window_bits
        # autobahn leaves out how far the client bounds itself; the answer may not be larger.
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
    """Return whether the window sizes of an offer are written as RFC 7692, 7.1.2.1, asks."""
    values = [
        value
        for name in ("server_max_window_bits", "client_max_window_bits")
        for value in parameters.get(name, ())
    ]
    return all(value is True or WINDOW_BITS.fullmatch(str(value)) for value in values)


class Deflate(PerMessageDeflate):  # type: ignore[misc] # untyped base
    """autobahn's compressor and decompressor, for whole messages of a bounded size.

    autobahn bounds what it inflates from 26.7 on, which needs Python 3.11: so it is done here.
    autobahn also stops at a block with BFINAL, behind which RFC 7692, 7.2.3.4, allows others: here
    a new decompressor takes over, with the window of the one before it. autobahn's private names
    for the two zlib objects are used in this class alone.
    """

    _decompressor: Any
    _received = 0  # inflated octets of the message so far
    _final_blocks = 0  # of the message so far
    _recent: bytearray | None = None  # inflated last: at least a window, if there was as much
    _remembers = True  # octets of this message are needed after the next call

    @property
    def has_compressor(self) -> bool:
        """Whether there is one, with what it remembers."""
        return self._compressor is not None

    def forget_compressor(self) -> None:
        """Give it up; the next message has another, which refers to nothing: no peer can tell."""
        self._compressor = None

    def compress_message(self, payload: bytes) -> bytes:
        """The octets of a compressed message."""
        self.start_compress_message()
        octets: bytes = self.compress_message_data(payload) + self.end_compress_message()
        return octets

    def decompress_message(self, payload: bytes | bytearray) -> bytes:
        """Return the message in the payload of its only frame.

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
        """Return the octets of a part of a message.

        Args:
            data: unmasked.
            max_output_len: autobahn's bound, which ours makes needless.
        Raises:
            FrameError: 1009 for more than a message may have, and inflating has stopped there
                (S28); 1007 for data that cannot be inflated; 1008 for too many final blocks.
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
            FrameError: 1007, it is not whole.
        """
        decompressor = self._decompressor
        # Behind a final block there is no block whose end was left out.
        if not decompressor.eof:
            try:
                decompressor.decompress(STRIPPED)
            except zlib.error:
                raise FrameError(1007, DAMAGED)
        if self.client_no_context_takeover:
            self._recent = None

    def _inflate(self, data: bytes | bytearray | memoryview) -> bytes:
        """Feed the decompressor, and hold the message to its limit."""
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
        """Inflate the octets behind a final block, with a new decompressor for each such block.

        Args:
            octets: inflated already; the decompressor has kept the octets that lie behind them.
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
        """Replace a decompressor that has met a final block; the window stays."""
        self._final_blocks += 1
        if self._final_blocks > MAX_FINAL_BLOCKS + self._received // OCTETS_PER_FINAL_BLOCK:
            raise FrameError(1008, "The compressed message has too many final blocks")
        bits = self.client_max_window_bits
        window = bytes((self._recent or b"")[-(1 << bits) :])
        self._decompressor = zlib.decompressobj(-bits, zdict=window)

    def _remember(self, octets: bytes) -> None:
        """Keep the window, which zlib does not give away, in case that a final block comes."""
        window = 1 << self.client_max_window_bits
        size = len(octets)
        if size >= window:
            self._recent = bytearray(octets[-window:])
        elif size:
            recent = self._recent
            if recent is None:
                self._recent = recent = bytearray()
            recent += octets
            if len(recent) > window + (window >> 2):  # not each time: it moves the rest
                del recent[:-window]
