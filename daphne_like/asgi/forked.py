"""Processes that an application forks: they end with the call that forked them."""

from __future__ import annotations

import logging
import os
import sys

log = logging.getLogger("daphne_like.server")

_serving = os.getpid()
"""The process that serves."""


def serve_here() -> None:
    """Remember this process as the one that serves."""
    global _serving  # there is one process
    _serving = os.getpid()


def end_if_forked(exception: BaseException) -> None:
    """End this process if the application has forked it, and raised in it (`sys.exit`).

    Caught as in the process that serves, the exception would leave a second server on the same
    sockets, which serves on after the stop of the first. The event loop of the fork is not closed:
    the kernel's side of it is shared with the parent.

    Args:
        exception: that left the application.
    """
    if os.getpid() == _serving:
        return
    if not isinstance(exception, SystemExit):
        log.error("The application raised in a process that it forked; ending that process",
                  exc_info=exception)  # fmt: skip
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(_status_of(exception))


def _status_of(exception: BaseException) -> int:
    """Return the exit status that Python gives for an exception."""
    if not isinstance(exception, SystemExit):
        return 1
    if exception.code is None:
        return 0
    if isinstance(exception.code, int):
        return exception.code & 0xFF
    print(exception.code, file=sys.stderr, flush=True)
    return 1
