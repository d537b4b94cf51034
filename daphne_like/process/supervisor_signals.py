"""The signals that a supervisor obeys."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any


class SupervisorSignals:
    """Handlers that run their actions in the reactor.

    Args:
        reactor: the supervisor's reactor.
        actions: name of a signal -> called when it arrives; names that the system does not have
            are left out.
    """

    def __init__(self, reactor: Any, actions: Mapping[str, Callable[[], object]]) -> None:
        self._reactor = reactor
        self._actions = actions
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Install the handlers; nothing in another thread than the main one."""
        if threading.current_thread() is not threading.main_thread():
            return
        for name, action in self._actions.items():
            number = getattr(signal, name, None)
            if number is not None:
                self._before[number] = signal.signal(number, self._handler(action))

    def restore(self) -> None:
        """Restore the earlier handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _handler(self, action: Callable[[], object]) -> Callable[[int, FrameType | None], None]:
        def handle(_number: int, _frame: FrameType | None) -> None:
            self._reactor.callFromThread(action)

        return handle
