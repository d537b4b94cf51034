"""Keeps the server's loggers working while the application configures logging.

`logging.config.dictConfig`, which Django's LOGGING goes to as well, disables all loggers that exist
already and that it does not name, unless `disable_existing_loggers` is False; and it takes the
handlers away from loggers below one that it names. Either is meant for the application's own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from daphne_like.observe import access

NAMES = ("daphne_like", "twisted")
"""The server's loggers, and those below them."""


@contextmanager
def kept_enabled() -> Iterator[None]:
    """Enable the server's loggers again that are disabled within the block, however it ends.

    A logger that was disabled before stays so. Levels, handlers and propagation that the block
    sets stay as they are set; only the handler of `--access-log` comes back.
    """
    disabled = {logger for logger in _loggers() if logger.disabled}
    try:
        yield
    finally:
        for logger in _loggers():
            if logger not in disabled:
                logger.disabled = False
        access.attach()


def enable() -> None:
    """Enable all of the server's loggers: the process is the command's."""
    for logger in _loggers():
        logger.disabled = False


def use_level(level: int) -> None:
    """Log from this level up, whatever the root logger's is, unless a level was configured."""
    logger = logging.getLogger(NAMES[0])
    if logger.level == logging.NOTSET:
        logger.setLevel(level)


def _loggers() -> list[logging.Logger]:
    found = logging.Logger.manager.loggerDict.items()
    return [
        logger
        for name, logger in list(found)
        if isinstance(logger, logging.Logger) and name.partition(".")[0] in NAMES
    ]
