"""The reading side of a connection: reading, pausing, the end of the input."""

from __future__ import annotations

from typing import Any

from twisted.internet import interfaces

from daphne_like.reactor.handle import AcceptingPort
from daphne_like.reactor.writing import WritingSide, discard


class ReadingSide(WritingSide):
    """The reading half of ITCPTransport: an IPushProducer of the peer's octets.

    `data_received` is an instance attribute that holds the Twisted protocol's `dataReceived`.
    """

    __slots__ = ("_held", "_input_ended", "_paused", "data_received")

    def __init__(self, port: AcceptingPort) -> None:
        super().__init__(port)
        self.data_received: Any = discard
        self._paused = False
        self._input_ended = False
        self._held: list[bytes] | None = None  # b"" stands for the end of the input

    def _start_reading(self) -> None:
        """Begin to read, or hold the input if the protocol has paused its transport.

        uvloop (0.23) and asyncio (3.10) read once after `connection_made` even if it has paused
        the transport. Input of that turn is held, and the pause is repeated in the next turn.
        """
        if self._paused or self.disconnecting:
            self._held = []
            self._bind(self._held.append)
            self._soon(self._pause_again)
        else:
            self._bind(self.protocol.dataReceived)

    def _bind(self, data_received: Any) -> None:
        # The loop has already looked `data_received` up; set_protocol makes it look again.
        self.data_received = data_received
        self._transport.set_protocol(self)

    def _pause_again(self) -> None:
        if self.connected and (self._paused or self.disconnecting):
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        if self._held is not None:
            self._held.append(b"")
            return True
        return self._end_of_input()

    def _end_of_input(self) -> bool:
        """Inform the protocol; return True if the connection stays open for writing."""
        self._input_ended = True
        protocol = interfaces.IHalfCloseableProtocol(self.protocol, None)
        if protocol is None:
            # As in Twisted's transports: the end of the input ends the connection, and octets that
            # could not be written yet are dropped.
            self._transport.abort()
            return False
        self._guard(protocol.readConnectionLost)
        return True

    # IPushProducer: the peer's octets.

    def pauseProducing(self) -> None:
        self._paused = True
        if self.connected and not self.disconnecting:
            self._transport.pause_reading()

    def resumeProducing(self) -> None:
        self._paused = False
        if not self.connected or self.disconnecting or self._input_ended:
            return
        if self._held is not None:
            self._soon(self._release)
        else:
            self._transport.resume_reading()

    def stopProducing(self) -> None:
        self.loseConnection()

    def _release(self) -> None:
        """Deliver the held input until the protocol pauses its transport."""
        while self._held and not self._paused and self.connected and not self.disconnecting:
            data = self._held.pop(0)
            if data:
                self._guard(self.protocol.dataReceived, data)
            else:
                self._end_of_input()
        if self._held or self._paused or not self.connected or self.disconnecting:
            return
        if self._held is not None:
            self._held = None
            self._bind(self.protocol.dataReceived)
        if not self._input_ended:
            self._transport.resume_reading()
