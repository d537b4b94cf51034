"""The factory of TLS connections, and the look for changed certificates while it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.internet.protocol import Factory
from zope.interface import implementer

from daphne_like.tls.connection import SecureConnection
from daphne_like.transport_interfaces import IHandshakes

if TYPE_CHECKING:
    from daphne_like.tls.certificates import Certificates

LOOK_SECONDS = 1.0
"""Between two looks at the certificates' files, and at handshakes that take too long."""


@implementer(IHandshakes)
class SecureFactory(Factory):
    """Builds a TLS connection for each accepted one, with another factory's protocol above it.

    Args:
        certificates: give the context of each new connection.
        wrapped: builds the protocols above.
        handshake_timeout: seconds, for the whole handshake.
        clock: IReactorTime.

    Attributes:
        handshaking: connections that have no protocol yet, and until when they may take for it;
            in order, as all have the same time. When the port closes they go on.
    """

    noisy = False

    def __init__(
        self, certificates: Certificates, wrapped: Any, handshake_timeout: float, clock: Any
    ) -> None:
        self.certificates = certificates
        self.wrapped = wrapped
        self.handshake_timeout = handshake_timeout
        self.clock = clock
        self.handshaking: dict[SecureConnection, float] = {}
        self._look: Any = None
        self._listens = False
        if IProtocolNegotiationFactory.providedBy(wrapped):
            certificates.offer(wrapped.acceptableProtocols())

    def startFactory(self) -> None:
        self.wrapped.doStart()
        self._listens = True
        if self._look is None:
            self._look = self.clock.callLater(LOOK_SECONDS, self._look_around)

    def stopFactory(self) -> None:
        self._listens = False
        self._stop_looking()
        self.wrapped.doStop()

    def abort_handshakes(self) -> None:
        """See IHandshakes."""
        for connection in list(self.handshaking):
            connection.abortConnection()
        self.handshaking.clear()
        self._stop_looking()

    def handshake_over(self, connection: SecureConnection) -> None:
        """The connection has its protocol, or is lost."""
        self.handshaking.pop(connection, None)
        self._stop_looking()

    def _stop_looking(self) -> None:
        """Nothing is left to look at once the port is closed and every handshake is over."""
        if self._look is not None and not self._listens and not self.handshaking:
            self._look.cancel()
            self._look = None

    def _look_around(self) -> None:
        self._look = self.clock.callLater(LOOK_SECONDS, self._look_around)
        if self._listens:
            self.certificates.reload_if_changed()
        now = self.clock.seconds()
        for connection, due in list(self.handshaking.items()):
            if due > now:
                break
            connection.handshake_too_slow()

    def handshake_begins(self, connection: SecureConnection) -> None:
        """A new connection; it is cut at the first look after its time."""
        # No timer for each: setting and cancelling one took longer than all else here (measured).
        self.handshaking[connection] = self.clock.seconds() + self.handshake_timeout

    def buildProtocol(self, addr: Any) -> Any:
        return SecureConnection(self, addr)

    def name(self, connection: SecureConnection) -> str:
        """A peer, for the log."""
        peer = connection.getPeer()
        if isinstance(peer, IPv4Address | IPv6Address):
            return f"{peer.host}:{peer.port}"
        return "a client on a UNIX socket"
