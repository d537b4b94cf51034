"""The bounded queue between the chat and one tab; a tab that does not read affects no other tab.

This module does not interpret the lines.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiref.typing import ASGISendCallable

MAX_LINES = 64
"""Maximum queued lines of one tab: more than a screen, and a few seconds of a lively chat."""


class Outbox:
    """Lines queued for one tab; adding a line never waits.

    When MAX_LINES are queued, the oldest line is dropped, and the tab learns how many are missing.
    Closing the connection with 1013 instead would only make the tab reconnect, and a tab that was
    asleep for a while would lose its place. If a tab never reads again, the server's write timeout
    ends its connection.

    Args:
        describe_loss: returns the line that replaces a number of dropped lines.
    """

    def __init__(self, describe_loss: Callable[[int], str]) -> None:
        self._describe_loss = describe_loss
        self._lines: deque[str] = deque()
        self._lost = 0
        self._filled = asyncio.Event()

    def put(self, line: str) -> None:
        """Add a line, which `empty_into` sends later."""
        if len(self._lines) == MAX_LINES:
            self._lines.popleft()
            self._lost += 1
        self._lines.append(line)
        self._filled.set()

    async def empty_into(self, send: ASGISendCallable) -> None:
        """Send lines as they come, each after the server has accepted the previous one.

        It never returns.

        Raises:
            OSError: raised by `send` because the peer is gone.
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
