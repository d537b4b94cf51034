"""Log lines for systemd's journal, which reads the priority of each line from its beginning."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Least level -> priority (sd-daemon(3)); below these it is 7, debug."""


def listens(stream: Any, environ: Mapping[str, str]) -> bool:
    """Tell whether a stream is the journal: $JOURNAL_STREAM names its device and inode."""
    name = environ.get("JOURNAL_STREAM", "")
    if not name:
        return False
    try:
        status = os.fstat(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return False
    return name == f"{status.st_dev}:{status.st_ino}"


class WithPriority(logging.Formatter):
    """Puts `<3>`, for example, in front of each line, also in front of those of a traceback.

    Args:
        formatter: makes the lines.
    """

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        priority = next((to for level, to in PRIORITIES if record.levelno >= level), 7)
        lines = self._formatter.format(record).split("\n")
        return "\n".join(f"<{priority}>{line}" for line in lines)
