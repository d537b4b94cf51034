"""How urgent a response is, as its client says (RFC 9218)."""

from __future__ import annotations

import re
from typing import NamedTuple

# Two members of a dictionary in RFC 8941's sense; what else stands in one is not ours.
MEMBER = re.compile(rb"(u)=([0-7])|(i)(?:=\?([01]))?")


class Priority(NamedTuple):
    """Urgency from 0, the most urgent, to 7; and whether parts of a response are of use."""

    urgency: int = 3
    incremental: bool = False


UNSAID = Priority(3, True)
"""Of a request that says nothing: fair shares are of use to a client of which nothing is known."""


def parse_priority(value: bytes) -> Priority:
    """The priority that a field, or a PRIORITY_UPDATE frame, gives (RFC 9218, 4).

    A member that is not as the specification has it counts as left out.
    """
    urgency, incremental = Priority()
    for part in value.split(b","):
        # Parameters of a member say nothing that is known here.
        found = MEMBER.fullmatch(part.partition(b";")[0].strip(b" \t"))
        if found is None:
            continue
        if found[1]:
            urgency = int(found[2])
        else:
            incremental = found[4] != b"0"
    return Priority(urgency, incremental)
