"""The client's side of permessage-deflate (RFC 7692)."""

from __future__ import annotations

import re
import zlib

DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate"
END_OF_BLOCK = b"\x00\x00\xff\xff"


class Deflating:
    """The client's compression, as the answer to the handshake has it (RFC 7692)."""

    def __init__(self, head: bytes) -> None:
        found = re.search(rb"\r\nSec-WebSocket-Extensions: ([^\r]*)\r\n", head)
        self.answer = found[1] if found else b""
        self.is_on = found is not None
        bits = re.search(rb"client_max_window_bits=(\d+)", self.answer)
        self.bits = -(int(bits[1]) if bits else 15)
        self._compressor = zlib.compressobj(wbits=self.bits)
        self._decompressor = zlib.decompressobj(-15)

    def compress(self, octets: bytes) -> bytes:
        if b"client_no_context_takeover" in self.answer:
            self._compressor = zlib.compressobj(wbits=self.bits)
        compressor = self._compressor
        squeezed = compressor.compress(octets) + compressor.flush(zlib.Z_SYNC_FLUSH)
        assert squeezed.endswith(END_OF_BLOCK)
        return squeezed[:-4]

    def decompress(self, octets: bytes) -> bytes:
        if b"server_no_context_takeover" in self.answer:
            self._decompressor = zlib.decompressobj(-15)
        return self._decompressor.decompress(octets + END_OF_BLOCK)
