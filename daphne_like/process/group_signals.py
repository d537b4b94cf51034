"""Signals that reach a whole process group, and on which only the supervisor acts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = ("SIGINT", "SIGHUP", "SIGQUIT", "SIGTTIN", "SIGTTOU", "SIGUSR1", "SIGUSR2", "SIGWINCH")
"""Signals that a terminal or an operator may send to the whole process group."""


def group_signals() -> list[signal.Signals]:
    """Return those that this system has."""
    return [getattr(signal, name) for name in NAMES if hasattr(signal, name)]


@contextmanager
def held_back() -> Iterator[None]:
    """Block the signals, also in processes that are started meanwhile.

    Otherwise Ctrl-C ends a worker with a traceback while its interpreter still starts.
    """
    if os.name != "posix":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, group_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def disregard() -> None:
    """Let the signals do nothing in this process, which was started with the signals held back.

    They get a handler, because processes of the application would inherit SIG_IGN.
    """
    for number in group_signals():
        signal.signal(number, lambda _number, _frame: None)
    if os.name == "posix":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, group_signals())
