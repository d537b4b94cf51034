"""The bounded queue between the chat and one tab, so that a tab that does not read hurts no other.

What is in the lines is not known here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiref.typing import ASGISendCallable

MAX_LINES = 64
"""What one tab may be behind: more than a screen of chat, and a few seconds of a lively one."""


class Outbox:
    """Lines on their way to one tab; putting one in never waits.

    When the tab is MAX_LINES behind, the oldest line goes, and the tab is told how many went.
    Closing instead, with 1013, would only make the tab come back and be greeted, and a tab that
    merely slept for a while loses its place. One that never reads again is ended by the server,
    whose deadline for writing it is.

    Args:
        describe_loss: writes the line that stands where so many lines are missing.
    """

    def __init__(self, describe_loss: Callable[[int], str]) -> None:
        self._describe_loss = describe_loss
        self._lines: deque[str] = deque()
        self._lost = 0
        self._filled = asyncio.Event()

    def put(self, line: str) -> None:
        """Add a line; it goes out when `empty_into` comes to it."""
        if len(self._lines) == MAX_LINES:
            self._lines.popleft()
            self._lost += 1
        self._lines.append(line)
        self._filled.set()

    async def empty_into(self, send: ASGISendCallable) -> None:
        """Send lines as they come, each when the server has taken the one before; never returns.

        Raises:
            OSError: the server says out of `send` that the peer is gone.
        """
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._lines:
                await send({"type": "websocket.send", "text": self._next(), "bytes": None})

    def _next(self) -> str:
        if self._lost == 0:
            return self._lines.popleft()
        lost, self._lost = self._lost, 0
        return self._describe_loss(lost)
