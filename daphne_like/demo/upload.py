"""`POST /upload`: counts and hashes a request body as it arrives, without storing it."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING

from daphne_like.demo.answers import JSON, answer

if TYPE_CHECKING:
    from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

MAX_SAMPLES = 64
"""Maximum points of the curve in the response: as many as a chart on a phone can show."""


class Tally:
    """Statistics of a body: size, chunks, SHA-256 and a curve; never its content."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._octets = self._chunks = self._largest = 0
        self._samples: list[tuple[float, int]] = []
        self._stride = 1

    def add(self, chunk: bytes, elapsed_ms: float) -> None:
        """Count one chunk.

        Args:
            chunk: the chunk's octets.
            elapsed_ms: its arrival, in milliseconds since the first chunk.
        """
        self._digest.update(chunk)
        self._octets += len(chunk)
        self._chunks += 1
        self._largest = max(self._largest, len(chunk))
        if self._chunks % self._stride == 0:
            self._samples.append((round(elapsed_ms, 2), self._octets))
        if len(self._samples) > MAX_SAMPLES:
            # Drop every second point and record half as many from now on: bounded for any body.
            self._samples = self._samples[1::2]
            self._stride *= 2

    def describe(self) -> dict[str, object]:
        """Return the statistics for JSON; `samples` are pairs of milliseconds and octets so far."""
        return {
            "bytes": self._octets,
            "chunks": self._chunks,
            "largest_chunk": self._largest,
            "sha256": self._digest.hexdigest(),
            "samples": self._samples,
        }


async def take_upload(
    scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """Read the body and send its statistics; an incomplete body gets no response."""
    clock = time.perf_counter  # under uvloop, the event loop's clock counts whole milliseconds
    tally = Tally()
    began: float | None = None
    more = True
    while more:
        event = await receive()
        if event["type"] != "http.request":
            return
        if began is None:
            began = clock()
        chunk = event.get("body", b"")
        if chunk:
            tally.add(chunk, (clock() - began) * 1000)
        more = event.get("more_body", False)
    await answer(send, 200, JSON, json.dumps(tally.describe()).encode("ascii"))
