"""The scoreboard: memory that the supervisor shares with its workers, one entry per process.

A worker writes its entry without a system call, and the supervisor reads it even while the worker
is blocked. CLOCK_MONOTONIC is the same clock in all processes (Linux, macOS).
"""

from __future__ import annotations

import enum
import mmap
import os
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

ENTRIES = 2048
"""Maximum number of processes at one time: workers, successors, and workers that still drain."""
FIELDS = 8
"""64-bit numbers per entry: a cache line, so that two workers never write to the same one."""
SIZE = ENTRIES * FIELDS * 8
STATE, BEAT, CONNECTIONS, REQUESTS, USED, FULL = range(6)


class WorkerState(enum.IntEnum):
    """The state of a worker process."""

    FREE = 0  # no process uses the entry
    STARTING = 1
    READY = 2
    DRAINING = 3


class Snapshot(NamedTuple):
    """The values of an entry.

    Attributes:
        state: see WorkerState.
        beat: time of the last turn of the worker's event loop, in nanoseconds of CLOCK_MONOTONIC.
        connections: open connections.
        requests: application instances started so far, for requests and WebSockets.
    """

    state: int
    beat: int
    connections: int
    requests: int


class Entry:
    """The entry of one worker.

    Args:
        numbers: view of the entry's 64-bit numbers.
        index: position on the scoreboard.
    """

    __slots__ = ("_numbers", "index")

    def __init__(self, numbers: memoryview, index: int) -> None:
        self._numbers = numbers
        self.index = index

    def clear(self) -> None:
        """Set every number to 0, except that the entry has been used."""
        for position in (STATE, BEAT, CONNECTIONS, REQUESTS, FULL):
            self._numbers[position] = 0
        self._numbers[USED] = 1

    def set_state(self, state: WorkerState) -> None:
        """Set the state of the worker."""
        self._numbers[STATE] = state

    def beat(self, now: int, requests: int) -> None:
        """Record that the event loop runs, and the number of requests so far."""
        self._numbers[BEAT] = now
        self._numbers[REQUESTS] = requests

    def set_connections(self, number: int) -> None:
        """Record the number of open connections."""
        self._numbers[CONNECTIONS] = number

    def set_full(self, full: bool) -> None:
        """Record that the worker can accept no connection, however few it has."""
        self._numbers[FULL] = full

    def read(self) -> Snapshot:
        """Return the present values. The worker may have written any of them: trust no sum."""
        numbers = self._numbers
        return Snapshot(numbers[STATE], numbers[BEAT], numbers[CONNECTIONS], numbers[REQUESTS])


class Scoreboard:
    """All entries, in memory without a name in the file system.

    Args:
        descriptor: descriptor of the memory, from `create_memory` of this process or its parent.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, SIZE)
        self._numbers = memoryview(self._memory).cast("q")
        self._free = list(reversed(range(ENTRIES)))

    def entry(self, index: int) -> Entry:
        """Return one entry."""
        return Entry(self._numbers[index * FIELDS : (index + 1) * FIELDS], index)

    def allocate(self) -> Entry:
        """Return a cleared entry that no process uses; for the supervisor only.

        Raises:
            IndexError: there are too many processes.
        """
        entry = self.entry(self._free.pop())
        entry.clear()
        return entry

    def free(self, entry: Entry) -> None:
        """Give an entry back after its process has ended; for the supervisor only."""
        entry.clear()
        self._free.append(entry.index)

    def least_connections(self, since: int) -> int | None:
        """Return the connections of the least loaded worker that accepts; None without one.

        Args:
            since: nanoseconds of CLOCK_MONOTONIC; a worker whose last beat is older is blocked, so
                that it accepts nothing and does not count.
        """
        numbers = self._numbers
        least = min(
            (
                numbers[start + CONNECTIONS]
                for start in self._used()
                if numbers[start + STATE] == WorkerState.READY
                and numbers[start + BEAT] >= since
                and not numbers[start + FULL]
            ),
            default=None,
        )
        return None if least is None else max(0, least)

    def _used(self) -> Iterator[int]:
        """Yield where the entries begin, up to the first that was never used."""
        numbers = self._numbers
        for start in range(0, ENTRIES * FIELDS, FIELDS):
            if not numbers[start + USED]:
                return
            yield start


def create_memory() -> int:
    """Return a descriptor of zeroed memory for a Scoreboard."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("daphne-like-scoreboard", os.MFD_CLOEXEC)
    else:
        descriptor, path = tempfile.mkstemp(prefix="daphne-like-")
        os.unlink(path)
    os.ftruncate(descriptor, SIZE)
    return descriptor
