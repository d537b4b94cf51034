"""A plug-in of Twisted's as a third party writes one: `friendly:PORT`."""

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IPlugin, IStreamServerEndpointStringParser)
class FriendlyParser:
    prefix = "friendly"

    def parseStreamServer(self, reactor, port):
        return TCP4ServerEndpoint(reactor, int(port), interface="127.0.0.1")


friendly = FriendlyParser()
