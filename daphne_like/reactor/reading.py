"""The way into a connection: reading, pausing, the end of the input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet import interfaces

from daphne_like.reactor.writing import WritingSide, discard

if TYPE_CHECKING:
    from daphne_like.reactor.port import NativePortMixin


class ReadingSide(WritingSide):
    """The reading half of ITCPTransport: IPushProducer of the peer's octets.

    `data_received` is an instance attribute that holds the Twisted protocol's `dataReceived`.
    """

    __slots__ = ("_held", "_input_ended", "_paused", "data_received")

    def __init__(self, port: NativePortMixin) -> None:
        super().__init__(port)
        self.data_received: Any = discard
        self._paused = False
        self._input_ended = False
        self._held: list[bytes] | None = None  # b"" stands for the end of the input

    def _start_reading(self) -> None:
        """Take the peer's octets from now on, or hold them if the protocol does not want any.

        uvloop (0.23) and asyncio (3.10) read after `connection_made` even if it has paused
        them: what comes in that one turn is held until the pause can be repeated.
        """
        if self._paused or self.disconnecting:
            self._held = []
            self._bind(self._held.append)
            self._soon(self._pause_again)
        else:
            self._bind(self.protocol.dataReceived)

    def _bind(self, data_received: Any) -> None:
        # The loop has looked `data_received` up already: set_protocol makes it look again.
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
        """Tell the protocol; true if the connection stays, for writing."""
        self._input_ended = True
        protocol = interfaces.IHalfCloseableProtocol(self.protocol, None)
        if protocol is None:
            # As Twisted's transports: the end of the input ends the connection, what could
            # not be written yet is dropped.
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
        """Hand on what was held, as far as the protocol wants it."""
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
