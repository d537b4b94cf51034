"""The factory of TLS connections; it also checks for changed certificates and slow handshakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.internet.protocol import Factory
from zope.interface import implementer

from daphne_like.tls.connection import SecureConnection
from daphne_like.transport_interfaces import IHandshakes, ITellsObserver

if TYPE_CHECKING:
    from daphne_like.tls.certificates import Certificates

CHECK_INTERVAL_SECONDS = 1.0
"""Time between two checks of the certificates' files and of the handshakes' deadlines."""


@implementer(IHandshakes)
class SecureFactory(Factory):
    """Builds a TLS connection for each accepted one, with another factory's protocol above it.

    Args:
        certificates: provide the context of each new connection.
        wrapped: builds the protocols above the TLS connections.
        handshake_timeout: seconds for the whole handshake.
        clock: IReactorTime.

    Attributes:
        handshaking: connections whose handshake is not complete, with their deadlines; sorted by
            deadline, because all have the same timeout. They continue after the port has closed.
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
        self._check_call: Any = None
        self._listens = False
        self._observer = ITellsObserver(wrapped, None)
        if IProtocolNegotiationFactory.providedBy(wrapped):
            certificates.offer(wrapped.acceptableProtocols())

    def startFactory(self) -> None:
        self.wrapped.doStart()
        self._listens = True
        if self._check_call is None:
            self._check_call = self.clock.callLater(CHECK_INTERVAL_SECONDS, self._check)

    def stopFactory(self) -> None:
        self._listens = False
        self._stop_checking()
        self.wrapped.doStop()

    def abort_handshakes(self) -> None:
        """See IHandshakes."""
        for connection in list(self.handshaking):
            connection.abortConnection()
        self.handshaking.clear()
        self._stop_checking()

    def handshake_over(self, connection: SecureConnection, failure: str = "") -> None:
        """Forget a connection whose handshake is complete, or that is lost."""
        due = self.handshaking.pop(connection, None)
        self._stop_checking()
        if due is None or self._observer is None:
            return
        if failure:
            self._observer.handshake_failed(failure)
        else:
            self._observer.handshake_ended(self.clock.seconds() - (due - self.handshake_timeout))

    def _stop_checking(self) -> None:
        """Stop the periodic check once the port is closed and every handshake is over."""
        if self._check_call is not None and not self._listens and not self.handshaking:
            self._check_call.cancel()
            self._check_call = None

    def _check(self) -> None:
        self._check_call = self.clock.callLater(CHECK_INTERVAL_SECONDS, self._check)
        if self._listens:
            self.certificates.reload_if_changed()
        now = self.clock.seconds()
        for connection, due in list(self.handshaking.items()):
            if due > now:
                break
            connection.handshake_too_slow()

    def handshake_begins(self, connection: SecureConnection) -> None:
        """Add a new connection; it is aborted at the first check after its deadline."""
        # No timer for each connection: setting and cancelling a timer took longer than all the
        # rest of this class (measured).
        self.handshaking[connection] = self.clock.seconds() + self.handshake_timeout

    def buildProtocol(self, addr: Any) -> Any:
        return SecureConnection(self, addr)
