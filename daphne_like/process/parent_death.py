"""Ends a worker whose supervisor has died, even if the worker's event loop is blocked."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable

PR_SET_PDEATHSIG = 1  # linux/prctl.h
REPARENTING_SECONDS = 1.0
ORPHANED_STATUS = 1
"""Exit status of a worker that did not stop in time after its supervisor had died."""


def signal_at_parent_death(number: int = signal.SIGTERM) -> None:
    """Let the kernel send this process a signal when the thread that started it ends (Linux).

    It arrives even if this process is blocked in a system call. If the parent has died before the
    call, no signal is sent; the control channel tells that.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def exit_when_orphaned(control: int, seconds: float, clean_up: Callable[[], None]) -> None:
    """End this process some time after the other end of the control channel has been closed.

    A thread waits for that, so that it works while the event loop is blocked. A stop that ends in
    time ends the process before.

    Args:
        control: descriptor of the control channel.
        seconds: time for the graceful stop.
        clean_up: called in a thread, as soon as the supervisor has died.
    """
    supervisor = os.getppid()

    def wait() -> None:
        poll = select.poll()
        poll.register(control, 0)  # reports POLLHUP only; data is left to the event loop
        poll.poll()
        if is_gone(supervisor):
            clean_up()
        time.sleep(seconds)
        os._exit(ORPHANED_STATUS)

    threading.Thread(target=wait, name="daphne-like-orphaned", daemon=True).start()


def is_gone(parent: int) -> bool:
    """Tell whether the parent has ended; a living supervisor closes the channel of a bad worker."""
    deadline = time.monotonic() + REPARENTING_SECONDS
    # The kernel closes a dying process's descriptors before it gives its children a new parent.
    while os.getppid() == parent:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True
