"""Makes a forked child ready to serve: signals, reactor, threads."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import parent_process

from daphne_like import reactor as reactors

EVENT_LOOPS = ("asyncio", "daphne_like", "twisted", "uvloop")
"""Packages whose signal handlers belong to an event loop."""
ORPHANED_STATUS = 1
"""Exit status of a child whose parent has ended."""


def prepare() -> None:
    """Make this process ready to serve, wherever its parent has forked it.

    It gets a reactor of its own, and ends when its parent does. In a process that was spawned
    nothing needs to be undone, and the call is harmless.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        module = getattr(signal.getsignal(number), "__module__", None) or ""
        # The parent's event loop does not run here. The handler of another tool stays: coverage's
        # saves its data.
        if number == signal.SIGINT or module.partition(".")[0] in EVENT_LOOPS:
            signal.signal(number, signal.SIG_DFL)
    reactor = reactors.reinstall()
    forget_threads()
    parent = parent_process()
    if parent is not None and os.name == "posix":
        # A parent that is killed leaves no server behind.
        reactor.loop.add_reader(parent.sentinel, os._exit, ORPHANED_STATUS)


def forget_threads() -> None:
    """Give asgiref a new executor, because the threads of the old one stayed in the parent.

    Without this the first synchronous view waits for ever if the parent has used sync_to_async
    (asgiref 3.13: `SyncToAsync.single_thread_executor` is created once, at import).
    """
    sync = sys.modules.get("asgiref.sync")
    if sync is not None:
        sync.SyncToAsync.single_thread_executor = ThreadPoolExecutor(max_workers=1)
