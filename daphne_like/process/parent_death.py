"""Ends a worker whose supervisor has died, even if the worker's event loop is blocked."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1  # linux/prctl.h
ORPHANED_STATUS = 1
"""Exit status of a worker that did not stop in time after its supervisor had died."""


def signal_at_parent_death(number: int = signal.SIGTERM) -> None:
    """Let the kernel send this process a signal when the thread that started it ends (Linux).

    It arrives even if this process is blocked in a system call. If the parent has died before the
    call, no signal is sent; the control channel tells that.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def exit_when_orphaned(control: int, seconds: float) -> None:
    """End this process some time after the other end of the control channel has been closed.

    A thread waits for that, so that it works while the event loop is blocked. A stop that ends in
    time ends the process before.

    Args:
        control: descriptor of the control channel.
        seconds: time for the graceful stop.
    """

    def wait() -> None:
        poll = select.poll()
        poll.register(control, 0)  # reports POLLHUP only; data is left to the event loop
        poll.poll()
        time.sleep(seconds)
        os._exit(ORPHANED_STATUS)

    threading.Thread(target=wait, name="daphne-like-orphaned", daemon=True).start()
