"""Signals that do not stop the server: SIGHUP reloads, SIGUSR1 reopens logs.

SIGUSR2 logs where the application instances wait.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

from daphne_like.process.systemd import Notifier

log = logging.getLogger("daphne_like.server")


class Reloadable(Protocol):
    """The part of a server that the signal handlers need."""

    reactor: Any
    notifier: Notifier

    @property
    def can_reload(self) -> bool:
        """True if `reload` has files to read."""

    def reload(self) -> None:
        """Read the certificates again."""

    def reopen_logs(self) -> None:
        """Open the file of the access log again."""

    def log_stacks(self) -> None:
        """Log where all application instances wait."""

    def stop(self) -> None:
        """Begin a graceful stop."""


def install_sighup_reload(server: Reloadable) -> Callable[[], None]:
    """Let SIGHUP reload certificates and reopen the access log, and SIGUSR1 reopen the access log.

    If SIGHUP reports that the server's terminal has closed, the server stops gracefully, unless
    SIGHUP was ignored before (nohup). Earlier handlers are called too, because the process may
    contain several servers.

    Args:
        server: a bound server.
    Returns:
        A function that restores the earlier handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        return _nothing
    before: dict[int, object] = {}
    had_terminal = has_terminal()

    def hang_up(number: int, frame: FrameType | None) -> None:
        ignored = before[number] is signal.SIG_IGN
        if had_terminal and not ignored and not has_terminal():
            server.stop()
        else:
            server.reactor.callFromThread(_reload, server)
        _pass_on(before[number], number, frame)

    def reopen(number: int, frame: FrameType | None) -> None:
        server.reactor.callFromThread(server.reopen_logs)
        _pass_on(before[number], number, frame)

    def log_stacks(number: int, frame: FrameType | None) -> None:
        server.reactor.callFromThread(server.log_stacks)
        _pass_on(before[number], number, frame)

    def forget() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # the value of getsignal

    for name, handler in (("SIGHUP", hang_up), ("SIGUSR1", reopen), ("SIGUSR2", log_stacks)):
        number = getattr(signal, name, None)  # Windows has none of them
        if number is not None:
            before[number] = signal.getsignal(number)
            signal.signal(number, handler)
    return forget


def _reload(server: Reloadable) -> None:
    if not server.can_reload:
        log.info("SIGHUP: no certificates to reload; reopening the access log")
    server.notifier.reloading()
    try:
        server.reload()
        server.reopen_logs()
    finally:
        server.notifier.reloaded()


def _pass_on(before: object, number: int, frame: FrameType | None) -> None:
    if callable(before):
        before(number, frame)


def has_terminal() -> bool:
    """Tell whether one of the standard descriptors is a terminal that is still open."""
    for descriptor in range(3):
        try:
            if os.isatty(descriptor):
                return True
        except OSError:
            pass
    return False


def _nothing() -> None:
    pass
