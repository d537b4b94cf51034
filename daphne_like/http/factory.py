"""The Twisted factory of HTTP connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory
from zope.interface import implementer

from daphne_like.http.h1 import HTTP1Connection

if TYPE_CHECKING:
    from daphne_like.server import Server


@implementer(IProtocolFactory)
class HTTPFactory(Factory):
    """Builds one connection object for each accepted connection.

    Args:
        server: whose application the connections serve.
    """

    noisy = False

    def __init__(self, server: Server) -> None:
        self.server = server

    def buildProtocol(self, addr: Any) -> Any:
        return HTTP1Connection(self.server)
