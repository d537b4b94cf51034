"""The event loop's transport, presented to a Twisted protocol as ITCPTransport."""

from __future__ import annotations

from typing import Any

from twisted.internet import error, interfaces
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

from daphne_like.reactor.files import SendfileTransport, can_send
from daphne_like.reactor.writing import discard
from daphne_like.transport_interfaces import IMemoryviewTransport, ISendfileTransport

# Created once, as in Twisted: creating a Failure takes longer than the rest of most closes.
DONE = Failure(error.ConnectionDone())
ABORTED = Failure(error.ConnectionAborted())

SENDFILE_INTERFACES = (ISendfileTransport,) if can_send else ()


@implementer(
    interfaces.ITLSTransport,
    interfaces.ISystemHandle,
    interfaces.IConsumer,
    interfaces.IPushProducer,
    IMemoryviewTransport,
    *SENDFILE_INTERFACES,
)
class NativeTransport(SendfileTransport):
    """One accepted connection: an asyncio protocol to the loop, an ITCPTransport to Twisted.

    `data_received` is the Twisted protocol's `dataReceived`, and `write` is the `write` of the
    loop's transport, so this class runs no code for a read or a write.
    """

    __slots__ = ()

    # Called by the event loop.

    def connection_made(self, transport: Any) -> None:
        port = self.port
        self._transport = transport
        peername = transport.get_extra_info("peername")
        # The peer or the port was gone before the connection was accepted.
        if peername is None or not port.connected:
            transport.abort()
            return
        port.accepted()
        self._peer = port.build_address(peername)
        try:
            protocol = port.factory.buildProtocol(self._peer)
        except Exception:  # noqa: BLE001
            log.err(None, "buildProtocol failed")
            protocol = None
        if protocol is None:
            transport.abort()
            return
        self.protocol = protocol
        self.connected = True
        self.write = transport.write
        self._guard(protocol.makeConnection, self)
        self._start_reading()

    def connection_lost(self, exception: BaseException | None) -> None:
        super().connection_lost(exception)
        if not self.connected:
            return
        self.connected = False
        self.disconnected = True
        self.write = self.data_received = discard
        self._held = None
        if self._producer is not None:
            producer, self._producer = self._producer, None
            self._guard(producer.stopProducing)
        protocol, self.protocol = self.protocol, None
        self._guard(protocol.connectionLost, self._reason(exception))

    def _reason(self, exception: BaseException | None) -> Failure:
        failure, self._failure = self._failure, None
        if failure is not None:
            return failure
        if self._aborted:
            return ABORTED
        if exception is None:
            return DONE
        if raised_by_protocol(exception):
            log.err(failure := Failure(exception), "Unhandled error in a protocol")
            return failure
        return Failure(error.ConnectionLost(str(exception)))

    # ITLSTransport.

    def startTLS(self, contextFactory: Any, normal: bool = True) -> None:
        from daphne_like.reactor.tls import start_tls

        start_tls(self, contextFactory, is_client=not normal)


def raised_by_protocol(exception: BaseException) -> bool:
    """Tell whether `dataReceived` raised an exception that the loop reports as the socket's.

    The loop reports both in the same way. A socket's error is an OSError raised in the loop itself.
    """
    if not isinstance(exception, OSError):
        return True
    module = ""
    trace = exception.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        trace = trace.tb_next
    return module != "" and module.partition(".")[0] not in ("asyncio", "uvloop")
