"""Many WebSockets at the same time, and which process serves each."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.support.websocket_opcodes import TEXT
from tests.support.websocket_peer import FrameReader, opening

AT_ONCE = 50
TIMEOUT = 30.0


async def count_by_worker(address: tuple[str, int], number: int) -> Counter[str]:
    """Open so many WebSockets of tests/projects/operated.py, which stay; how many each worker has.

    Args:
        address: where the server listens.
        number: of WebSockets.
    """
    counts: Counter[str] = Counter()
    writers: list[asyncio.StreamWriter] = []
    turn = asyncio.Semaphore(AT_ONCE)

    async def open_one() -> None:
        async with turn:
            reader, writer = await asyncio.open_connection(*address)
            writers.append(writer)
            writer.write(opening())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 "), head
            frames = FrameReader()
            while not (found := frames.feed(await reader.read(4096))):
                pass
            assert found[0].opcode == TEXT
            counts[found[0].payload.decode()] += 1

    try:
        await asyncio.wait_for(
            asyncio.gather(*(open_one() for _ in range(number))), TIMEOUT + number / 50
        )
    finally:
        for writer in writers:
            writer.close()
    return counts
