"""A stretch of a file that goes out as a part of a body: what of it is left, and reading it."""

from __future__ import annotations

import os
import stat
from asyncio import AbstractEventLoop, Future, shield
from typing import Any

from daphne_like.exceptions import ApplicationError

MIN_READ_SIZE = 65536
"""Octets read at once for a peer that is slower than the disk."""
MAX_READ_SIZE = 262144
"""The same for one that keeps up."""
MAX_SENDFILE_SIZE = 524288
"""Octets that the kernel is asked to send at once: so long a file keeps everybody else waiting."""

_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)  # Linux alone


class FileRange:
    """A part of an open file.

    Args:
        descriptor: of a regular file.
        offset: where it begins; None for the descriptor's own position.
        count: octets at most; None for all to the file's end.
        owned: the descriptor is closed with it (ASGI X21: an application's own is not).

    Attributes:
        descriptor: of the file.
        offset, left: where the octets begin that are still to be sent, and how many they are.
    """

    __slots__ = ("_most", "_owned", "_reading", "descriptor", "offset", "remaining")

    def __init__(
        self,
        descriptor: int,
        offset: int | None = 0,
        count: int | None = None,
        *,
        owned: bool,
    ) -> None:
        size = regular_size(descriptor)
        if offset is None:
            offset = os.lseek(descriptor, 0, os.SEEK_CUR)
        size = max(0, size - offset)
        self.descriptor = descriptor
        self.offset = offset
        self.remaining = size if count is None else min(size, count)
        self._most = MIN_READ_SIZE
        self._owned = owned
        self._reading: Future[bytes] | None = None

    def advance(self, size: int) -> None:
        """Octets are on their way.

        Raises:
            ApplicationError: there were none: the file has become shorter.
        """
        if not size:
            raise ApplicationError(
                f"The file became shorter while it was sent: {self.remaining} octets are missing"
            )
        self.offset += size
        self.remaining -= size

    async def read(self, loop: AbstractEventLoop, peer_keeps_up: bool) -> bytes | memoryview:
        """The next octets; from the disk in a thread, from memory at once.

        Args:
            loop: that runs.
            peer_keeps_up: the peer has taken the last ones already.
        Raises:
            ApplicationError: there are none: the file has become shorter, or cannot be read.
        """
        self._most = min(2 * self._most, MAX_READ_SIZE) if peer_keeps_up else MIN_READ_SIZE
        size = min(self.remaining, self._most)
        try:
            octets: bytes | memoryview | None = self._read_at_once(size)
            if octets is None:
                read = loop.run_in_executor(None, read_at, self.descriptor, size, self.offset)
                self._reading = read
                # If nobody waits any more it still reads: the descriptor stays until then.
                octets = await shield(read)
        except OSError as problem:
            raise ApplicationError(f"The file could not be read: {problem.strerror}") from problem
        self.advance(len(octets))
        return octets

    def _read_at_once(self, size: int) -> memoryview | None:
        """Octets that the kernel has in memory; None if there are none, or nobody can tell."""
        if _NOWAIT is None:
            return None
        room = memoryview(bytearray(size))
        try:
            got = os.preadv(self.descriptor, [room], self.offset, _NOWAIT)
        except OSError:  # EAGAIN, or a file system that cannot tell
            return None
        # None of nothing either: at the end of the file the other way of reading says so.
        return room[:got] if got else None

    def close(self) -> None:
        """Let go of the file."""
        if not self._owned:
            return
        self._owned = False
        reading = self._reading
        if reading is None or reading.done():
            os.close(self.descriptor)
        else:
            descriptor = self.descriptor

            def close(done: Future[bytes]) -> None:
                done.exception()  # nobody is there to be told
                os.close(descriptor)

            reading.add_done_callback(close)


def regular_size(descriptor: int) -> int:
    """Octets in a file.

    Raises:
        OSError: there is no such descriptor.
        ApplicationError: it is none of a regular file.
    """
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ApplicationError("expected a regular file")
    return status.st_size


def open_file(path: str) -> FileRange:
    """A whole file, opened here; what is none of octets on a disk is neither waited for nor read.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is no path.
        ApplicationError: it is no regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
    descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    try:
        return FileRange(descriptor, owned=True)
    except BaseException:
        os.close(descriptor)
        raise


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Octets of a file, b"" at its end; its position is as before."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    before = os.lseek(descriptor, 0, os.SEEK_CUR)  # Windows
    os.lseek(descriptor, offset, os.SEEK_SET)
    try:
        return os.read(descriptor, size)
    finally:
        os.lseek(descriptor, before, os.SEEK_SET)


def find_descriptor(file: Any) -> int:
    """The descriptor of a file object, or of a descriptor.

    Raises:
        ApplicationError: it is neither.
    """
    if isinstance(file, int) and not isinstance(file, bool):
        return file
    try:
        return int(file.fileno())
    except (AttributeError, TypeError, ValueError, OSError):
        raise ApplicationError(f"expected an open file, got {file!r:.80}") from None
