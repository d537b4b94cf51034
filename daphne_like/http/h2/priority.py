"""Parses the priority that a client assigns to a response (RFC 9218)."""

from __future__ import annotations

import re
from typing import NamedTuple

# The two known members of a structured dictionary (RFC 8941); other members are ignored.
MEMBER = re.compile(rb"(u)=([0-7])|(i)(?:=\?([01]))?")


class Priority(NamedTuple):
    """Urgency, from 0 (most urgent) to 7, and whether a partial response is useful."""

    urgency: int = 3
    incremental: bool = False


UNSAID = Priority(3, True)
"""The priority of a request without one. It is incremental, because fair shares suit a client of
unknown needs best."""


def parse_priority(value: bytes) -> Priority:
    """Parse the value of a Priority field or a PRIORITY_UPDATE frame (RFC 9218, 4).

    An invalid member is ignored.
    """
    urgency, incremental = Priority()
    for part in value.split(b","):
        # Parameters of a member are ignored, because none is defined.
        found = MEMBER.fullmatch(part.partition(b";")[0].strip(b" \t"))
        if found is None:
            continue
        if found[1]:
            urgency = int(found[2])
        else:
            incremental = found[4] != b"0"
    return Priority(urgency, incremental)
