"""The access log."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import pytest

from daphne_like.observe.access import HOLD_SECONDS, MAX_BATCHED_LINES, AccessLog

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
