"""Ends a process that the application has forked, when an exception leaves the application."""

from __future__ import annotations

import logging
import os
import sys

log = logging.getLogger("daphne_like.server")

_serving = os.getpid()
"""The id of the process that serves requests."""


def serve_here() -> None:
    """Remember this process as the one that serves requests."""
    global _serving  # one value for each process
    _serving = os.getpid()


def end_if_forked(exception: BaseException) -> None:
    """End this process if the application has forked it and then raised (`sys.exit`).

    If the exception were handled as in the serving process, the fork would become a second
    server on the same sockets and keep serving after the first one has stopped. The fork's event
    loop is not closed, because the kernel's part of it is shared with the parent.

    Args:
        exception: the exception that left the application.
    """
    if os.getpid() == _serving:
        return
    if not isinstance(exception, SystemExit):
        log.error("The application raised in a process that it forked; ending that process",
                  exc_info=exception)  # fmt: skip
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(_get_exit_status(exception))


def _get_exit_status(exception: BaseException) -> int:
    """Return the exit status with which Python ends for an exception."""
    if not isinstance(exception, SystemExit):
        return 1
    if exception.code is None:
        return 0
    if isinstance(exception.code, int):
        return exception.code & 0xFF
    print(exception.code, file=sys.stderr, flush=True)
    return 1
