"""`python -m tests.support.soak`: WebSockets come, talk, idle and go in every way; what is left?

Two processes: the command with tests/projects/soaking.py, and this one, which is all the clients.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import socket
import struct
import sys
import time
from collections import Counter
from typing import Any, NamedTuple

from tests.support import needed
from tests.support.playing import ask
from tests.support.real_server import TRACEBACK, Running
from tests.support.websocket_compression import DEFLATE, Deflating
from tests.support.websocket_opcodes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tests.support.websocket_peer import Frame, FrameReader, close, frame, opening

DEADLINE = 30.0
"""Seconds for one answer."""
MAX_IDLE = 1.0
WARM_SHARE = 0.25
"""Of the time, to warm up: what is there then is the baseline."""
MAX_GROWTH = 4096
"""KiB of resident memory over the baseline: the allocator's noise."""
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
PAYLOAD = bytes(range(256)) * 1024


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.frames: list[Frame] = []
        self._frame_reader = FrameReader()
        self.deflating = Deflating(b"")

    async def open(self, *fields: bytes) -> None:
        self.writer.write(opening(b"/", *fields))
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), DEADLINE)
        assert head.startswith(b"HTTP/1.1 101 "), head
        self.deflating = Deflating(head)

    async def frame(self) -> Frame | None:
        """The next frame but for pings, which are answered; None at the end."""
        while True:
            while not self.frames:
                octets = await asyncio.wait_for(self.reader.read(262144), DEADLINE)
                if not octets:
                    return None
                self.frames += self._frame_reader.feed(octets)
            one = self.frames.pop(0)
            if one.opcode != PING:
                return one
            self.writer.write(frame(PONG, one.payload))

    async def message(self) -> tuple[int, bytes]:
        """The next message."""
        one = await self.frame()
        assert one is not None
        payload, opcode, rsv1 = one.payload, one.opcode, one.rsv1
        while not one.fin:
            one = await self.frame()
            assert one is not None
            assert one.opcode == CONTINUATION
            payload += one.payload
        return opcode, self.deflating.decompress(payload) if rsv1 else payload

    async def echoed(self, dice: random.Random) -> None:
        size = dice.choice((0, 1, 20, 125, 126, 1000, 1000, 5000, 65536, 200000))
        opcode = dice.choice((TEXT, BINARY))
        payload = b"t" * size if opcode == TEXT else PAYLOAD[:size]
        if dice.random() < 0.2:
            middle = size // 2
            self.writer.write(frame(opcode, payload[:middle], fin=False))
            self.writer.write(frame(CONTINUATION, payload[middle:]))
        else:
            self.writer.write(frame(opcode, payload))
        assert await self.message() == (opcode, payload)

    async def pinged(self) -> None:
        self.writer.write(frame(PING, b"soak"))
        assert await self.frame() == Frame(PONG, b"soak")

    async def told(self, code: int) -> None:
        """The server's close frame, and our answer."""
        one = await self.frame()
        assert one is not None
        assert (one.opcode, one.code) == (CLOSE, code), one
        self.writer.write(close(code))
        assert await self.frame() is None

    async def leave(self, how: str) -> None:
        """Go, in one of the ways of LEAVING."""
        if how == "close":
            self.writer.write(close(1000))
            one = await self.frame()
            assert one is not None
            assert (one.opcode, one.code) == (CLOSE, 1000)
            assert await self.frame() is None
        elif how == "closed":
            self.writer.write(frame(TEXT, b"close"))
            await self.told(4000)
        elif how == "left":
            self.writer.write(frame(TEXT, b"leave"))
            await self.told(1000)
        elif how == "broken rule":
            self.writer.write(frame(3))
            await self.told(1002)
        elif how == "end of input":
            self.writer.write(frame(TEXT, b"cut off")[:5])
            self.writer.write_eof()
            assert await self.frame() is None
        else:
            if how == "reset in a flood":
                self.writer.write(frame(BINARY, PAYLOAD) * 4)
            connection = self.writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self.writer.transport.abort()


LEAVING = (
    "close", "close", "closed", "left", "broken rule", "end of input", "reset", "reset",
    "reset in a flood",
)  # fmt: skip
OFFERS = ((), (DEFLATE,), (DEFLATE + b"; client_max_window_bits",))


