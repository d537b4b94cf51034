"""Pauses the ports of a server before the process runs out of file descriptors.

Without a free descriptor libuv closes the connections that it accepts, and asyncio tries again and
again. So a part of the descriptors is kept (runtime/descriptor_limit.py): for files and connections
of the application, and for connections that are on their way when a port is paused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from errno import EMFILE
from typing import Protocol

from daphne_like.listening.accepting import Accepting, PauseReason
from daphne_like.observe.descriptors import CAUSES, DescriptorWatch, descriptors
from daphne_like.runtime import descriptor_limit

MANY = 1_000_000
ROOM = 8
"""Descriptors that should be free beyond the reserve before the ports accept again. With each look
one less is enough, because an application may leave fewer than that to connections."""
LOOK_SECONDS = 0.05
"""Seconds between two looks while the ports are paused."""
MOST_LOOKING = 0.05
"""The part of the time that looks may take; with very many descriptors they are less frequent."""


class Process(Protocol):
    """The descriptors of a process; runtime/descriptor_limit.py has those of this one."""

    def soft_limit(self) -> int | None:
        """Return the present limit; None without one."""

    def lowest_free(self) -> int:
        """Return the number that the next descriptor gets, or raise an OSError."""

    def count_used(self) -> int:
        """Count the open descriptors, or raise an OSError."""


class DescriptorReserve:
    """Pauses and resumes the ports of one server.

    An accepted connection costs an addition. The descriptors are counted when half of those that
    were free at the last count may be in use.

    Args:
        accepting: of the server's ports.
        ports: returns the number of ports. A paused port may close a descriptor, which it needs
            again to accept.
        process: the descriptors.
        watch: logs a shortage.

    Attributes:
        changed: called with True when there is a shortage, and with False when it is over.
    """

    def __init__(
        self,
        accepting: Accepting,
        ports: Callable[[], int],
        process: Process = descriptor_limit,
        watch: DescriptorWatch = descriptors,
    ) -> None:
        self.changed: Callable[[bool], None] = lambda is_short: None
        self._accepting = accepting
        self._ports = ports
        self._process = process
        self._watch = watch
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._wanted = ROOM
        self._until_count = 0
        self._limit: int | None = None
        self._cause = EMFILE

    def use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the event loop; without one the ports are not paused."""
        self._loop = loop

    def accepted(self) -> None:
        """Note that a port has accepted a connection; pause if few descriptors are left."""
        self._until_count -= 1
        if self._until_count <= 0 and self._looking is None and self._loop is not None:
            self._count()

    def check(self) -> None:
        """Count again if the application, too, has used descriptors, or has changed their limit.

        May be called at any time; it makes three system calls.
        """
        limit = self._process.soft_limit()
        try:
            is_low = limit is not None and self._process.lowest_free() >= _usable(limit)
        except OSError as error:
            is_low = error.errno in CAUSES
        if limit != self._limit or is_low:
            self._until_count = 0
        if self._looking is not None:
            self._watch.tell_shortage(self._cause)
        elif is_low and self._loop is not None:
            self._count()

    def stop(self) -> None:
        """Look no more: the ports are closed."""
        if self._looking is not None:
            self._looking.cancel()
        self._loop = None

    def _count(self) -> None:
        """Count the descriptors, and pause if too few are left."""
        left = self._left()
        self._until_count = left // 2
        if left > 0:
            return
        self._accepting.pause(PauseReason.DESCRIPTORS)
        self._wanted = ROOM
        self._look_later(0.0)
        self.changed(True)
        self._watch.tell_shortage(self._cause)

    def _left(self) -> int:
        """Return the number of free descriptors beyond the reserve."""
        self._limit = limit = self._process.soft_limit()
        self._cause = EMFILE
        try:
            return MANY if limit is None else _usable(limit) - self._process.count_used()
        except OSError as error:
            self._cause = error.errno or 0
            return 0 if error.errno in CAUSES else MANY

    def _look_later(self, took: float) -> None:
        assert self._loop is not None
        delay = max(LOOK_SECONDS, took / MOST_LOOKING)
        self._looking = self._loop.call_later(delay, self._look_again)

    def _look_again(self) -> None:
        assert self._loop is not None
        began = self._loop.time()
        left = self._left()
        if left < self._wanted:
            self._wanted = max(1 + self._ports(), self._wanted - 1)
            self._look_later(self._loop.time() - began)
            return
        self._looking = None
        self._until_count = left // 2
        self._accepting.resume(PauseReason.DESCRIPTORS)
        self.changed(False)
        self._watch.tell_end()


def _usable(limit: int) -> int:
    """Return how many descriptors may be open when the ports pause."""
    return limit - descriptor_limit.reserve(limit)
