"""Logs that fail, rotate, or are read by nobody, and the signals about them."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import needed
from tests.support.live_endpoints import free_port
from tests.support.real_server import DEADLINE, Running, fetched

Start = Callable[..., Running]


class TestAccessLog:
    """`--access-log`."""

    @pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP, None])
    def test_rotation(self, server: Start, tmp_path: Path, number: int | None) -> None:
        """A file that was moved away is opened anew: at a signal, and without one."""
        path = tmp_path / "access.log"
        running = server("stopping:application", "--access-log", str(path))
        fetched(running.port)
        path.rename(tmp_path / "access.log.1")
        if number is not None:
            running.signal(number)
        deadline = time.monotonic() + 10  # lines are held for a quarter of a second
        while not (path.exists() and path.read_text()) and time.monotonic() < deadline:
            fetched(running.port)
            time.sleep(0.05)
        assert "/hello" in path.read_text()
        running.signal()
        assert running.ended() == 0

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full (Linux)")
    def test_a_full_disk(self, server: Start) -> None:
        """One line tells it, and no traceback; requests are served."""
        running = server("stopping:application", "--access-log", "/dev/full")
        for _ in range(5):
            assert fetched(running.port).endswith(b"hello\n")
        running.signal()
        assert running.ended() == 0
        assert running.log.count("No space left on device") == 1

    def test_nobody_reads(self, program: Start) -> None:
        """A pipe on standard output that is full does not keep the server from serving."""
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        script = (
            f"import os, runpy; os.dup2({writing}, 1); "
            "runpy.run_module('daphne_like', run_name='__main__', alter_sys=True)"
        )
        running = program(
            "-p", "0", "stopping:application",
            program=(sys.executable, "-c", script), pass_fds=(writing,),
        ).wait_until_ready()  # fmt: skip
        os.close(writing)
        for _ in range(200):
            assert fetched(running.port).endswith(b"hello\n")
        running.signal()
        assert running.ended() == 0
        os.close(reading)


class TestHangup:
    """SIGHUP ends nothing by itself."""

    def test_harmless(self, server: Start) -> None:
        """Without certificates the server goes on."""
        running = server("stopping:application")
        running.signal(signal.SIGHUP)
        running.wait_for("SIGHUP: no certificates to reload")
        assert fetched(running.port).endswith(b"hello\n")

    def test_the_terminal_has_gone(self, program: Start) -> None:
        """A server in a terminal that is closed stops in order: it would be an orphan."""
        master, slave = os.openpty()
        running = program(
            "-p", "0", "stopping:application",
            stdin=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        ).wait_until_ready()  # fmt: skip
        os.close(slave)
        os.close(master)
        assert running.ended() == 0
        assert "lifespan.shutdown" in running.log


class TestJournal:
    """systemd's journal on standard error."""

    def test_priorities(self, tmp_path: Path) -> None:
        """$JOURNAL_STREAM names standard error: each line has its priority and no date."""
        path = tmp_path / "journal"
        with path.open("wb") as stream:
            status = os.fstat(stream.fileno())
            script = (
                f"import os, runpy; os.environ['JOURNAL_STREAM'] = "
                f"'{status.st_dev}:{status.st_ino}'; os.dup2({stream.fileno()}, 2); "
                "runpy.run_module('daphne_like', run_name='__main__', alter_sys=True)"
            )
            running = Running(
                "-p", "0", "--access-log", "/dev/null", "bare:application",
                program=(sys.executable, "-c", script), pass_fds=(stream.fileno(),),
            )  # fmt: skip
        try:
            needed.until(lambda: " serves " in path.read_text(), DEADLINE)
            running.signal()
            assert running.ended() == 0
        finally:
            running.stop()
        lines = path.read_text().splitlines()
        assert lines[0].startswith("<6>daphne-like ")
        assert lines[-1] == "<6>Stopped"


def test_log_config(tmp_path: Path) -> None:
    """--log-config: the server's records go where the file says, with ids if they are wanted."""
    config, path = tmp_path / "log.toml", tmp_path / "out.log"
    config.write_text(
        f"""
        [formatters.own]
        format = "%(name)s %(request_id)s %(message)s"
        [handlers.file]
        class = "logging.FileHandler"
        filename = "{path}"
        formatter = "own"
        [root]
        handlers = ["file"]
        level = "INFO"
        """
    )
    options = ("--log-config", str(config), "--request-id", "on", "--access-log", "/dev/null")
    port = free_port()
    running = Running("-p", str(port), *options, "bare:application")
    try:
        needed.until(lambda: path.exists() and " serves " in path.read_text(), DEADLINE)
        assert b"500 Internal" in fetched(port, "/raises")
        found = re.search(
            r"daphne_like\.http ([0-9a-f]{32}) \[.*\(request \1\) raised", path.read_text()
        )
        assert found is not None
        running.signal()
        assert running.ended() == 0
    finally:
        running.stop()
    assert running.log == ""
