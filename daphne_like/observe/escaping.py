"""Log text that a terminal would obey is made readable instead (S06)."""

from __future__ import annotations

import logging
import re

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def escaped(text: str) -> str:
    r"""Text without control characters but tab and line feed: `\x1b` for an escape."""
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


class SafeFormatter(logging.Formatter):
    """Escapes each record: a message may hold what a peer has sent."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))
