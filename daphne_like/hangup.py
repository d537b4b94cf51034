"""SIGHUP: certificates are read anew, and every connection stays."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daphne_like.server import Server


def heed_hangup(server: Server) -> Callable[[], None]:
    """Let SIGHUP reload a server that has something to reload; for others it means what it did.

    What was called for it before is called too: there may be several servers in the process.

    Args:
        server: bound.
    Returns:
        Puts back what was there before.
    """
    number = getattr(signal, "SIGHUP", None)  # Windows has none
    if (
        number is None
        or not server.can_reload
        or threading.current_thread() is not threading.main_thread()
    ):
        return _nothing
    before = signal.getsignal(number)

    def hang_up(number: int, frame: FrameType | None) -> None:
        server.reactor.callFromThread(server.reload)
        if callable(before):
            before(number, frame)

    def forget() -> None:
        signal.signal(number, before)

    signal.signal(number, hang_up)
    return forget


def _nothing() -> None:
    pass
