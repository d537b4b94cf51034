"""Passes on what a worker prints to the log of its supervisor, which has no terminal."""

from __future__ import annotations

import logging
import re

from daphne_like.observe.structured import parse_line

LEVEL = re.compile(r"<(\d{1,2})>")
LOG_FORMAT = "<%(levelno)d>%(message)s"
"""Format of the worker's log lines, from which the supervisor reads their level."""
MAX_LINE = 65536
"""Maximum octets of a line; a longer one is passed on in pieces."""


class WorkerOutput:
    """Turns the octets of one stream into log records, a record for each line.

    A line of JSON (`--log-format json`) gives its values to the record.

    Args:
        logger: receives the records.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._buffer = b""
        self._level = logging.INFO

    def received(self, data: bytes) -> None:
        """Log the lines that are complete."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._log(line)
        if len(self._buffer) > MAX_LINE:
            self.end()

    def end(self) -> None:
        """Log a last line without its line feed."""
        line, self._buffer = self._buffer, b""
        if line:
            self._log(line)

    def _log(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        found = LEVEL.match(text)
        if found is not None:
            # The following lines of a traceback have no level of their own.
            self._level = int(found[1])
            text = text[found.end() :]
        attributes = parse_line(text)
        if attributes is None:
            self._logger.log(self._level, "%s", text)
            return
        name = attributes.get("level") or attributes.get("log.level")
        level = logging.getLevelName(str(name).upper())
        self._logger.log(
            level if isinstance(level, int) else logging.INFO,
            "%s",
            text,
            extra={"attributes": attributes},
        )
