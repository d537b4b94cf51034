"""Checks that a UNIX path is free to listen on, and removes the socket of a dead server.

Twisted's lock file stores a process id and counts as held while any process has that id. In
containers every server is process 1, so a stale lock never expires. This module connects to the
socket instead.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from twisted.internet.error import CannotListenError

WAIT_SECONDS = 1.0
WAIT_STEP = 0.01


def remove_stale(path: bytes) -> None:
    """Remove a socket and a lock that no server uses any more.

    Args:
        path: path in the file system.
    Raises:
        CannotListenError: a server listens there, or may listen there, or the file is not a socket.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None:
        if not stat.S_ISSOCK(mode):
            raise path_in_use(path, "it exists and is not a socket")
        refuse_if_served(path)
        with suppress(FileNotFoundError):
            os.remove(path)
    with suppress(FileNotFoundError):
        lock = path + b".lock"
        if stat.S_ISLNK(os.lstat(lock).st_mode):
            os.remove(lock)


def refuse_if_served(path: bytes) -> None:
    """Connect to the socket, and refuse the path if a server listens there.

    Raises:
        CannotListenError: a server listens there, or may listen there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.setblocking(False)
        try:
            peer.connect(path)
        except ConnectionRefusedError:
            return
        except FileNotFoundError:
            return  # it was removed just now
        except BlockingIOError:
            pass  # the listen queue is full
        except OSError as error:
            raise path_in_use(
                path, f"whether a server listens there cannot be told: {error.strerror}"
            )
    raise path_in_use(path, f"another server listens on {os.fsdecode(path)}")


def path_in_use(path: bytes, sentence: str) -> CannotListenError:
    """Return the exception that `listenUNIX` raises, with a sentence of its own as the reason."""
    cause = OSError(errno.EADDRINUSE, sentence)
    return CannotListenError(None, path, cause)


@contextmanager
def directory_lock(path: bytes) -> Iterator[None]:
    """Keep other servers of this kind from checking and binding in the same directory meanwhile.

    Between `bind` and `listen` a live server looks like a dead one. The lock is `flock` on the
    directory itself, which leaves no file behind. systemd-tmpfiles and other programs lock
    directories too, some for long: after WAIT_SECONDS the caller continues without the lock.
    """
    try:
        directory = os.open(os.path.dirname(path) or b".", os.O_RDONLY)
    except OSError:
        yield  # binding will report the error
        return
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not try_lock(directory) and time.monotonic() < deadline:
            time.sleep(WAIT_STEP)
        yield
    finally:
        os.close(directory)


def try_lock(directory: int) -> bool:
    """Try to lock a directory; return False if another process holds the lock."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # the file system has no locks, so waiting is useless
    return True


def file_identity(path: bytes) -> tuple[int, int] | None:
    """Return device and inode of a path, or None if it does not exist."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
