"""Notices the end of child processes without SIGCHLD."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import process

from daphne_like.reactor.handle import LoopReactor

POLL_SECONDS = 0.1
"""Time between two checks of the children where no pidfd exists (macOS, Linux before 5.3)."""


class ProcessEnds:
    """Reaps processes that have ended.

    uvloop takes the wake-up descriptor that Twisted's SIGCHLD handling relies on, and asyncio's
    subprocesses take SIGCHLD itself. A pidfd and polling depend on neither.

    Args:
        reactor: the reactor whose loop watches the processes.
    """

    def __init__(self, reactor: LoopReactor) -> None:
        self._reactor = reactor

    def watch(self, transport: Any) -> None:
        """Reap the process of an IProcessTransport when it ends."""
        if transport.pid is None:
            return  # ended and reaped already
        try:
            descriptor = os.pidfd_open(transport.pid)
        except (AttributeError, OSError):
            self._poll(transport)
        else:
            self._reactor.loop.add_reader(descriptor, self._ended, descriptor)

    def _ended(self, descriptor: int) -> None:
        self._reactor.loop.remove_reader(descriptor)
        os.close(descriptor)
        process.reapAllProcesses()

    def _poll(self, transport: Any) -> None:
        process.reapAllProcesses()
        if transport.pid is not None:
            self._reactor.loop.call_later(POLL_SECONDS, self._poll, transport)
