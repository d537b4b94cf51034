"""The access log."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from daphne_like.observe import access
from daphne_like.observe.access import HOLD_SECONDS, MAX_BATCHED_LINES, AccessLog
from daphne_like.observe.handlers import FileHandler
from daphne_like.observe.terminal import has_colours

DETAILS: dict[str, Any] = {
    "path": "/a?b=%0a",
    "status": 200,
    "method": "GET",
    "client": "1.2.3.4:5",
    "time_taken": 0.1,
    "size": 13,
}


@pytest.fixture
def lines() -> tuple[AccessLog, list[str]]:
    written: list[str] = []
    logger = logging.Logger("test", logging.INFO)
    handler = logging.Handler()
    handler.emit = lambda record: written.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    return AccessLog(logger), written


class TestAccessLog:
    """Daphne's NCSA lines."""

    def test_a_line(self, lines: tuple[AccessLog, list[str]]) -> None:
        """host ident user [date] "method path" status length, and the duration in seconds."""
        log, written = lines
        log("http", "complete", DETAILS)
        assert re.fullmatch(
            r'1\.2\.3\.4:5 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\] "GET /a\?b=%0a" 200 13 0\.100',
            written[0],
        )

    def test_cut(self, lines: tuple[AccessLog, list[str]]) -> None:
        """A response that did not come to its end says so."""
        log, written = lines
        log("http", "complete", {**DETAILS, "cut": True})
        assert written[0].endswith('"GET /a?b=%0a" 200 13 0.100 cut')

    def test_daphnes_fields_come_first(self, lines: tuple[AccessLog, list[str]]) -> None:
        """What reads Daphne's lines, or NCSA's, finds everything in its place."""
        log, written = lines
        log("http", "complete", {**DETAILS, "cut": True})
        ncsa = r'(\S+) (\S+) (\S+) \[([^]]+)\] "(\S+) (\S+)" (\d{3}|-) (\d+|-)'
        found = re.match(ncsa, written[0])
        assert found is not None
        assert found.group(1, 5, 6, 7, 8) == ("1.2.3.4:5", "GET", "/a?b=%0a", "200", "13")

    def test_no_client(self, lines: tuple[AccessLog, list[str]]) -> None:
        """A peer on a UNIX socket has no address: a dash, as in every NCSA log."""
        log, written = lines
        log("http", "complete", {**DETAILS, "client": None})
        assert written[0].startswith("- - - [")

    def test_no_status(self, lines: tuple[AccessLog, list[str]]) -> None:
        """A client that left before its answer: a dash."""
        log, written = lines
        log("http", "complete", {**DETAILS, "status": None, "size": 0})
        assert written[0].endswith('"GET /a?b=%0a" - 0 0.100')

    @pytest.mark.parametrize(
        ("action", "details", "said"),
        [
            ("connecting", {}, '"WSCONNECTING /a" - -'),
            ("connected", {}, '"WSCONNECT /a" - -'),
            ("rejected", {"status": 401, "size": 6, "method": "GET"}, '"WSREJECT /a" 401 6 12.346'),
            ("disconnected", {"code": 1000}, '"WSDISCONNECT /a" 1000 - 12.346'),
        ],
    )
    def test_websocket(
        self, lines: tuple[AccessLog, list[str]], action: str, details: dict[str, Any], said: str
    ) -> None:
        """What happened in the method's place; a close code in the status's, and the duration."""
        log, written = lines
        common = {"path": "/a", "client": "1.2.3.4:5", "time_taken": 12.3456}
        log("websocket", action, {**common, **details})
        (line,) = written
        assert line.partition("] ")[2] == said
        assert line.startswith("1.2.3.4:5 - - [")

    def test_lines_are_held_while_a_loop_runs(self, lines: tuple[AccessLog, list[str]]) -> None:
        """Nothing is formatted on the way of a request; order is kept."""
        log, written = lines

        async def requests() -> None:
            for status in range(200, 203):
                log("http", "complete", {**DETAILS, "status": status})
            assert written == []
            await asyncio.wait_for(held(), 20 * HOLD_SECONDS)

        async def held() -> None:
            while not written:
                await asyncio.sleep(HOLD_SECONDS / 10)

        asyncio.run(requests())
        assert [line.split()[-3] for line in written] == ["200", "201", "202"]

    def test_only_so_many_are_held(self, lines: tuple[AccessLog, list[str]]) -> None:
        """No queue without a bound."""
        log, written = lines

        async def requests() -> None:
            for _ in range(MAX_BATCHED_LINES):
                log("http", "complete", DETAILS)

        asyncio.run(requests())
        assert len(written) == MAX_BATCHED_LINES

    def test_excluded_paths(self) -> None:
        """--access-log-exclude: neither requests nor WebSockets of the path, with any query."""
        written: list[str] = []
        logger = logging.Logger("test", logging.INFO)
        handler = logging.Handler()
        handler.emit = lambda record: written.append(  # type: ignore[method-assign]
            record.getMessage()
        )
        logger.addHandler(handler)
        log = AccessLog(logger, ["/health"])
        for path in ("/health", "/health?full", "/health/", "/"):
            log("http", "complete", {**DETAILS, "path": path})
        assert [line.split('"')[1] for line in written] == ["GET /health/", "GET /"]


