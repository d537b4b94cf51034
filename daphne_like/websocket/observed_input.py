"""The input of a WebSocket's application that tells an observer of messages.

It is used while somebody listens, so that a message costs nothing otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daphne_like.asgi.queue import MessageQueue

if TYPE_CHECKING:
    from daphne_like.observe.observer import Observer


class ObservedQueue(MessageQueue):
    """The input of an application.

    Attributes:
        observer: is told of messages; None until the events before the first message are queued.
        received: octets of the peer's messages so far.
    """

    observer: Observer | None = None
    received = 0

    def put_sized(self, item: dict[str, Any], size: int) -> None:
        """See MessageQueue; a message that the application cannot receive any more is not told."""
        if self.observer is not None and self._last is None:
            text = item.get("text")
            octets = size if text is None or text.isascii() else len(text.encode())
            self.received += octets
            self.observer.message_received(octets)
        super().put_sized(item, size)
