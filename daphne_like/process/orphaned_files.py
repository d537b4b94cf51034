"""Removes the files of UNIX sockets whose supervisor was killed."""

from __future__ import annotations

import os
from typing import NamedTuple

from daphne_like.reactor import unix_path


class SocketFile(NamedTuple):
    """The file of a listening UNIX socket.

    Attributes:
        path: path in the file system.
        identity: device and inode of the file.
        lock: process id in the supervisor's lock beside it; "" without a lock.
    """

    path: bytes
    identity: tuple[int, int] | None
    lock: bytes


class OrphanedFiles:
    """The files that a worker removes if its supervisor has died and cannot do it."""

    def __init__(self) -> None:
        self._files: list[SocketFile] = []

    def add(self, path: str | bytes) -> None:
        """Record a file of the supervisor, which lives."""
        path = os.fsencode(path)
        if path[:1] not in (b"", b"\0"):  # an abstract name is no file
            file = SocketFile(path, unix_path.file_identity(path), read_lock(path))
            self._files.append(file)

    def remove(self) -> None:
        """Remove each file that is still the same: a new server may have replaced it."""
        for path, identity, lock in self._files:
            with unix_path.directory_lock(path):
                try:
                    if identity is not None and unix_path.file_identity(path) == identity:
                        os.unlink(path)
                    if lock and read_lock(path) == lock and not os.path.exists(path):
                        os.unlink(path + b".lock")
                except OSError:
                    pass  # another worker was faster, or the directory belongs to somebody else


def read_lock(path: bytes) -> bytes:
    """Return the process id in Twisted's lock beside a socket; empty without one."""
    try:
        return os.readlink(path + b".lock")
    except OSError:
        return b""
