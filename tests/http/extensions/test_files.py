"""A stretch of a file: reading it, and letting go of it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daphne_like.exceptions import ApplicationError
from daphne_like.http import file_range as files
from daphne_like.http.file_range import MAX_READ_SIZE, MIN_READ_SIZE, FileRange, open_file
from tests.support.memory import Loop

OCTETS = bytes(range(251)) * 4000


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "file").write_bytes(OCTETS)
    return str(tmp_path / "file")


@pytest.fixture
def run() -> Iterator[Callable[[Any], Any]]:
    loop = Loop()
    yield loop.run_until_complete
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


async def whole(stretch: FileRange) -> list[bytes]:
    parts = []
    while stretch.remaining:
        parts.append(await stretch.read(asyncio.get_running_loop(), True))
    return parts


class TestReading:
    """Bounded reads: from memory at once, from the disk in a thread."""

    @pytest.mark.parametrize("at_once", [True, False])
    def test_parts(self, run: Any, path: str, at_once: bool, monkeypatch: Any) -> None:
        """K4: no more than MAX_READ_SIZE at a time, whichever way; octet for octet."""
        if not at_once:
            monkeypatch.setattr(files, "_NOWAIT", None)
        stretch = open_file(path)
        parts = run(whole(stretch))
        stretch.close()
        assert b"".join(parts) == OCTETS
        assert max(map(len, parts)) <= MAX_READ_SIZE

    def test_sizes(self, run: Any, path: str) -> None:
        """Little for a slow peer, which memory holds; more for one that keeps up, and no longer."""
        stretch = open_file(path)

        async def read(*kept_up: bool) -> list[int]:
            loop = asyncio.get_running_loop()
            return [len(await stretch.read(loop, one)) for one in kept_up]

        try:
            sizes = run(read(False, True, True, True, False, True))
        finally:
            stretch.close()
        assert sizes == [65536, 131072, 262144, 262144, 65536, 131072]

    def test_kernel_that_cannot_tell(self, run: Any, path: str, monkeypatch: Any) -> None:
        """A file system without RWF_NOWAIT, or a page that is not in memory: a thread reads."""

        def refuse(*_: Any) -> int:
            raise BlockingIOError

        monkeypatch.setattr(os, "preadv", refuse, raising=False)
        stretch = open_file(path)
        assert b"".join(run(whole(stretch))) == OCTETS
        stretch.close()

    def test_short_reads(self, run: Any, path: str, monkeypatch: Any) -> None:
        """preadv(2): what is in memory may be a part of what was asked for."""
        if not hasattr(os, "RWF_NOWAIT"):
            pytest.skip("there is no RWF_NOWAIT here")
        preadv = os.preadv
        monkeypatch.setattr(
            os, "preadv", lambda file, buffers, *rest: preadv(file, [buffers[0][:1000]], *rest)
        )
        stretch = open_file(path)
        parts = run(whole(stretch))
        stretch.close()
        assert b"".join(parts) == OCTETS
        assert len(parts[0]) == 1000

    def test_of_two_at_a_time(self, run: Any, path: str, tmp_path: Path) -> None:
        """Octets read from one file are not changed by reading another."""
        (tmp_path / "other").write_bytes(b"x" * 1000)
        one, other = open_file(path), open_file(str(tmp_path / "other"))

        async def both() -> tuple[bytes, list[bytes]]:
            return await one.read(asyncio.get_running_loop(), False), await whole(other)

        parts = run(both())
        one.close()
        other.close()
        assert parts == (OCTETS[:MIN_READ_SIZE], [b"x" * 1000])

    def test_error(self, run: Any, path: str) -> None:
        """An error of the disk is the application's error; the peer does not see it."""
        stretch = open_file(path)
        os.close(stretch.descriptor)
        with pytest.raises(ApplicationError, match="could not be read: Bad file descriptor"):
            run(whole(stretch))


class TestClosing:
    """A descriptor is closed once, and not under a thread that reads."""

    def test_once(self, path: str) -> None:
        """Closed twice, it might be somebody else's the second time."""
        stretch = open_file(path)
        stretch.close()
        descriptor = os.open(path, os.O_RDONLY)
        assert descriptor == stretch.descriptor
        stretch.close()
        os.close(descriptor)

    def test_while_a_thread_reads(self, run: Any, path: str, monkeypatch: Any) -> None:
        """An application that is cancelled leaves a read behind: the file stays open for it."""
        begun, go_on = threading.Event(), threading.Event()
        pread = os.pread

        def slow(*arguments: int) -> bytes:
            begun.set()
            assert go_on.wait(10)
            return pread(*arguments)

        monkeypatch.setattr(files, "_NOWAIT", None)
        monkeypatch.setattr(os, "pread", slow)
        stretch = open_file(path)

        async def cancelled() -> None:
            loop = asyncio.get_running_loop()
            reading = loop.create_task(stretch.read(loop, False))
            await asyncio.sleep(0)
            assert await loop.run_in_executor(None, begun.wait, 10)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            stretch.close()
            os.fstat(stretch.descriptor)  # it is open
            inner: Any = stretch._reading
            go_on.set()
            assert await inner == OCTETS[:MIN_READ_SIZE]
            await asyncio.sleep(0)
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(stretch.descriptor)

        run(cancelled())
