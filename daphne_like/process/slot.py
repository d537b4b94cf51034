"""The place of one worker under a supervisor."""

from __future__ import annotations

from typing import Any

from daphne_like.process.backoff import Backoff
from daphne_like.process.worker_process import WorkerProcess


class Slot:
    """The place of one worker: the worker that serves, and the one that is to follow it.

    Args:
        number: from 1.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.worker: WorkerProcess | None = None
        self.successor: WorkerProcess | None = None
        self.backoff = Backoff()
        self.next_start: Any = None

    def cancel_start(self) -> None:
        """Forget a start that is planned."""
        if self.next_start is not None and self.next_start.active():
            self.next_start.cancel()
        self.next_start = None
