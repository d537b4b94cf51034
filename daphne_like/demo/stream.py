"""`GET /stream`: a body sent in pieces with pauses between, so that it is seen to arrive."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from daphne_like.demo.answers import UNBUFFERED, proceed, start
from daphne_like.demo.departure import Departure

if TYPE_CHECKING:
    from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

CHUNKS = 40
"""Pieces of one answer: enough to watch, over in about two and a half seconds."""

INTERVAL_SECONDS = 0.06
"""From one piece to the next: a few frames of a screen, so that each arrives by itself."""


async def send_stream(
    scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """Answer with CHUNKS lines of JSON, one every INTERVAL_SECONDS; stop when the peer leaves.

    Each line is `{"n": 1, "of": 40, "sent_ms": 0.2}`: its number, how many there will be, and the
    milliseconds between the head and this line by the server's clock.
    """
    clock = asyncio.get_running_loop().time
    precise = time.perf_counter  # uvloop's clock knows whole milliseconds only
    async with Departure(receive) as departure:
        await start(send, 200, b"application/x-ndjson", fields=UNBUFFERED)
        began, began_precise = clock(), precise()
        for number in range(1, CHUNKS + 1):
            # Due times are counted from the beginning: pauses that ran late do not add up.
            if await departure.within(began + (number - 1) * INTERVAL_SECONDS - clock()):
                return
            sent_ms = round((precise() - began_precise) * 1000, 2)
            line = json.dumps({"n": number, "of": CHUNKS, "sent_ms": sent_ms}) + "\n"
            await proceed(send, line.encode("ascii"), more=number < CHUNKS)
