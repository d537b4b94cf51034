"""Ends the process although threads of the application are still running."""

from __future__ import annotations

import logging
import time
from types import FrameType

from daphne_like.observe.stacks import threads
from daphne_like.observe.stacks.python_frames import is_own, place

log = logging.getLogger("daphne_like.server")

LEAVE_SECONDS = 3.0
"""Maximum wait for threads before they are logged and abandoned."""
TELL_SECONDS = 0.5
"""Time after which the names of the remaining threads are logged."""
CHECK_INTERVAL_SECONDS = 0.01
MAX_NAMED = 3


def wait_for_threads() -> bool:
    """Wait a bounded time for threads, then log the remaining ones with their stacks.

    Python joins these threads before it exits, so a thread that blocks for ever would keep the
    process alive.

    Returns:
        False if threads remain: then only os._exit ends the process.
    """
    deadline = time.monotonic() + LEAVE_SECONDS
    told = False
    while remaining := threads.awaited():
        try:
            time.sleep(CHECK_INTERVAL_SECONDS)
            impatient = False
        except KeyboardInterrupt:
            impatient = True
        busy = [thread for thread in remaining if thread.frames]
        if impatient or time.monotonic() >= deadline:
            for thread in busy:
                where, stack = _own_place(thread.frames)
                log.critical(
                    "Thread %s does not end; leaving without it. It is at %s\n%s",
                    thread.name, where, stack,
                )  # fmt: skip
            return False
        if busy and not told and time.monotonic() >= deadline - LEAVE_SECONDS + TELL_SECONDS:
            told = True
            names = ", ".join(thread.name for thread in busy[:MAX_NAMED])
            log.info("Waiting at most %g s for threads: %s", LEAVE_SECONDS, names)
    return True


def _own_place(frames: list[FrameType]) -> tuple[str, str]:
    """Return the application's innermost place, and the stack from its outermost frame inwards."""
    own = [index for index, frame in enumerate(frames) if is_own(frame)] or [0, len(frames) - 1]
    stack = "\n".join(f"  {place(frame)}" for frame in frames[own[0] :])
    return place(frames[own[-1]]), stack
