"""Log lines of a connection in memory, without what differs from test to test."""

from __future__ import annotations

import re

LABEL = re.compile(r"\[(\d+)(/\d+)? 192\.0\.2\.1:50000\] (.*)", re.DOTALL)


def unlabelled(line: str) -> str:
    """Return a line without the number and the peer that it must begin with."""
    found = LABEL.fullmatch(line)
    assert found is not None, line
    return found[3]
