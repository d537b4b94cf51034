"""Handlers of logs that are full, fail, or are moved away."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from daphne_like.observe import handlers
from daphne_like.observe.handlers import DescriptorHandler, FileHandler, handler_for

LINE = "x" * 99


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        os.close(descriptor)


def emit(handler: logging.Handler, text: str = LINE, count: int = 1) -> None:
    for _ in range(count):
        handler.handle(logging.LogRecord("test", logging.INFO, "", 0, text, None, None))


def read_all(reading: int) -> bytes:
    os.set_blocking(reading, False)
    came = b""
    try:
        while True:
            came += os.read(reading, 65536)
    except BlockingIOError:
        return came


class TestPipe:
    """A pipe that nobody reads does not block the server."""

    def test_order(self, pipe: tuple[int, int]) -> None:
        """Lines wait while the pipe is full, and go out whole and in order when it is read."""
        reading, writing = pipe
        handler = DescriptorHandler(writing, "it")
        count = 3000  # 300 kB, and a pipe holds 64
        for number in range(count):
            emit(handler, f"{number:099}")
        came = b""
        for _ in range(20):
            came += read_all(reading)
            handler._write_again()
        assert came.splitlines() == [b"%099d" % number for number in range(count)]

    def test_bounded(self, pipe: tuple[int, int], caplog: pytest.LogCaptureFixture) -> None:
        """What waits is bounded; lines beyond it are counted, and told of once a minute."""
        handler = DescriptorHandler(pipe[1], "the access log")
        room = (handlers.MAX_PENDING_OCTETS + 65536) // 100
        emit(handler, count=room + 500)
        assert [record.getMessage() for record in caplog.records] == [
            "Lost 1 line(s) of the access log: nobody reads it"
        ]
        assert handler._size <= handlers.MAX_PENDING_OCTETS
        handler._next_tell = 0.0
        emit(handler)
        assert len(caplog.records) == 2

    def test_a_long_record(self, pipe: tuple[int, int]) -> None:
        """One that is longer than what a pipe takes at once arrives whole."""
        reading, writing = pipe
        handler = DescriptorHandler(writing, "it")
        emit(handler, "y" * 30_000)
        assert read_all(reading) == b"y" * 30_000 + b"\n"

    def test_no_reader(self, pipe: tuple[int, int], caplog: pytest.LogCaptureFixture) -> None:
        """A pipe whose reader has gone is told of once."""
        reading, writing = os.pipe()
        os.close(reading)
        handler = DescriptorHandler(writing, "it")
        emit(handler, count=5)
        os.close(writing)
        assert [record.getMessage() for record in caplog.records] == [
            "Lost 1 line(s) of it: Broken pipe"
        ]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full (Linux)")
def test_a_full_disk(caplog: pytest.LogCaptureFixture) -> None:
    """It is told of once a minute, without a traceback, and the next lines are tried."""
    handler = FileHandler("/dev/full")
    emit(handler, count=100)
    assert [(record.getMessage(), record.exc_info) for record in caplog.records] == [
        ("Lost 1 line(s) of /dev/full: No space left on device", None)
    ]


def test_a_line_that_is_cut_by_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The next line that can be written begins a line of its own."""
    path = tmp_path / "log"
    handler = FileHandler(str(path))
    write, room = os.write, [50]

    def on_a_small_disk(descriptor: int, octets: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(descriptor, octets[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", on_a_small_disk)
    handler.write_lines([LINE, LINE])
    room[0] = 1000
    handler.write_lines([LINE])
    emit(handler)
    assert path.read_text() == f"{LINE[:50]}\n{LINE}\n{LINE}\n"
    assert caplog.messages == [f"Lost 2 line(s) of {path}: No space left on device"]


class TestRotation:
    """A log file that is moved away is opened anew at its path."""

    def test_moved(self, tmp_path: Path) -> None:
        """It is noticed without a signal."""
        path = tmp_path / "log"
        handler = FileHandler(str(path))
        emit(handler, "1")
        path.rename(tmp_path / "log.1")
        handler._next_check = 0.0
        emit(handler, "2")
        assert ((tmp_path / "log.1").read_text(), path.read_text()) == ("1\n", "2\n")

    def test_reopen(self, tmp_path: Path) -> None:
        """It is done at once when asked for."""
        path = tmp_path / "log"
        handler = FileHandler(str(path))
        emit(handler, "1")
        path.rename(tmp_path / "log.1")
        handler.reopen()
        emit(handler, "2")
        assert path.read_text() == "2\n"

    def test_no_folder(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Where the file cannot be made the open one stays, and a warning says why, once."""
        folder = tmp_path / "logs"
        folder.mkdir()
        handler = FileHandler(str(folder / "log"))
        folder.rename(tmp_path / "moved")
        for text in "12":
            emit(handler, text)
        assert (tmp_path / "moved/log").read_text() == "1\n2\n"
        assert [record.getMessage() for record in caplog.records] == [
            f"Cannot reopen {folder}/log: No such file or directory"
        ]


def test_no_descriptor(capsys: pytest.CaptureFixture[str]) -> None:
    """A stream without a descriptor, as a notebook has it, is written to."""
    import io

    stream = io.StringIO()
    emit(handler_for(stream, "it"), "1")
    assert stream.getvalue() == "1\n"
