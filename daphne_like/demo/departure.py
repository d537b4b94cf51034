"""Notices that the peer is gone while the demo streams or waits.

What to do about it is the caller's business.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from asgiref.typing import ASGIReceiveCallable


class Departure:
    """An asynchronous context in which `receive` is watched for http.disconnect.

    The watch is one task. It ends with the context, whichever way that is left, so nothing is
    leaked. A request body that arrives meanwhile is read and dropped.

    Args:
        receive: the connection's `receive`; nobody else may call it inside the context.
    """

    def __init__(self, receive: ASGIReceiveCallable) -> None:
        self._receive = receive

    async def __aenter__(self) -> Departure:
        """Begin the watch."""
        self._watch = asyncio.create_task(self._watch_for_disconnect())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the watch, and wait until it has ended.

        Raises:
            Exception: what `receive` raised, unless the context is left by another exception.
        """
        self._watch.cancel()
        await asyncio.wait({self._watch})
        if not self._watch.cancelled() and error is None:
            self._watch.result()

    async def within(self, seconds: float) -> bool:
        """Wait, and tell whether the peer left.

        Args:
            seconds: how long to wait at most; zero or less only looks.

        Returns:
            True as soon as the peer has left, False once the time is over.
        """
        await asyncio.wait({self._watch}, timeout=max(seconds, 0.0))
        return self._watch.done()

    async def _watch_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
