"""SIGINT and SIGTERM: the first stops the server in order, the second at once."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from daphne_like.observe.watchdog import stack_of_thread

log = logging.getLogger("daphne_like.server")

TOGETHER_SECONDS = 0.5
"""Signals as close as this are one: a terminal and a parent process both pass on a Ctrl-C."""


class StopSignals:
    """The handlers of both signals while a server runs.

    Args:
        stop: begins the stop.
        force: ends it at once; called in the handler, too.
        is_stopping: whether the stop has begun.
        longest: seconds after which a stop is over, or the event loop does not run.
    """

    def __init__(
        self,
        stop: Callable[[], None],
        force: Callable[[], None],
        is_stopping: Callable[[], bool],
        longest: float,
    ) -> None:
        self._stop = stop
        self._force = force
        self._is_stopping = is_stopping
        self._longest = longest
        self._signalled_at: float | None = None
        self._before: dict[int, Any] = {}
        self._last_resort: threading.Timer | None = None

    def install(self) -> None:
        """Handle the signals from now on."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._signalled)

    def restore(self) -> None:
        """Put back the handlers from before, because the server has ended."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._last_resort is not None:
            self._last_resort.cancel()

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        # Runs between two instructions of the main thread: an application that blocks the event
        # loop does not keep it from running.
        now = time.monotonic()
        if self._signalled_at is None:
            self._signalled_at = now
            self._last_resort = threading.Timer(self._longest, exit_at_once, (number,))
            self._last_resort.daemon = True
            self._last_resort.start()
            self._stop()
        elif now - self._signalled_at < TOGETHER_SECONDS:
            return
        elif self._is_stopping():
            self._force()
        else:  # the event loop has not even come round to the first one
            exit_at_once(number)


def exit_at_once(number: int) -> None:
    """End the process, because its event loop does not; say what the main thread does."""
    main = threading.main_thread().ident or 0
    log.critical(
        "The event loop does not stop; ending the process. It is in:\n%s", stack_of_thread(main)
    )
    logging.shutdown()
    os._exit(128 + number)
