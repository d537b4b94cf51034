"""A jump of the wall clock changes what the server tells, and no deadline."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.memory import Memory
from tests.support.peers import answer_at_once, get, read_answers

Serve = Callable[..., Memory]

PACKAGE = Path(__file__).parents[2] / "daphne_like"
WALL_CLOCK = re.compile(r"\btime\.time\b|^from time import .*\btime\b|datetime\.now", re.MULTILINE)
TELLING = {
    "http/scope.py",  # the time that a proxy has written, for the log and metrics
    "listening/tls_directory.py",  # the age of files
    "management/commands/runserver.py",
    "observe/access.py",
    "process/supervised_status.py",
    "process/tallies.py",
    "server.py",  # the Date field
    "status/history.py",
    "status/one_process.py",
}


def test_who_reads_the_wall_clock() -> None:
    """Only what tells a time to people reads the wall clock; no timer and no deadline does."""
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if WALL_CLOCK.search(path.read_text(encoding="utf-8"))
    }
    assert found == TELLING


@pytest.mark.parametrize("jump", [86400, -86400, 10 * 365 * 86400])
def test_jump(serve: Serve, jump: int) -> None:
    """The Date field follows the clock; a connection stays open as long as it would have."""
    memory = serve(answer_at_once, keep_alive_timeout=60)
    wall = 1_800_000_000.0
    memory.server.default_fields.use_clock(lambda: wall)
    wire = memory.connect().sends(get())
    memory.passes(30)
    wall += jump
    memory.server.default_fields.refresh()
    memory.passes(20)
    wire.sends(get())
    before, after = (answer.fields[b"date"] for answer in read_answers(wire.written))
    assert before != after
    memory.passes(58)
    assert not wire.closing
    memory.passes(4)
    assert wire.closing
