"""Logging handlers that never wait for a reader of the log and survive write errors."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import select
import stat
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

log = logging.getLogger("daphne_like.server")

MAX_PENDING_OCTETS = 1048576
"""Maximum octets of buffered lines; further lines are dropped."""
PIECE_OCTETS = 4096
"""Octets that a writable pipe accepts without blocking (PIPE_BUF)."""
RETRY_SECONDS = 0.25
"""Time between two attempts to write buffered lines."""
TELL_SECONDS = 60.0
"""Minimum time between two warnings about lost lines."""
FLUSH_SECONDS = 1.0
"""Maximum time for the last lines when the process ends."""
CHECK_INTERVAL_SECONDS = 0.2
"""Minimum time between two checks whether a log file has been moved."""


class DescriptorHandler(logging.Handler):
    """Writes records to a descriptor without ever blocking.

    The descriptor stays in blocking mode, because other processes may share it (a terminal, a
    pipe). So the handler polls it first and writes at most as much as a ready pipe accepts. While
    it is not ready, lines stay in a bounded buffer; further lines are dropped and counted, and a
    warning gives their number.

    Args:
        descriptor: descriptor open for writing.
        name: name of the log, for warnings.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._name = name
        self._pending: deque[bytes] = deque()
        self._size = 0
        self._dropped = 0
        self._within_line = False
        self._reason = ""
        self._next_tell = 0.0
        self._retry: asyncio.TimerHandle | None = None
        self._poll: Any = None
        self._watch()

    def _watch(self) -> None:
        """Prepare polling of the descriptor; a regular file needs none, as it is always ready."""
        self._poll = None
        if hasattr(select, "poll") and not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            self._poll = select.poll()
            self._poll.register(self._descriptor, select.POLLOUT)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record or buffer it; never raise and never wait."""
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 # a filter's, a formatter's or an argument's
            self.handleError(record)
            return
        self._append(text)
        self._write(0.0)

    def write_lines(self, lines: Sequence[str]) -> None:
        """Write formatted lines or buffer them, to a file in one piece; never raise or wait.

        Several processes may append to one file: O_APPEND keeps each piece whole.
        """
        self.acquire()
        try:
            if self._poll is None and not self._pending:
                self._append("\n".join(lines), len(lines))  # a file takes any number of octets
            else:
                for line in lines:
                    self._append(line)
            self._write(0.0)
        finally:
            self.release()

    def _append(self, text: str, lines: int = 1) -> None:
        line = f"{text}\n".encode("utf-8", "backslashreplace")
        if self._within_line and not self._pending:
            line = b"\n" + line  # the rest of the last line was dropped
        if self._size + len(line) > MAX_PENDING_OCTETS:
            self._drop(lines, "nobody reads it")
        else:
            self._pending.append(line)
            self._size += len(line)

    def flush(self) -> None:
        """Write the buffered lines, for a bounded time, because the process may be about to end."""
        self.acquire()
        try:
            self._write(FLUSH_SECONDS)
        finally:
            self.release()

    def _write(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        while self._pending:
            if self._poll is not None:
                left = max(0.0, deadline - time.monotonic())
                if not self._poll.poll(left * 1000):
                    break
            piece = self._next_piece()
            try:
                count = os.write(self._descriptor, piece)
            except BlockingIOError:
                break
            except OSError as error:
                lines = piece.count(b"\n") + sum(each.count(b"\n") for each in self._pending)
                self._drop(lines, error.strerror or str(error))
                self._pending.clear()
                self._size = 0
                break
            self._size -= count
            self._within_line = piece[count - 1 : count] != b"\n"
            if count < len(piece):
                self._pending.appendleft(piece[count:])
        if self._pending:
            self._retry_soon()
        self._tell()

    def _next_piece(self) -> bytes:
        """Take the lines for one write, or the part of the first line that fits into one."""
        parts = [self._pending.popleft()]
        size = len(parts[0])
        most = MAX_PENDING_OCTETS if self._poll is None else PIECE_OCTETS
        while self._pending and size + len(self._pending[0]) <= most:
            parts.append(self._pending.popleft())
            size += len(parts[-1])
        piece = b"".join(parts)
        if size > PIECE_OCTETS and self._poll is not None:
            self._pending.appendleft(piece[PIECE_OCTETS:])
            piece = piece[:PIECE_OCTETS]
        return piece

    def _retry_soon(self) -> None:
        if self._retry is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # another thread, or no loop any more: the next record retries
            return
        self._retry = loop.call_later(RETRY_SECONDS, self._write_again)

    def _write_again(self) -> None:
        self.acquire()
        try:
            self._retry = None
            self._write(0.0)
        finally:
            self.release()

    def _drop(self, lines: int, reason: str) -> None:
        self._dropped += lines
        self._reason = reason

    def _tell(self) -> None:
        """Log the number of lost lines, at most once a minute."""
        now = time.monotonic()
        if not self._dropped or now < self._next_tell:
            return
        self._next_tell = now + TELL_SECONDS
        count, self._dropped = self._dropped, 0
        log.warning("Lost %d line(s) of %s: %s", count, self._name, self._reason)


class FileHandler(DescriptorHandler):
    """Appends records to a file, and reopens its path when the file is moved.

    Args:
        path: path of the file, which is created if missing.
    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._next_check = 0.0
        super().__init__(_opened(path), path)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record (see DescriptorHandler), to a new file if the old one was moved."""
        self._follow()
        super().emit(record)

    def write_lines(self, lines: Sequence[str]) -> None:
        """Write lines (see DescriptorHandler), to a new file if the old one was moved."""
        self._follow()
        super().write_lines(lines)

    def _follow(self) -> None:
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + CHECK_INTERVAL_SECONDS
            if self._has_moved():
                self.reopen()

    def _has_moved(self) -> bool:
        """Tell whether the path no longer leads to the open file, as after a log rotation."""
        try:
            there = os.stat(self._path)
        except OSError:
            return True
        return not os.path.samestat(there, os.fstat(self._descriptor))

    def reopen(self) -> None:
        """Open the file at the path again; on failure keep the open file."""
        self.acquire()
        try:
            self._write(0.0)  # buffered lines belong into the old file
            descriptor = _opened(self._path)
            os.dup2(descriptor, self._descriptor, inheritable=False)
            os.close(descriptor)
            self._within_line = False
            self._watch()
        except OSError as error:
            self._next_check = time.monotonic() + TELL_SECONDS
            log.warning("Cannot reopen %s: %s", self._path, error.strerror)
        finally:
            self.release()


def _opened(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)


def handler_for(stream: Any, name: str) -> logging.Handler:
    """Return a handler that writes to a stream.

    Args:
        stream: text stream; one without a descriptor, as in tests and notebooks, gets a plain
            StreamHandler.
        name: name of the log, for warnings.
    """
    try:
        descriptor = stream.fileno()
        stream.flush()
        return DescriptorHandler(descriptor, name)
    except (AttributeError, OSError, ValueError, io.UnsupportedOperation):
        return logging.StreamHandler(stream)
