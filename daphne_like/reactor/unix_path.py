"""Whether a UNIX path is free to listen on, and what a dead server has left there.

Twisted's lock beside the socket holds the number of a process, and is held as long as any process
has that number: in a container, where every server is process 1, for ever. Here a connection
tells whether somebody listens.
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


def take_over(path: bytes) -> None:
    """Remove the socket and the lock that nobody's server uses any more; others stay.

    Args:
        path: in the file system.
    Raises:
        CannotListenError: somebody listens there, or it may be so, or it is no socket.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None:
        if not stat.S_ISSOCK(mode):
            raise taken(path, "it exists and is not a socket")
        refuse_if_served(path)
        with suppress(FileNotFoundError):
            os.remove(path)
    with suppress(FileNotFoundError):
        lock = path + b".lock"
        if stat.S_ISLNK(os.lstat(lock).st_mode):
            os.remove(lock)


def refuse_if_served(path: bytes) -> None:
    """Connect, to see whether somebody listens.

    Raises:
        CannotListenError: somebody does, or nobody can tell.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.setblocking(False)
        try:
            peer.connect(path)
        except ConnectionRefusedError:
            return
        except FileNotFoundError:
            return  # just now it has gone
        except BlockingIOError:
            pass  # its queue is full
        except OSError as error:
            raise taken(path, f"whether a server listens there cannot be told: {error.strerror}")
    raise taken(path, f"another server listens on {os.fsdecode(path)}")


def taken(path: bytes, sentence: str) -> CannotListenError:
    """What `listenUNIX` raises, with a sentence in the place of the system's words."""
    cause = OSError(errno.EADDRINUSE, sentence)
    return CannotListenError(None, path, cause)


@contextmanager
def alone(path: bytes) -> Iterator[None]:
    """Look, bind and listen while no other server of ours does so in the same directory.

    Between `bind` and `listen` a living server looks like a dead one. The lock is flock's on the
    directory itself, which leaves nothing behind. systemd-tmpfiles and others lock directories
    too, some for long: who does not get it in time does without.
    """
    try:
        directory = os.open(os.path.dirname(path) or b".", os.O_RDONLY)
    except OSError:
        yield  # whoever binds there is told
        return
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not locked(directory) and time.monotonic() < deadline:
            time.sleep(WAIT_STEP)
        yield
    finally:
        os.close(directory)


def locked(directory: int) -> bool:
    """Try to lock; false if somebody else has."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: waiting changes nothing
    return True


def identity(path: bytes) -> tuple[int, int] | None:
    """Which file a path leads to; None if to none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
