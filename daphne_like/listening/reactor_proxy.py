"""Stand-ins for the reactor that change how endpoints listen.

Every stream endpoint, third-party ones included, listens through one of the four methods below, so
a change made here applies to every kind of endpoint string and on every reactor.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from zope.interface import directlyProvides, providedBy

TWISTED_BACKLOG = 50
"""The default of Twisted's endpoints, parsers and `listen...` calls (24.7 to 26.10)."""


class ReactorProxy:
    """Base class: delegates to a reactor; subclasses override `listen...` calls.

    Args:
        reactor: the process's reactor or another ReactorProxy.
    """

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reactor, name)

    def listenTCP(
        self, port: int, factory: Any, backlog: int = TWISTED_BACKLOG, interface: str = ""
    ) -> Any:
        return self.reactor.listenTCP(port, factory, backlog=backlog, interface=interface)

    def listenSSL(
        self,
        port: int,
        factory: Any,
        contextFactory: Any,
        backlog: int = TWISTED_BACKLOG,
        interface: str = "",
    ) -> Any:
        """Listen as Twisted's reactors do, but through this object's `listenTCP`."""
        from twisted.protocols.tls import TLSMemoryBIOFactory

        factory = TLSMemoryBIOFactory(contextFactory, False, factory, self.reactor)
        return self.listenTCP(port, factory, backlog=backlog, interface=interface)

    def listenUNIX(
        self,
        address: Any,
        factory: Any,
        backlog: int = TWISTED_BACKLOG,
        mode: int = 0o666,
        wantPID: int = 0,
    ) -> Any:
        return self.reactor.listenUNIX(
            address, factory, backlog=backlog, mode=mode, wantPID=wantPID
        )

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> Any:
        return self.reactor.adoptStreamPort(descriptor, family, factory)


class DefaultBacklog(ReactorProxy):
    """A reactor with a different default backlog from Twisted's.

    Endpoints always pass a backlog, even their default, so Twisted's default counts as not given.
    Use this class only for an endpoint string without a backlog of its own.

    Args:
        reactor: that listens.
        backlog: connections that the kernel completes before anybody accepts them.
    """

    def __init__(self, reactor: Any, backlog: int) -> None:
        super().__init__(reactor)
        self._backlog = backlog

    def _choose_backlog(self, backlog: int) -> int:
        return self._backlog if backlog == TWISTED_BACKLOG else backlog

    def listenTCP(
        self, port: int, factory: Any, backlog: int = TWISTED_BACKLOG, interface: str = ""
    ) -> Any:
        return super().listenTCP(port, factory, self._choose_backlog(backlog), interface)

    def listenUNIX(
        self,
        address: Any,
        factory: Any,
        backlog: int = TWISTED_BACKLOG,
        mode: int = 0o666,
        wantPID: int = 0,
    ) -> Any:
        return super().listenUNIX(address, factory, self._choose_backlog(backlog), mode, wantPID)

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> Any:
        port = super().adoptStreamPort(descriptor, family, factory)
        # A call of its own, because adoptStreamPort takes no backlog. It comes last, because the
        # kernel uses the latest value and an event loop's `create_server` sets one as well.
        with socket.socket(fileno=os.dup(descriptor)) as listening:
            listening.listen(self._backlog)
        return port