class TestColours:
    """The status on a terminal."""

    @pytest.mark.parametrize(
        ("environ", "is_terminal", "expected"),
        [
            ({}, True, True),
            ({}, False, False),
            ({"TERM": "dumb"}, True, False),
            ({"NO_COLOR": "1"}, True, False),
            ({"NO_COLOR": ""}, True, True),
            ({"FORCE_COLOR": "1"}, False, True),
            ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ],
    )
    def test_when(self, environ: dict[str, str], is_terminal: bool, expected: bool) -> None:
        """A terminal has colours; NO_COLOR and FORCE_COLOR decide otherwise."""

        class Stream:
            def isatty(self) -> bool:
                return is_terminal

        assert has_colours(Stream(), environ) is expected

    def test_line(self) -> None:
        """The status alone is coloured, so that without the codes the line is the usual one."""
        log = AccessLog(has_colours=True)
        entries = [
            (0.0, "c", "GET", b"/", status, 1, 0.5, False) for status in (204, 304, 404, 500)
        ]
        coloured = log._lines(entries, has_colours=True)
        assert [line.split()[-3] for line in coloured] == [
            "\x1b[32m204\x1b[0m", "\x1b[36m304\x1b[0m", "\x1b[33m404\x1b[0m", "\x1b[31m500\x1b[0m"
        ]  # fmt: skip
        plain = [re.sub("\x1b\\[\\d*m", "", line) for line in coloured]
        assert plain == log._lines(entries, has_colours=False)


class TestBatches:
    """Entries that are written together."""

    def test_own_handler_gets_one_piece(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With a file of the command, one write for all entries, without a record for each."""
        monkeypatch.setattr(access, "_own", None)
        path = tmp_path / "access.log"
        writes: list[bytes] = []
        write = os.write
        log = AccessLog()
        try:
            access.write_to(FileHandler(str(path)))
            monkeypatch.setattr(
                os, "write", lambda fd, data: writes.append(data) or write(fd, data)
            )

            async def requests() -> None:
                for _ in range(MAX_BATCHED_LINES):
                    log("http", "complete", DETAILS)

            asyncio.run(requests())
        finally:
            access.log.handlers.clear()
            access.log.propagate = True
            access.log.setLevel(logging.NOTSET)
        assert [data.count(b"\n") for data in writes] == [MAX_BATCHED_LINES]
        assert path.read_bytes() == writes[0]

    def test_four_writers(self, tmp_path: Path) -> None:
        """Several workers append to one file: each line stays whole."""
        path = tmp_path / "access.log"
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number)])
            for number in range(4)
        ]
        for writer in writers:
            assert writer.wait(60) == 0
        lines = path.read_text().splitlines()
        assert len(lines) == 4 * 50 * 400
        assert {line for line in lines if not re.fullmatch(r"([0-3])\1{149}", line)} == set()


WRITER = """
import sys
from daphne_like.observe.handlers import FileHandler
handler = FileHandler(sys.argv[1])
for _ in range(50):
    handler.write_lines([sys.argv[2] * 150] * 400)
"""
