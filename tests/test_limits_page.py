"""docs/reference/limits.rst has each limit and each deadline, with its default."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from daphne_like.options import LIMITS, TIMES, Options, seconds, size, whole_seconds
from daphne_like.runtime.timeouts import Timeout

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "limits.rst"
ROW = re.compile(r"   \* - ``(--[\w-]+)``\n     - (.+)\n     - (.+)\n     - (.+)\n")
ROWS = {row[1]: row for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))}
FIELDS = {
    field.metadata["flags"][-1]: field
    for field in dataclasses.fields(Options)
    if field.metadata["flags"]
}


def is_limit(field: dataclasses.Field[object]) -> bool:
    """Tell whether an option is a limit or a deadline."""
    by_kind = field.metadata["kind"] in (seconds, size, whole_seconds)
    return field.metadata["group"] in (LIMITS, TIMES) or by_kind


def test_each_limit_has_a_row() -> None:
    """A new option of that kind gets a row; the number of requests of a worker is a limit, too."""
    expected = {flag for flag, field in FIELDS.items() if is_limit(field)} | {"--max-requests"}
    assert sorted(ROWS) == sorted(expected)


@pytest.mark.parametrize("flag", ROWS)
def test_default(flag: str) -> None:
    """The default is that of the options; a unit follows it."""
    default = FIELDS[flag].default
    shown = ROWS[flag][2]
    if default is None:
        assert "``" not in shown
    else:
        assert re.fullmatch(rf"``{re.escape(str(default))}`` [a-z ]+", shown)


def test_named_deadlines() -> None:
    """What the log calls a deadline is the name of one."""
    names = re.findall(r"``-v 2``: ``([A-Z_]+)``", PAGE.read_text(encoding="utf-8"))
    assert len(names) > 3
    assert set(names) <= set(Timeout.__members__)


STATUSES = {
    flag: statuses
    for flag in ROWS.keys() & FIELDS.keys()
    if (statuses := re.findall(r"\((\d{3,4})\)", FIELDS[flag].metadata["help"]))
    # The other options of its queue decide what its peer sees.
    and flag != "--max-concurrent-requests"
}


@pytest.mark.parametrize("flag", sorted(STATUSES))
def test_status(flag: str) -> None:
    """The status or close code of the option's help is what the peer sees."""
    assert [status for status in STATUSES[flag] if status not in ROWS[flag][3]] == []
