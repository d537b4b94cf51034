"""`POST /upload`: a request body counted and hashed as it comes; nothing of it is kept."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING

from daphne_like.demo.answers import JSON, answer

if TYPE_CHECKING:
    from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

MAX_SAMPLES = 64
"""Points of the curve in the answer: what a chart of a phone's width can show."""


class Tally:
    """What is remembered of a body: size, chunks, SHA-256 and a curve; never its octets."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._digest = hashlib.sha256()
        self._octets = self._chunks = self._largest = 0
        self._samples: list[tuple[float, int]] = []
        self._stride = 1

    def add(self, chunk: bytes, elapsed_ms: float) -> None:
        """Count one chunk.

        Args:
            chunk: its octets.
            elapsed_ms: when it came, in milliseconds since the first.
        """
        self._digest.update(chunk)
        self._octets += len(chunk)
        self._chunks += 1
        self._largest = max(self._largest, len(chunk))
        if self._chunks % self._stride == 0:
            self._samples.append((round(elapsed_ms, 2), self._octets))
        if len(self._samples) > MAX_SAMPLES:
            # Every second point goes, and from now on half as many come: bounded for any body.
            self._samples = self._samples[1::2]
            self._stride *= 2

    def describe(self) -> dict[str, object]:
        """The tally as JSON can carry it; `samples` are pairs of milliseconds and octets so far."""
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
    """Read the body and answer with its tally; a body that breaks off is owed no answer."""
    clock = time.perf_counter  # the loop's own knows whole milliseconds only under uvloop
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
