"""What connections write behind a turn of the event loop, all of it together."""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from collections.abc import Sized
from typing import Any

log = logging.getLogger("daphne_like.server")


class WriteBatch:
    """The writes of answers, put off until the applications that have their turn now have had it.

    A write is a system call. Between two applications it drives the interpreter out of the
    processor's caches, and wakes a peer on the same machine for one answer at a time: 64
    connections answered in two rounds, of applications and then of writes, took a quarter less
    processor time.

    Whatever else a connection does to its transport comes behind `flush`, so the order stays.

    Args:
        loop: whose turns they are.
        instances: the applications that run; one alone is not to wait for others.

    Attributes:
        entries: transport, and octets or a list of such, in the order to be written.
    """

    __slots__ = ("_instances", "_loop", "pending")

    def __init__(self, loop: AbstractEventLoop, instances: Sized) -> None:
        self._loop = loop
        self._instances = instances
        self.pending: list[tuple[Any, bytes | list[bytes | memoryview]]] = []

    def write(self, transport: Any, octets: bytes | list[bytes | memoryview]) -> None:
        """Write, in this turn or at the beginning of the next."""
        pending = self.pending
        if not pending:
            if len(self._instances) < 2:
                if octets.__class__ is list:
                    transport.writeSequence(octets)
                else:
                    transport.write(octets)
                return
            self._loop.call_soon(self.flush)
        pending.append((transport, octets))

    def flush(self) -> None:
        """Write everything now. May be called at any time, twice too."""
        pending = self.pending
        if not pending:
            return
        self.pending = []
        for transport, octets in pending:
            try:
                if octets.__class__ is list:
                    transport.writeSequence(octets)
                else:
                    transport.write(octets)
            except Exception:
                # Of a transport that is not ours: its connection ends, the others get theirs.
                log.exception("Writing to %r failed", transport)
                self._loop.call_soon(transport.abortConnection)
