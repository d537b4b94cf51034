"""Escapes control characters in log text, which a terminal would interpret (S06)."""

from __future__ import annotations

import logging
import re

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def escaped(text: str) -> str:
    r"""Return the text with control characters escaped (`\x1b`), except tab and line feed."""
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


class SafeFormatter(logging.Formatter):
    """Escapes each record, because a message may contain text from a peer."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))
