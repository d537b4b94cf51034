"""The Twisted factory of HTTP connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IProtocolFactory, IProtocolNegotiationFactory
from twisted.internet.protocol import Factory
from zope.interface import implementer

from daphne_like.http.h1.connection import HTTP1Connection
from daphne_like.http.h2.connection import HTTP2Connection
from daphne_like.observe.wire import ShownProtocol, shows_octets
from daphne_like.transport_interfaces import ITellsObserver

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext


@implementer(IProtocolFactory, IProtocolNegotiationFactory, ITellsObserver)
class HTTPFactory(Factory):
    """Builds one connection object for each accepted connection.

    Args:
        context: provides the application and the options.
    """

    noisy = False

    def __init__(self, context: ServerContext) -> None:
        self.context = context
        context.http2 = HTTP2Connection
        self._http2_alone = context.options.http == "2"

    def acceptableProtocols(self) -> list[bytes]:
        """Return the protocols offered by ALPN (RFC 7301).

        With an empty list Twisted would refuse clients that use ALPN.
        """
        return {"auto": [b"h2", b"http/1.1"], "1": [b"http/1.1"], "2": [b"h2"]}[
            self.context.options.http
        ]

    def handshake_ended(self, seconds: float) -> None:
        """See ITellsObserver."""
        if self.context.observer is not None:
            self.context.observer.handshake_ended(seconds)

    def handshake_failed(self, reason: str) -> None:
        """See ITellsObserver."""
        if self.context.observer is not None:
            self.context.observer.handshake_failed(reason)

    def refused(self, reason: str) -> None:
        """See ITellsObserver."""
        self.context.tell_refused(reason)

    def buildProtocol(self, addr: Any) -> Any:
        # Foreign ports may accept connections while the application starts.
        if not self.context.accepting:
            return None
        # HTTP1Connection detects the connection preface of HTTP/2.
        protocol: Any = (HTTP2Connection if self._http2_alone else HTTP1Connection)(self.context)
        return ShownProtocol(protocol) if shows_octets() else protocol
