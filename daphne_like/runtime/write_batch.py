"""Collects the writes of one iteration of the event loop and writes them together."""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from collections.abc import Sized
from typing import Any

from daphne_like.observe.connection_log import label

log = logging.getLogger("daphne_like.server")

WRITTEN_ALONE = 16384
"""Octets from which data is written separately instead of joined with the pending data."""
MAX_WRITE_SIZE = 131072
"""Maximum octets of body passed to the transport at once, because it buffers without limit."""


class WriteBatch:
    """Delays writes of responses until the applications that are ready have run.

    A write is a system call. Between two applications it evicts the interpreter from the
    processor's caches, and wakes a peer on the same machine for one response at a time. With 64
    connections, running all applications first and then writing all responses took a quarter less
    processor time.

    A connection calls `flush` before any other operation on its transport, which keeps the order.

    Args:
        loop: the event loop.
        instances: the running applications; a single one does not wait for others.

    Attributes:
        pending: pairs of a transport and octets or a list of octets, in the order of the writes.
    """

    __slots__ = ("_instances", "_loop", "pending")

    def __init__(self, loop: AbstractEventLoop, instances: Sized) -> None:
        self._loop = loop
        self._instances = instances
        self.pending: list[tuple[Any, bytes | list[bytes | memoryview]]] = []

    def write(self, transport: Any, octets: bytes | list[bytes | memoryview]) -> None:
        """Write now, or at the beginning of the next iteration of the event loop."""
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
        """Write all pending octets now. It may be called at any time, any number of times."""
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
                # A foreign transport raised. Abort its connection; the others are still written.
                log.exception("%s Writing failed", label(transport))
                self._loop.call_soon(transport.abortConnection)
