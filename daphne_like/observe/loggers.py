"""Keeps the server's loggers working while the application configures logging.

`logging.config.dictConfig`, which Django's LOGGING uses too, disables every existing logger that it
does not name, unless `disable_existing_loggers` is False. It also removes the handlers of loggers
below one that it names. Both are meant for the application's loggers, not for the server's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from daphne_like.observe import access

NAMES = ("daphne_like", "twisted")
"""The server's top-level loggers; loggers below them are included."""
LIBRARIES = ("asyncio", "autobahn", "h2", "hpack", "twisted", "txaio")
"""The libraries that the server is made of, by the names of their loggers."""


@contextmanager
def kept_enabled() -> Iterator[None]:
    """Re-enable the server's loggers that the block disables, even if the block raises.

    A logger that was disabled before stays disabled. Levels, handlers and propagation stay as the
    block sets them, except that the handler of `--access-log` is restored.
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
    """Enable all of the server's loggers, for a process that the command owns."""
    for logger in _loggers():
        logger.disabled = False


def use_level(level: int) -> None:
    """Set the server's log level, independently of the root logger's, unless one is configured."""
    _set_level(NAMES[0], level)


def leave_out_internals(verbosity: int) -> None:
    """Below `-v 3`, leave out the octets of connections and what libraries say of their work.

    Warnings of the libraries remain, and so does a level that is configured.
    """
    if verbosity < 3:
        _set_level("daphne_like.wire", logging.INFO)
        for name in LIBRARIES:
            _set_level(name, logging.WARNING)


def _set_level(name: str, level: int) -> None:
    logger = logging.getLogger(name)
    if logger.level == logging.NOTSET:
        logger.setLevel(level)


def _loggers() -> list[logging.Logger]:
    found = logging.Logger.manager.loggerDict.items()
    return [
        logger
        for name, logger in list(found)
        if isinstance(logger, logging.Logger) and name.partition(".")[0] in NAMES
    ]
