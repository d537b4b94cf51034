"""Noticing the end of child processes without SIGCHLD."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.internet import process

if TYPE_CHECKING:
    from daphne_like.reactor.core import NativeReactor

POLL_SECONDS = 0.1
"""Between two looks at the children, where the kernel has no pidfd (macOS, Linux before 5.3)."""


class ProcessEnds:
    """Has ended processes reaped.

    uvloop takes the wake-up descriptor that Twisted's SIGCHLD handling relies on, and asyncio's
    subprocesses take SIGCHLD itself: a pidfd depends on neither, nor does looking.

    Args:
        reactor: on whose loop to wait.
    """

    def __init__(self, reactor: NativeReactor) -> None:
        self._reactor = reactor

    def watch(self, transport: Any) -> None:
        """Notice the end of the process of an IProcessTransport."""
        if transport.pid is None:
            return  # ended and reaped already
        try:
            descriptor = os.pidfd_open(transport.pid)
        except (AttributeError, OSError):
            self._look(transport)
        else:
            self._reactor.loop.add_reader(descriptor, self._ended, descriptor)

    def _ended(self, descriptor: int) -> None:
        self._reactor.loop.remove_reader(descriptor)
        os.close(descriptor)
        process.reapAllProcesses()

    def _look(self, transport: Any) -> None:
        process.reapAllProcesses()
        if transport.pid is not None:
            self._reactor.loop.call_later(POLL_SECONDS, self._look, transport)
