"""SIGINT and SIGTERM: the first signal stops the server gracefully, the second at once."""

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
"""Signals within this time count as one: terminal and parent process both pass on a Ctrl-C."""


class StopSignals:
    """Handlers of both signals while a server runs.

    Args:
        stop: begins the graceful stop for the number of the signal; returns the maximum seconds
            that it takes. If it takes longer, the event loop must be blocked.
        force: ends the stop at once; called in the handler, too.
        is_stopping: tells whether the stop has begun.
    """

    def __init__(
        self,
        stop: Callable[[int], float],
        force: Callable[[], None],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._stop = stop
        self._force = force
        self._is_stopping = is_stopping
        self._signalled_at: float | None = None
        self._before: dict[int, Any] = {}
        self._last_resort: threading.Timer | None = None

    def install(self) -> None:
        """Install the handlers."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._signalled)

    def restore(self) -> None:
        """Restore the earlier handlers after the server has ended."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._last_resort is not None:
            self._last_resort.cancel()

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        # A handler runs between two instructions of the main thread, so it runs even while the
        # application blocks the event loop.
        now = time.monotonic()
        if self._signalled_at is None:
            self._signalled_at = now
            self._last_resort = threading.Timer(self._stop(number), exit_at_once, (number,))
            self._last_resort.daemon = True
            self._last_resort.start()
        elif now - self._signalled_at < TOGETHER_SECONDS:
            return
        elif self._is_stopping():
            self._force()
        else:  # the event loop is blocked and has not begun to stop
            exit_at_once(number)


def exit_at_once(number: int) -> None:
    """End the process because its event loop does not end; log the main thread's stack."""
    main = threading.main_thread().ident or 0
    log.critical(
        "The event loop does not stop; ending the process. It is in:\n%s", stack_of_thread(main)
    )
    logging.shutdown()
    os._exit(128 + number)
