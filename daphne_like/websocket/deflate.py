"""permessage-deflate (RFC 7692): which of a client's offers is accepted, and how.

The parameters' own rules, the negotiated answer and the compression are autobahn's.
"""

from __future__ import annotations

import logging

from autobahn.websocket.compress_deflate import (
    PerMessageDeflate,
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
)

from daphne_like.websocket.handshake import Parameters

log = logging.getLogger("daphne_like.websocket")

NAME = "permessage-deflate"


def accept_offer(
    offered: list[tuple[str, Parameters]], window_bits: int, memory_level: int
) -> PerMessageDeflateOfferAccept | None:
    """Accept the first offer of permessage-deflate that can be (RFC 7692, 5 and 7.1).

    An offer that breaks a rule is declined, not the handshake.

    Args:
        offered: extensions of the opening handshake.
        window_bits: 9 to 15, for both directions. A client that cannot bound its own window is
            asked to forget it after each message, which bounds our memory better still.
        memory_level: 1 to 9, zlib's, of our compressor.
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
        )
    return None


class Deflate(PerMessageDeflate):  # type: ignore[misc] # untyped base
    """autobahn's compressor and decompressor, for whole messages."""

    @property
    def has_compressor(self) -> bool:
        """Whether there is one, with what it remembers."""
        return self._compressor is not None

    def forget_compressor(self) -> None:
        """Give it up; the next message has another, which refers to nothing: no peer can tell.

        autobahn (26.10) has no public way to reset it; it makes another when there is none.
        """
        self._compressor = None

    def compress_message(self, payload: bytes) -> bytes:
        """The octets of a compressed message."""
        self.start_compress_message()
        octets: bytes = self.compress_message_data(payload) + self.end_compress_message()
        return octets

    def decompress_message(self, payload: bytes | bytearray, most: int | None) -> bytes:
        """The message in the payload of its only frame.

        Args:
            payload: unmasked.
            most: octets that the message may have.
        Raises:
            PayloadExceededError: it has more; inflating has stopped there (S28).
            PayloadCorruptError: it is damaged.
        """
        self.start_decompress_message()
        octets: bytes = self.decompress_message_data(payload, max_output_len=most)
        self.end_decompress_message()
        return octets
