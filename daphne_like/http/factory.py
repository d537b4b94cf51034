"""The Twisted factory of HTTP connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IProtocolFactory, IProtocolNegotiationFactory
from twisted.internet.protocol import Factory
from zope.interface import implementer

from daphne_like.http.h1 import HTTP1Connection

if TYPE_CHECKING:
    from daphne_like.server import Server


@implementer(IProtocolFactory, IProtocolNegotiationFactory)
class HTTPFactory(Factory):
    """Builds one connection object for each accepted connection.

    Args:
        server: whose application the connections serve.
    """

    noisy = False

    def __init__(self, server: Server) -> None:
        self.server = server

    def acceptableProtocols(self) -> list[bytes]:
        """Protocols that TLS may settle on (RFC 7301); without one Twisted refuses who asks."""
        return [b"http/1.1"]

    def buildProtocol(self, addr: Any) -> Any:
        # Ports of third parties may accept while the application starts.
        return HTTP1Connection(self.server) if self.server.accepting else None