async def visit(port: int, dice: random.Random, until: float, tally: Counter[str]) -> None:
    """One WebSocket from its connection to its end."""
    client = Client(*await asyncio.open_connection("127.0.0.1", port))
    tally["connections"] += 1
    try:
        if dice.random() < 0.05:
            client.writer.write(opening(b"/")[: dice.randrange(200)])
            await client.leave("reset")
            tally["vanished in the handshake"] += 1
            return
        await client.open(*dice.choice(OFFERS))
        for _ in range(dice.randrange(20)):
            act = dice.random()
            if act < 0.6:
                await client.echoed(dice)
                tally["echoes"] += 1
            elif act < 0.7:
                await client.pinged()
                tally["pings"] += 1
            if time.monotonic() < until:
                await asyncio.sleep(dice.random() * MAX_IDLE)
        how = dice.choice(LEAVING)
        tally[how] += 1
        await client.leave(how)
    finally:
        client.writer.close()


async def visitor(port: int, seed: int, until: float, tally: Counter[str]) -> None:
    """One socket after another."""
    dice = random.Random(seed)  # the same story for the same seed
    while time.monotonic() < until:
        await visit(port, dice, until, tally)


async def crowd(port: int, connections: int, seconds: float, tally: Counter[str]) -> None:
    """So many visitors for so long."""
    until = time.monotonic() + seconds
    seed = tally["connections"]
    await asyncio.gather(
        *(visitor(port, seed + number, until, tally) for number in range(connections))
    )


class Result(NamedTuple):
    """What a soak has shown."""

    tally: Counter[str]
    cold: dict[str, int]
    warm: dict[str, int]
    after: dict[str, int]
    status: int
    log: str

    @property
    def leaks(self) -> list[str]:
        """Sentences; none is good."""
        found = [
            f"{name}: {self.after[name]}, {self.cold[name]} when the server was fresh"
            for name in self.cold
            if name != "kibibytes" and self.after[name] != self.cold[name]
        ]
        growth = self.after["kibibytes"] - self.warm["kibibytes"]
        if growth > MAX_GROWTH:
            found.append(f"resident memory has grown by {growth} KiB")
        if self.status != 0:
            found.append(f"exit status {self.status}")
        if TRACEBACK in self.log or "ERROR" in self.log:
            found.append(f"errors in the log: {self.log[-2000:]}")
        return found


def new_event_loop() -> Any:
    """uvloop where it is there: the clients should not be what is slow."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def soak(seconds: float, connections: int) -> Result:
    """Start the server, warm it up, soak it, and ask what is left."""
    running = Running("-p", "0", "--access-log", "/dev/null", "soaking:application")
    loop = new_event_loop()
    tally: Counter[str] = Counter()
    try:
        running.wait_until_ready()
        cold = ask(running)
        warming = seconds * WARM_SHARE
        loop.run_until_complete(crowd(running.port, connections, warming, Counter()))
        warm = settled(running, cold)
        tally.clear()
        loop.run_until_complete(crowd(running.port, connections, seconds, tally))
        after = settled(running, cold)
        running.signal()
        status = running.ended()
    finally:
        loop.close()
        log = running.stop()
    return Result(tally, cold, warm, after, status, log)


def settled(running: Running, cold: dict[str, int]) -> dict[str, int]:
    """The figures when all have gone, or when that takes too long."""
    figures: dict[str, int] = {}

    def is_quiet() -> bool:
        figures.update(ask(running))
        return all(figures[name] == cold[name] for name in cold if name != "kibibytes")

    try:
        needed.until(is_quiet)
    except AssertionError:
        pass  # the result will tell
    return figures


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=1000)
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    result = soak(arguments.seconds, arguments.connections)
    for name, count in sorted(result.tally.items()):
        print(f"{count:>9} {name}")
    for name in result.cold:
        print(f"{name}: fresh {result.cold[name]}, warm {result.warm[name]}, "
              f"afterwards {result.after[name]}")  # fmt: skip
    for leak in result.leaks:
        print(f"LEAK: {leak}")
    return 1 if result.leaks else 0


if __name__ == "__main__":
    sys.exit(main())
