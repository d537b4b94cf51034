"""The protocol of a WebSocket that tells an observer of messages.

It is used while somebody listens, so that a message costs nothing otherwise.
"""

from __future__ import annotations

from collections.abc import Awaitable

from daphne_like.websocket.output import OPEN
from daphne_like.websocket.protocol import WebSocketProtocol


class ObservedProtocol(WebSocketProtocol):
    """The protocol; a message is told when it is its turn to be sent.

    Attributes:
        sent: octets of the application's messages so far.
    """

    sent = 0

    def send_message(self, payload: bytes, opcode: int) -> Awaitable[None] | None:
        """See WebSocketOutput."""
        waits = (self._paused or self._senders) and not self._sends_in_turn
        observer = self.context.observer
        if observer is not None and not waits and self.state == OPEN:
            self.sent += len(payload)
            observer.message_sent(len(payload))
        return super().send_message(payload, opcode)
