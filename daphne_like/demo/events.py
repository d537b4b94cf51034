"""`GET /events`: server-sent events, one per second, resumed where a returning peer stopped."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from daphne_like.demo.answers import UNBUFFERED, proceed, start
from daphne_like.demo.departure import Departure

if TYPE_CHECKING:
    from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

INTERVAL_SECONDS = 1.0
"""Time from one event to the next."""

EVENTS_PER_ANSWER = 12
"""After these the response ends, and the browser reconnects by itself with Last-Event-ID.

This shows the reconnection of the protocol, which would otherwise stay invisible, and prevents many
tabs from occupying all six connections of a browser permanently.
"""

RETRY_MS = 1000
"""Reconnection delay for the browser, the same as between two events."""

MAX_ID_DIGITS = 15
"""Keeps an event's number below 2**53, so that JavaScript can count from it exactly."""


def last_event_id(scope: HTTPScope) -> int:
    """Return the number of the last event that the peer has received; 0 without one.

    A browser sends it in Last-Event-ID when it reconnects by itself. The page sends it in the query
    when its user presses "Resume", because a page cannot set that field of an EventSource. Values
    that are not plain numbers are ignored.
    """
    told = [value for name, value in scope["headers"] if name.lower() == b"last-event-id"]
    query = scope.get("query_string", b"")
    told += [pair[6:] for pair in query.split(b"&") if pair.startswith(b"after=")]
    numbers = (int(text) for text in told if text.isdigit() and len(text) <= MAX_ID_DIGITS)
    return next(numbers, 0)


def format_event(number: int, late_ms: float) -> bytes:
    """Return one event in the text/event-stream format (HTML Standard, 9.2).

    Args:
        number: the event's id.
        late_ms: milliseconds by which the event loop was late for it.
    """
    content = json.dumps({"n": number, "late_ms": round(late_ms, 2)})
    return f"id: {number}\ndata: {content}\n\n".encode("ascii")


async def send_events(
    scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """Answer with EVENTS_PER_ANSWER events, the first at once; stop when the peer leaves."""
    clock = asyncio.get_running_loop().time
    first = last_event_id(scope) + 1
    async with Departure(receive) as departure:
        await start(send, 200, b"text/event-stream", fields=UNBUFFERED)
        await proceed(send, f"retry: {RETRY_MS}\n\n".encode("ascii"))
        began = clock()
        for index in range(EVENTS_PER_ANSWER):
            pause = max(0.0, began + index * INTERVAL_SECONDS - clock())
            asked = time.perf_counter()  # uvloop's clock counts whole milliseconds
            if await departure.within(pause):
                return
            late_ms = max(0.0, time.perf_counter() - asked - pause) * 1000
            event = format_event(first + index, late_ms)
            await proceed(send, event, more=index < EVENTS_PER_ANSWER - 1)
