"""Detects that the peer is gone while the demo streams or waits.

The reaction is up to the caller.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from asgiref.typing import ASGIReceiveCallable


class Departure:
    """An asynchronous context manager that watches `receive` for http.disconnect.

    One task watches. It always ends with the context, so no task is leaked. A request body
    that arrives meanwhile is read and dropped.

    Args:
        receive: the connection's `receive`; no other code may call it inside the context.
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
        """End the watch and wait for its end.

        Raises:
            Exception: the exception of `receive`, unless another exception leaves the context.
        """
        self._watch.cancel()
        await asyncio.wait({self._watch})
        if not self._watch.cancelled() and error is None:
            self._watch.result()

    async def within(self, seconds: float) -> bool:
        """Wait, and return whether the peer left.

        Args:
            seconds: maximum wait; zero or less only checks.

        Returns:
            True as soon as the peer has left, False when the time is over.
        """
        await asyncio.wait({self._watch}, timeout=max(seconds, 0.0))
        return self._watch.done()

    async def _watch_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
