"""Stacks of the threads of a running worker, which writes them when it gets THREADS_SIGNAL."""

from __future__ import annotations

import signal
from typing import Any

from twisted.internet.defer import Deferred

from daphne_like.process.stacks import readable

THREADS_SIGNAL = getattr(signal, "SIGUSR2", 0)
"""Signal at which a worker writes the stacks, in C, whatever its interpreter does."""
FATAL = b"Fatal Python error"
"""The first octets that faulthandler writes at a crash."""
NOT_FATAL = (b"Current thread ", b"Thread 0x")
"""The first octets that faulthandler writes when THREADS_SIGNAL arrives."""
WRITE_SECONDS = 0.3
"""Seconds for a process to write them."""
MAX_STACKS = 262144
"""Maximum octets; later ones are dropped."""


class ThreadStacks:
    """Collects the stacks that a process writes after it was asked for them."""

    def __init__(self) -> None:
        self._waiting: list[Deferred[str]] = []
        self._written = b""
        self._drops = False  # what comes now continues what nobody has asked for

    @property
    def is_expected(self) -> bool:
        """True while the process has time to write."""
        return bool(self._waiting)

    def expect(self, reactor: Any) -> Deferred[str]:
        """Return a Deferred, with the stacks as soon as the time is over."""
        if not self._waiting:
            self._written = b""
            reactor.callLater(WRITE_SECONDS, self._end)
        waiting: Deferred[str] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def take(self, data: bytes) -> bool:
        """Take what the process has written; return False if it was written at a crash.

        What nobody has asked for is dropped: a signal for the whole process group has reached the
        supervisor, too, which asks then.
        """
        if data.startswith(FATAL):
            return False
        if self._waiting:
            self._written += data[: max(0, MAX_STACKS - len(self._written))]
            return True
        self._drops = self._drops or data.startswith(NOT_FATAL)
        return self._drops

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, []
        text = readable(self._written.decode("utf-8", "replace"))
        for each in waiting:
            each.callback(text or "It has written nothing.")
