"""Reports from another thread what blocks the event loop."""

from __future__ import annotations

import logging
import sys
import threading
import time

from daphne_like.asgi.instance import run_instance
from daphne_like.observe.stacks.waiting import place

log = logging.getLogger("daphne_like.server")

DEEPEST = 16
OWN = (
    __name__,
    "daphne_like.process.signals",
    "daphne_like.process.exit",
    "daphne_like.observe.stacks.waiting",
)
"""Modules of this package that inspect a thread from within; the report omits their frames."""


class Watchdog:
    """Warns when the event loop has not run for some seconds.

    An application that blocks (a synchronous call in an `async def`) stops all clients. Each stall
    causes one warning, with the stack of the event loop's thread.

    Args:
        seconds: seconds without a `beat` before the warning.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._thread_id = threading.get_ident()
        self._beaten = time.monotonic()
        self._warned = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name="daphne-like-watchdog", daemon=True
        )

    def start(self) -> None:
        """Start watching the thread that created this object."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()

    def beat(self) -> None:
        """Record that the event loop is running."""
        if self._warned:
            self._warned = False
            blocked = time.monotonic() - self._beaten
            log.warning("The event loop runs again after %.1f seconds", blocked)
        self._beaten = time.monotonic()

    def _watch(self) -> None:
        while not self._stopped.wait(self._seconds / 2):
            blocked = time.monotonic() - self._beaten
            if blocked >= self._seconds and not self._warned:
                self._warned = True
                log.warning(
                    "The event loop has been blocked for %.1f seconds; nothing else is served. "
                    "It is in:\n%s",
                    blocked,
                    stack_of_thread(self._thread_id),
                )


def stack_of_thread(thread_id: int) -> str:
    """Return the present stack of a thread, one line per frame, the innermost last.

    The frames above the application's are omitted, because they are the same in every report.
    """
    frame = sys._current_frames().get(thread_id)
    places: list[str] = []
    while frame is not None and frame.f_code is not run_instance.__code__:
        if frame.f_globals.get("__name__") not in OWN:
            places.append(f"  {place(frame)}")
        frame = frame.f_back
    return "\n".join(reversed(places[:DEEPEST])) or "  (the thread has ended)"
