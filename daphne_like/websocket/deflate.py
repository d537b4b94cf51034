"""permessage-deflate (RFC 7692): which of a client's offers is accepted, and how.

The parameters' own rules, the negotiated answer and the compression are autobahn's.
"""

from __future__ import annotations

import logging
from typing import Any

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
        return PerMessageDeflateOfferAccept(
            offer,
            request_max_window_bits=window_bits if bounded else 0,
            request_no_context_takeover=not bounded,
            window_bits=min(window_bits, offer.request_max_window_bits or window_bits),
            mem_level=memory_level,
        )
    return None


def make_deflate(accept: PerMessageDeflateOfferAccept) -> Any:
    """Compressor and decompressor, autobahn's, for what was agreed on."""
    return PerMessageDeflate.create_from_offer_accept(True, accept)
