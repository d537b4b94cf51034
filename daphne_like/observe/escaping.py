"""Escapes control characters in log text, which a terminal would interpret (S06)."""

from __future__ import annotations

import logging

from daphne_like.wording import escaped


class SafeFormatter(logging.Formatter):
    """Escapes each record, because a message may contain text from a peer."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))
