"""The event loop's transport, presented to a Twisted protocol as ITCPTransport."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any

from twisted.internet import error, interfaces
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from daphne_like.reactor.port import AcceptsNatively

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def discard(_: object) -> None:
    """Stands for `write` and `data_received` when nobody is there any more."""


@implementer(interfaces.ITCPTransport, interfaces.IConsumer, interfaces.IPushProducer)
class NativeTransport:
    """One accepted connection: an asyncio protocol towards the loop, ITCPTransport to Twisted.

    `data_received` and `write` are instance attributes that hold the Twisted protocol's
    `dataReceived` and the loop's transport's `write`: no code of ours runs per read or write.

    Args:
        port: the listening port, for its factory, reactor and addresses.
    """

    # The loop looks data_received up on every set_protocol; slots keep an idle connection small.
    __slots__ = (
        "__weakref__",
        "_aborted",
        "_backlog",
        "_half_closing",
        "_paused",
        "_pending",
        "_producer",
        "_streaming",
        "_transport",
        "connected",
        "data_received",
        "disconnected",
        "disconnecting",
        "port",
        "protocol",
        "write",
    )

    protocol: Any
    data_received: Any
    write: Any

    def __init__(self, port: AcceptsNatively) -> None:
        self.port = port
        self.protocol = None
        self.data_received = discard
        self.write = discard
        self.connected = False
        self.disconnecting = False
        self.disconnected = False
        self._transport: Any = None
        self._producer: Any = None
        self._streaming = False
        self._backlog = False  # the loop holds more than its high-water mark of our octets
        self._aborted = False
        self._half_closing = False
        self._paused = False
        self._pending: list[bytes] | None = None

    # What the event loop calls.

    def connection_made(self, transport: Any) -> None:
        port = self.port
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if peer is None:  # gone before it was accepted
            transport.abort()
            return
        try:
            protocol = port.factory.buildProtocol(port.build_address(peer))
        except BaseException:
            log.err(None, "buildProtocol failed")
            transport.abort()
            return
        if protocol is None:
            transport.abort()
            return
        self.protocol = protocol
        self.connected = True
        self.write = transport.write
        self._pending = []
        self._guard(protocol.makeConnection, self)
        self._pending, pending = None, self._pending
        if self._paused:
            # Loops start reading after connection_made whatever it asked for: hold what comes
            # in the one turn until the pause can be repeated.
            self._pending = pending
            self._bind(self._hold)
            port.reactor.loop.call_soon(self._pause_again)
        else:
            self._bind(protocol.dataReceived)

    def _bind(self, data_received: Any) -> None:
        # The loop has looked `data_received` up already: set_protocol makes it look again.
        self.data_received = data_received
        self._transport.set_protocol(self)

    def _hold(self, data: bytes) -> None:
        assert self._pending is not None
        self._pending.append(data)

    def _pause_again(self) -> None:
        if self._paused and not self.disconnecting:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        protocol = self.protocol
        if interfaces.IHalfCloseableProtocol.providedBy(protocol):
            self._guard(protocol.readConnectionLost)
            return True
        # As Twisted's transports: the end of the input ends the connection, what could not
        # be written yet is dropped.
        self._transport.abort()
        return False

    def connection_lost(self, exception: BaseException | None) -> None:
        if not self.connected:
            return
        self.connected = False
        self.disconnected = True
        self.write = self.data_received = discard
        if self._producer is not None:
            producer, self._producer = self._producer, None
            self._guard(producer.stopProducing)
        protocol, self.protocol = self.protocol, None
        self._guard(protocol.connectionLost, Failure(self._reason(exception)))

    def _reason(self, exception: BaseException | None) -> Exception:
        if self._aborted:
            return error.ConnectionAborted()
        if exception is None:
            return error.ConnectionDone()
        return error.ConnectionLost(str(exception))

    def pause_writing(self) -> None:
        self._backlog = True
        if self._producer is not None and self._streaming:
            self._guard(self._producer.pauseProducing)

    def resume_writing(self) -> None:
        self._backlog = False
        if self._half_closing:
            self._write_side_closed()
        elif self._producer is not None:
            if self._streaming:
                self._guard(self._producer.resumeProducing)
            else:
                self._pull()

    def _guard(self, callable_: Any, *args: Any) -> None:
        """Call into foreign code; an exception ends this connection, as Twisted's does."""
        try:
            callable_(*args)
        except Exception:  # noqa: BLE001
            log.err(None, "Unhandled Error in a protocol")
            if self.connected:
                self._transport.abort()

    # ITransport and ITCPTransport.

    def writeSequence(self, iovec: Any) -> None:
        if self.write is not discard:
            self._transport.writelines(iovec)

    def loseConnection(self, _reason: object = None) -> None:
        if not self.connected or self.disconnecting:
            return
        self.disconnecting = True
        if self._producer is None:
            self._transport.close()
        else:  # the producer may still finish; Twisted's transports read no more either
            self._transport.pause_reading()

    def abortConnection(self) -> None:
        if not self.connected or self._aborted:
            return
        self.disconnecting = self._aborted = True
        self.write = discard
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.family != getattr(socket, "AF_UNIX", None):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._transport.abort()

    def loseWriteConnection(self) -> None:
        if not self.connected or self.disconnecting or self.write is discard:
            return
        self.write = discard
        self._transport.write_eof()
        self._half_closing = True
        if self._transport.get_write_buffer_size() == 0:
            self.port.reactor.loop.call_soon(self._write_side_closed)
        else:
            self._transport.set_write_buffer_limits(0)

    def _write_side_closed(self) -> None:
        if self._half_closing and self.connected:
            self._half_closing = False
            protocol = interfaces.IHalfCloseableProtocol(self.protocol, None)
            if protocol is not None:
                self._guard(protocol.writeConnectionLost)

    def getPeer(self) -> Any:
        return self.port.build_address(self._transport.get_extra_info("peername"))

    def getHost(self) -> Any:
        return self.port.build_address(self._transport.get_extra_info("sockname"))

    def getHandle(self) -> Any:
        """The socket, as far as the event loop shares it: options and addresses, no I/O."""
        return self._transport.get_extra_info("socket")

    def getTcpNoDelay(self) -> bool:
        return self._is_tcp() and bool(
            self.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        )

    def setTcpNoDelay(self, enabled: bool) -> None:
        if self._is_tcp():
            self.getHandle().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(enabled))

    def getTcpKeepAlive(self) -> bool:
        return bool(self.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(enabled))

    def _is_tcp(self) -> bool:
        return self.getHandle().family != getattr(socket, "AF_UNIX", None)

    # IConsumer.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError(
                f"Cannot register producer {producer}, because producer {self._producer} "
                "was never unregistered."
            )
        if self.disconnected:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        if not streaming:
            self._pull()
        elif self._backlog:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        self._producer = None
        if self.connected and self.disconnecting:
            self._transport.close()

    def _pull(self) -> None:
        """Ask a pull producer for more whenever everything written so far is out."""
        if self._producer is None or self._streaming or not self.connected:
            return
        if self._transport.get_write_buffer_size():
            self._transport.set_write_buffer_limits(0)  # resume_writing when empty
            return
        self._guard(self._producer.resumeProducing)
        self.port.reactor.loop.call_soon(self._pull)

    # IPushProducer: the peer's octets.

    def pauseProducing(self) -> None:
        self._paused = True
        if self.connected and not self.disconnecting:
            self._transport.pause_reading()

    def resumeProducing(self) -> None:
        self._paused = False
        if not self.connected or self.disconnecting:
            return
        if self._pending is not None and self.data_received == self._hold:
            pending, self._pending = self._pending, None
            self._bind(self.protocol.dataReceived)
            for data in pending:
                self.data_received(data)
        if self.connected and not self._paused:
            self._transport.resume_reading()

    def stopProducing(self) -> None:
        self.loseConnection()


