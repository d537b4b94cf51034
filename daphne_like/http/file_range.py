"""A range of a file that is sent as a part of a body."""

from __future__ import annotations

import os
import stat
from asyncio import AbstractEventLoop, Future, shield
from typing import Any

from daphne_like.exceptions import ApplicationError

MIN_READ_SIZE = 65536
"""Octets read at once for a peer that is slower than the disk."""
MAX_READ_SIZE = 262144
"""Octets read at once for a peer that keeps up."""
MAX_SENDFILE_SIZE = 524288
"""Octets that the kernel sends at once; the event loop is blocked meanwhile."""

_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)  # only on Linux


class FileRange:
    """A range of an open file.

    Args:
        descriptor: the descriptor of a regular file.
        offset: the start of the range; None for the current position of the descriptor.
        count: maximum octets; None for everything to the end of the file.
        owned: `close` closes the descriptor (ASGI X21: not that of an application).

    Attributes:
        descriptor: the descriptor of the file.
        offset: position of the first octet that is still to be sent.
        remaining: number of octets that are still to be sent.
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
        """Move the start of the range past octets that were sent.

        Raises:
            ApplicationError: `size` is 0, because the file has become shorter.
        """
        if not size:
            raise ApplicationError(
                f"The file became shorter while it was sent: {self.remaining} octets are missing"
            )
        self.offset += size
        self.remaining -= size

    async def read(self, loop: AbstractEventLoop, peer_keeps_up: bool) -> bytes | memoryview:
        """Read the next octets, at once from the page cache or in a thread from the disk.

        Args:
            loop: the running event loop.
            peer_keeps_up: the peer has read the previous octets already.
        Raises:
            ApplicationError: the file has become shorter, or cannot be read.
        """
        self._most = min(2 * self._most, MAX_READ_SIZE) if peer_keeps_up else MIN_READ_SIZE
        size = min(self.remaining, self._most)
        try:
            octets: bytes | memoryview | None = self._read_at_once(size)
            if octets is None:
                read = loop.run_in_executor(None, read_at, self.descriptor, size, self.offset)
                self._reading = read
                # The thread reads on if this coroutine is cancelled; `close` waits for it.
                octets = await shield(read)
        except OSError as problem:
            raise ApplicationError(f"The file could not be read: {problem.strerror}") from problem
        self.advance(len(octets))
        return octets

    def _read_at_once(self, size: int) -> memoryview | None:
        """Read octets that are in the page cache; return None if none are, or if unknown."""
        if _NOWAIT is None:
            return None
        room = memoryview(bytearray(size))
        try:
            got = os.preadv(self.descriptor, [room], self.offset, _NOWAIT)
        except OSError:  # EAGAIN, or a file system that does not support it
            return None
        # At the end of the file, the read in a thread finds that the file has become shorter.
        return room[:got] if got else None

    def close(self) -> None:
        """Close an owned descriptor, after a read in a thread has ended."""
        if not self._owned:
            return
        self._owned = False
        reading = self._reading
        if reading is None or reading.done():
            os.close(self.descriptor)
        else:
            descriptor = self.descriptor

            def close(done: Future[bytes]) -> None:
                done.exception()  # mark as retrieved, because nobody waits for the result
                os.close(descriptor)

            reading.add_done_callback(close)


def regular_size(descriptor: int) -> int:
    """Return the size of a regular file.

    Raises:
        OSError: there is no such descriptor.
        ApplicationError: the file is not a regular file.
    """
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ApplicationError("expected a regular file")
    return status.st_size


def open_file(path: str) -> FileRange:
    """Open a whole regular file. Devices, pipes and sockets are refused without blocking.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the string is not a valid path.
        ApplicationError: the file is not a regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
    descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    try:
        return FileRange(descriptor, owned=True)
    except BaseException:
        os.close(descriptor)
        raise


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Read octets of a file without changing its position; return b"" at the end."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    before = os.lseek(descriptor, 0, os.SEEK_CUR)  # Windows
    os.lseek(descriptor, offset, os.SEEK_SET)
    try:
        return os.read(descriptor, size)
    finally:
        os.lseek(descriptor, before, os.SEEK_SET)


def find_descriptor(file: Any) -> int:
    """Return the descriptor of a file object; a descriptor is returned unchanged.

    Raises:
        ApplicationError: `file` is neither.
    """
    if isinstance(file, int) and not isinstance(file, bool):
        return file
    try:
        return int(file.fileno())
    except (AttributeError, TypeError, ValueError, OSError):
        raise ApplicationError(f"expected an open file, got {file!r:.80}") from None
