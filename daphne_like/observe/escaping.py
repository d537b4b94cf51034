"""Escapes control characters in log text, which a terminal would interpret (S06)."""

from __future__ import annotations

import logging

from daphne_like.exceptions import ConfigurationError
from daphne_like.observe.request_identity import NOTHING
from daphne_like.wording import escaped


class SafeFormatter(logging.Formatter):
    """Escapes each record, because a message may contain text from a peer."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))


def make_formatter(log_format: str) -> SafeFormatter:
    """Return the formatter of the option `log_fmt`.

    Raises:
        ConfigurationError: it is not a valid format.
    """
    try:
        return SafeFormatter(log_format, defaults=NOTHING)
    except ValueError as error:
        raise ConfigurationError(f"--log-fmt: {error}")
