"""Log lines for systemd's journal."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from daphne_like.launch.log_setup import error_formatter
from daphne_like.observe import journal
from daphne_like.options import Options


class TestListens:
    """Whether a stream is the journal."""

    def test_by_device_and_inode(self, tmp_path: Path) -> None:
        """$JOURNAL_STREAM names the stream, so a file that it does not name is no journal."""
        with open(tmp_path / "stream", "w") as stream:
            status = os.fstat(stream.fileno())
            name = f"{status.st_dev}:{status.st_ino}"
            assert journal.listens(stream, {"JOURNAL_STREAM": name})
            assert not journal.listens(stream, {"JOURNAL_STREAM": "1:1"})
            assert not journal.listens(stream, {})
        assert not journal.listens(stream, {"JOURNAL_STREAM": name})  # closed


class TestPriority:
    """The priority of each line, sd-daemon(3)."""

    @pytest.mark.parametrize(
        ("level", "priority"),
        [("CRITICAL", 2), ("ERROR", 3), ("WARNING", 4), ("INFO", 6), ("DEBUG", 7)],
    )
    def test_of_a_level(self, level: str, priority: int) -> None:
        """No time and no level: the journal has both."""
        formatter = error_formatter(Options(), "worker 1: ", for_journal=True)
        record = logging.makeLogRecord({"msg": "it", "levelno": getattr(logging, level)})
        assert formatter.format(record) == f"<{priority}>worker 1: it"

    def test_of_a_traceback(self) -> None:
        """The journal stores each line for itself."""
        formatter = error_formatter(Options(), for_journal=True)
        record = logging.makeLogRecord({"msg": "a\nb", "levelno": logging.ERROR})
        assert formatter.format(record) == "<3>a\n<3>b"

    def test_a_format_of_ones_own(self) -> None:
        """--log-fmt is kept."""
        formatter = error_formatter(Options(log_fmt="%(name)s: %(message)s"), for_journal=True)
        record = logging.makeLogRecord({"name": "shop", "msg": "x", "levelno": logging.INFO})
        assert formatter.format(record) == "<6>shop: x"
