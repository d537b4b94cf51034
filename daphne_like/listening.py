"""The process's reactor as an endpoint is given it whose listening is to be changed.

Every stream endpoint, whoever wrote it, ends in one of the four calls below: what they change
holds for endpoint strings of third parties, and on every reactor.
"""

from __future__ import annotations

from typing import Any

from zope.interface import directlyProvides, providedBy


class Listening:
    """A reactor whose `listen...` calls a subclass changes; everything else is the reactor's own.

    Args:
        reactor: the process's, or another one of these.
    """

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reactor, name)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        return self.reactor.listenTCP(port, factory, backlog=backlog, interface=interface)

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> Any:
        """As Twisted's reactors have it, but by way of `listenTCP` of this object."""
        from twisted.protocols.tls import TLSMemoryBIOFactory

        factory = TLSMemoryBIOFactory(contextFactory, False, factory, self.reactor)
        return self.listenTCP(port, factory, backlog=backlog, interface=interface)

    def listenUNIX(self, address: Any, factory: Any, **how: Any) -> Any:
        return self.reactor.listenUNIX(address, factory, **how)

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> Any:
        return self.reactor.adoptStreamPort(descriptor, family, factory)
