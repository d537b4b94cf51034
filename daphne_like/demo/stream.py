"""`GET /stream`: a body sent in pieces with pauses, so that the browser shows them arriving."""

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
"""Pieces of one response, which takes about two and a half seconds."""

INTERVAL_SECONDS = 0.06
"""Time from one piece to the next: a few frames of the screen, so that each arrives separately."""


async def send_stream(
    scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """Send CHUNKS lines of JSON, one every INTERVAL_SECONDS; stop when the peer leaves.

    Each line is `{"n": 1, "of": 40, "sent_ms": 0.2}`: its number, the number of lines, and the
    milliseconds between the head and this line by the server's clock.
    """
    clock = asyncio.get_running_loop().time
    precise = time.perf_counter  # uvloop's clock counts whole milliseconds
    async with Departure(receive) as departure:
        await start(send, 200, b"application/x-ndjson", fields=UNBUFFERED)
        began, began_precise = clock(), precise()
        for number in range(1, CHUNKS + 1):
            # Due times are computed from the beginning, so that delays do not add up.
            if await departure.within(began + (number - 1) * INTERVAL_SECONDS - clock()):
                return
            sent_ms = round((precise() - began_precise) * 1000, 2)
            line = json.dumps({"n": number, "of": CHUNKS, "sent_ms": sent_ms}) + "\n"
            await proceed(send, line.encode("ascii"), more=number < CHUNKS)
