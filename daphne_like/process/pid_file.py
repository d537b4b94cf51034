"""The pid file: holds the process id, and is locked as long as the process runs.

The lock alone says whether a server runs. A number in a file that a killed server has left may be
that of another process today; in a container it often is.
"""

from __future__ import annotations

import os
import stat
from types import TracebackType

from daphne_like.exceptions import ConfigurationError

if os.name == "posix":
    import fcntl

LOCKED_STATUS = 1
MAX_OCTETS = 32
"""A pid file holds a number and a line feed, so a longer file is no pid file."""


class PidFile:
    """A context manager: takes the file when it is entered, and removes it at the end.

    Args:
        path: path of the file; without one nothing happens.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._descriptor: int | None = None

    def __enter__(self) -> PidFile:
        """Lock the file and write the process id.

        Raises:
            ConfigurationError: another process holds the lock (status 1), or the file cannot be
                written or is no pid file (status 2).
        """
        if self._path is not None:
            try:
                self._take(self._path)
            except OSError as error:
                raise ConfigurationError(f"--pid-file: cannot write {self._path}: {error.strerror}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the file, unless it is another file by now, and release the lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None or self._path is None:
            return
        try:
            if _is_at(descriptor, self._path):
                os.unlink(self._path)
            # A child of the application may have the descriptor, too, and must not keep the lock.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        except OSError:
            pass  # nobody needs the file any more
        os.close(descriptor)

    def _take(self, path: str) -> None:
        if os.name != "posix":
            raise ConfigurationError("--pid-file: this system cannot lock files (flock)")
        while self._descriptor is None:
            # O_NOFOLLOW: in a folder where others may write, a link could name any file.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            try:
                _lock(descriptor, path)
                # A server that ends removes the file after this process has opened it.
                if _is_at(descriptor, path):
                    _write(descriptor)
                    self._descriptor = descriptor
            finally:
                if self._descriptor is None:
                    os.close(descriptor)


def _lock(descriptor: int, path: str) -> None:
    """Lock a file that is a pid file or empty.

    Raises:
        ConfigurationError: the file has other content, or another process has locked it.
    """
    is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
    content = os.pread(descriptor, MAX_OCTETS + 1, 0) if is_file else b""
    number = content.strip()
    if not is_file or len(content) > MAX_OCTETS or (number and not number.isdigit()):
        raise ConfigurationError(
            f"--pid-file: {path} is no pid file; expected an empty file or a number in it"
        )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigurationError(
            f"--pid-file: {path} is locked by a server that runs, "
            f"process {number.decode() or 'unknown'}",
            exit_status=LOCKED_STATUS,
        )


def _write(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _is_at(descriptor: int, path: str) -> bool:
    """Tell whether a path names the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
