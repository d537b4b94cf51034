"""What runs in the child process of a test: one server, from nothing to its end."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

from daphne_like import reactor as reactors
from daphne_like.exceptions import ConfigurationError, DaphneLikeError
from daphne_like.server import Server

EVENT_LOOPS = ("asyncio", "daphne_like", "twisted", "uvloop")
ORPHANED_STATUS = 1
HERE = Path(__file__).parent


class StartError(DaphneLikeError):
    """The server did not start; the sentence says why."""


class ChildServer(Server):
    """A server that remembers why it did not start.

    Attributes:
        cause: the sentence, once it has given up.
    """

    cause: str | None = None

    def give_up(self, sentence: str, exit_status: int) -> None:
        self.cause = sentence
        super().give_up(sentence, exit_status)


def prepare() -> None:
    """Make a process that may have been forked anywhere ready to serve."""
    for number in (signal.SIGINT, signal.SIGTERM):
        module = getattr(signal.getsignal(number), "__module__", None) or ""
        # The parent's event loop is not there to be told; a handler of somebody else's
        # (coverage's, that saves its data) stays.
        if number == signal.SIGINT or module.partition(".")[0] in EVENT_LOOPS:
            signal.signal(number, signal.SIG_DFL)
    reactor = reactors.reinstall()
    forget_threads()
    parent = parent_process()
    if parent is not None and os.name == "posix":
        # A test run that is killed leaves no server behind.
        reactor.loop.add_reader(parent.sentinel, os._exit, ORPHANED_STATUS)


def forget_threads() -> None:
    """Give asgiref new threads: those of its executor have stayed in the parent.

    Without this the first synchronous view waits for ever, if the parent has used sync_to_async
    (asgiref 3.13: `SyncToAsync.single_thread_executor` is made once, at import).
    """
    sync = sys.modules.get("asgiref.sync")
    if sync is not None:
        sync.SyncToAsync.single_thread_executor = ThreadPoolExecutor(max_workers=1)


def serve(
    get_application: Callable[[], Any],
    endpoints: list[str],
    ready: Callable[[Server], None],
    settings: dict[str, Any],
    setup: Callable[[], Any] | None = None,
    teardown: Callable[[], Any] | None = None,
) -> None:
    """Serve until the process is ended; `prepare` has run.

    Args:
        get_application: called first, without arguments.
        endpoints: strings.
        ready: called with the server when it listens.
        settings: arguments of Server.
        setup: called before the server listens, as the last thing before.
        teardown: called when the server has stopped, if it does before the process ends.
    Raises:
        StartError: the server gave up: a taken port, a failed startup.
        Exception: whatever `get_application`, `setup` or `teardown` raise.
    """
    server = ChildServer(get_application(), endpoints=endpoints, ready_callable=ready, **settings)
    if setup is not None:
        setup()
    try:
        server.run()
    finally:
        if teardown is not None:
            teardown()
    if server.cause is not None:
        raise StartError(server.cause)


def told(error: BaseException) -> str:
    """The traceback of an error, as a person wants it: the application's own, then the sentence."""
    if isinstance(error, StartError):
        return f"{error}\n"
    if isinstance(error, ConfigurationError):
        return f"{error.detail}\n{error}\n".lstrip("\n")
    trace = error.__traceback__
    while trace is not None and Path(trace.tb_frame.f_code.co_filename).parent == HERE:
        trace = trace.tb_next
    if trace is None:  # it is ours altogether
        trace = error.__traceback__
    return "".join(traceback.format_exception(type(error), error, trace))
