"""permessage-deflate (RFC 7692): which of a client's offers is accepted, and how.

The parameters' own rules, the negotiated answer and the compression are autobahn's.
"""

from __future__ import annotations

import logging
import zlib

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


def accept_offer(
    offered: list[tuple[str, Parameters]],
    window_bits: int,
    memory_level: int,
    max_message_size: int | None,
) -> PerMessageDeflateOfferAccept | None:
    """Accept the first offer of permessage-deflate that can be (RFC 7692, 5 and 7.1).

    An offer that breaks a rule is declined, not the handshake.

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


class Deflate(PerMessageDeflate):  # type: ignore[misc] # untyped base
    """autobahn's compressor and decompressor, for whole messages of a bounded size.

    autobahn bounds what it inflates from 26.7 on, which needs Python 3.11: so it is done here. Its
    private names for the two zlib objects are used in this class alone.
    """

    _received = 0  # octets of the message so far

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
        """The message in the payload of its only frame.

        Raises:
            FrameError: see decompress_message_data.
        """
        self.start_decompress_message()
        octets = self.decompress_message_data(payload)
        self.end_decompress_message()
        return octets

    def start_decompress_message(self) -> None:
        """A message begins."""
        super().start_decompress_message()
        self._received = 0

    def decompress_message_data(
        self, data: bytes | bytearray, max_output_len: int | None = None
    ) -> bytes:
        """A part of a message.

        Args:
            data: unmasked.
            max_output_len: autobahn's bound, which ours makes needless.
        Raises:
            FrameError: 1009 for more than a message may have, and inflating has stopped there
                (S28); 1007 for what is no deflated data.
        """
        most = self.max_message_size
        try:
            if most is None:
                octets: bytes = self._decompressor.decompress(data)
                return octets
            octets = self._decompressor.decompress(data, most - self._received + 1)
        except zlib.error:
            raise FrameError(1007, DAMAGED)
        self._received += len(octets)
        if self._received > most:
            raise FrameError(1009, "The message is too large when it is decompressed")
        return octets

    def end_decompress_message(self) -> None:
        """The message is whole.

        Raises:
            FrameError: 1007, it is not.
        """
        try:
            self._decompressor.decompress(STRIPPED)
        except zlib.error:
            raise FrameError(1007, DAMAGED)
