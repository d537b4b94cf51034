"""STARTTLS: inserts Twisted's TLS between an open connection and its protocol."""

from __future__ import annotations

import errno
from typing import Any, cast

from twisted.internet.interfaces import IHandshakeListener, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer

from daphne_like.reactor.transport import NativeTransport
from daphne_like.reactor.writing import discard


@implementer(ISSLTransport)
class SecuredTransport(NativeTransport):
    """A NativeTransport after startTLS: everything goes through TLS.

    It is the same object as before, so nobody who has a reference can still write plain text. The
    loop's transport belongs to another NativeTransport, below the TLS layer.

    `_transport` is the TLS layer, an ITransport.
    """

    __slots__ = ()

    def send_file(self, descriptor: int, offset: int, count: int) -> int | None:
        """Refuse: callers must test for ISSLTransport before they use ISendfileTransport."""
        raise OSError(errno.EOPNOTSUPP, "a file would go past the TLS layer")

    def writeSequence(self, iovec: Any) -> None:
        self.write(b"".join(iovec))

    def loseConnection(self, _reason: object = None) -> None:
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self._transport.loseConnection()

    def abortConnection(self) -> None:
        if self.connected:
            self.disconnecting = True
            self._below().abortConnection()

    def loseWriteConnection(self) -> None:
        if self.connected:
            self._below().loseWriteConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self.disconnected:
            producer.stopProducing()
        else:
            self._transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        if self.connected:
            self._transport.unregisterProducer()

    def pauseProducing(self) -> None:
        if self.connected:
            self._below().pauseProducing()

    def resumeProducing(self) -> None:
        if self.connected:
            self._below().resumeProducing()

    def getHost(self) -> Any:
        return self._below().getHost()

    def getHandle(self) -> Any:
        """Return the OpenSSL connection (ISSLTransport)."""
        return self._transport.getHandle()

    def getPeerCertificate(self) -> Any:
        return self._transport.getPeerCertificate()

    def _below(self) -> Any:
        """Return the NativeTransport below the TLS layer; valid while connected."""
        return self._transport.transport

    def _socket(self) -> Any:
        return self._below().getHandle()


class Upgraded(Protocol):
    """Connects the TLS layer to a protocol that already has its transport.

    Args:
        transport: the protocol's transport; it is marked as disconnected at the end.
    """

    def __init__(self, transport: NativeTransport) -> None:
        self._plain = transport
        protocol = transport.protocol
        self.dataReceived = protocol.dataReceived  # type: ignore[method-assign] # no wrapper per read
        if IHandshakeListener.providedBy(protocol):
            directlyProvides(self, IHandshakeListener)
            self.handshakeCompleted = protocol.handshakeCompleted

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        plain = self._plain
        plain.connected = False
        plain.disconnected = True
        plain.write = discard
        protocol, plain.protocol = plain.protocol, None
        del self.dataReceived
        protocol.connectionLost(reason)


def start_tls(transport: NativeTransport, context_factory: Any, *, is_client: bool) -> None:
    """Begin a TLS handshake on a connection, which keeps its protocol and its transport.

    Earlier writes are sent in plain text, before the handshake.

    Args:
        transport: a transport that is connected and not closing.
        context_factory: the context factory for TLSMemoryBIOFactory.
        is_client: True if this side sends the ClientHello.
    """
    producer, streaming = transport._producer, transport._streaming
    if producer is not None:
        transport.unregisterProducer()

    below = NativeTransport(transport.port)
    below._transport = transport._transport
    below._peer = transport._peer
    below._paused = transport._paused
    below.connected = True
    below.write = transport.write

    # No wrapped factory, as in Twisted's own startTLS, because the protocol exists already.
    clock, nothing = cast(Any, transport.port.reactor), cast(Any, None)
    factory = TLSMemoryBIOFactory(context_factory, is_client, nothing, clock)
    layer: Any = factory.protocol(factory, Upgraded(transport))
    below.protocol = layer
    transport.__class__ = SecuredTransport
    transport._transport = layer
    transport.write = layer.write
    below._start_reading()
    layer.makeConnection(below)
    if producer is not None:
        transport.registerProducer(producer, streaming)
