"""The PROXY protocol, versions 1 and 2, in front of an endpoint: `haproxy:` strings.

Its parsers are Twisted's. Not Twisted's are the whole header, however it is cut into reads; whom
it is believed from; how long it may be and take. The protocol is HAProxy's
(https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt): one header in front of all else on
a connection, in front of TLS too.
"""

from __future__ import annotations

import logging
import re
import socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IStreamServerEndpoint

# There are no public names for the parts of Twisted's wrapper (twisted 25.5 to 26.10); this is
# the one place where they are used.
from twisted.protocols.haproxy._exceptions import InvalidProxyHeader
from twisted.protocols.haproxy._info import ProxyInfo
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser
from twisted.protocols.haproxy._wrapper import HAProxyProtocolWrapper
from twisted.protocols.policies import WrappingFactory
from zope.interface import alsoProvides, implementer

from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.https import IReloadable
from daphne_like.listening.reactor_proxy import ReactorProxy
from daphne_like.runtime.trusted_proxies import TrustedProxies
from daphne_like.wording import counted

log = logging.getLogger("daphne_like.server")

refused = logging.getLogger("daphne_like.refused")
"""Bounded in observe/refusals.py."""

SIGNATURE_1 = b"PROXY "
UNKNOWN = b"PROXY UNKNOWN ", b"PROXY UNKNOWN\r\n"
SIGNATURE_2 = V2Parser.PREFIX
LINE_1 = re.compile(
    rb"PROXY TCP[46] [0-9A-Fa-f.:]+ [0-9A-Fa-f.:]+ (?:0|[1-9][0-9]{0,4}) (?:0|[1-9][0-9]{0,4})\r\n"
)
"""2.1: one space between the parts and none behind them, ports in decimal without leading zeros."""
MAX_V1_SIZE = 107
"""The longest line of version 1, with its CRLF (2.1)."""
FIXED_OCTETS_2 = 16
MAX_V2_SIZE = 4096
"""Of a header of version 2: addresses are at most 216; what else there is are the proxy's notes,
the largest of them a client's certificate."""
MAX_WARNED_PEERS = 32
"""Addresses that are warned of; a flood from many more must not fill the log."""


def header_size(octets: bytes) -> int | None:
    """Octets of the header that stands in front, with its end; None as long as it is not whole.

    Args:
        octets: all that has been read of a connection.
    Raises:
        InvalidProxyHeader: this is no header, or a longer one than is taken.
    """
    if octets[:12] == SIGNATURE_2:
        # 2.2: the receiver refuses a version that it does not know.
        if len(octets) > 12 and octets[12] & 0xF0 != 0x20:
            raise InvalidProxyHeader("a version that is neither 1 nor 2")
        if len(octets) < FIXED_OCTETS_2:
            return None
        size = FIXED_OCTETS_2 + int.from_bytes(octets[14:16], "big")
        if size > MAX_V2_SIZE:
            raise InvalidProxyHeader(f"{size} octets, at most {MAX_V2_SIZE} are taken")
        return size if len(octets) >= size else None
    if octets[:6] == SIGNATURE_1:
        end = octets.find(b"\r\n", 0, MAX_V1_SIZE)
        if end < 0 and len(octets) >= MAX_V1_SIZE:
            raise InvalidProxyHeader(f"no end of the line within {MAX_V1_SIZE} octets")
        return end + 2 if end >= 0 else None
    if SIGNATURE_2.startswith(octets) or SIGNATURE_1.startswith(octets):
        return None
    raise InvalidProxyHeader("the connection does not begin with one")


def parse(header: bytes) -> ProxyInfo:
    """Parse a whole header; its addresses are addresses, in their usual spelling.

    Twisted's parser of version 1 accepts any word as an address, whatever `int` reads as a port,
    and anything behind the last port. That of version 2 writes out every zero of an IPv6 address.

    Args:
        header: as `header_size` measured it.
    Returns:
        Without addresses for LOCAL and UNKNOWN (a health check of the proxy itself).
    Raises:
        ValueError, OSError, InvalidProxyHeader: it is not valid.
    """
    if header.startswith(UNKNOWN):
        # 2.1: whatever else stands in the line is ignored. Twisted's parser (26.10) refuses it
        # where nothing else does, and that is what HAProxy sends.
        return ProxyInfo(header, None, None)
    parser = V2Parser if header.startswith(SIGNATURE_2) else V1Parser
    if parser is V1Parser and LINE_1.fullmatch(header) is None:
        raise InvalidProxyHeader("it is not as version 1 spells it")
    info, _ = parser().feed(header)
    assert info is not None  # it is whole
    return ProxyInfo(info.header, checked(info.source), checked(info.destination))


def checked(address: Any) -> Any:
    """A TCP address, checked and spelled as usual; any other one as it is.

    By the C library: the ipaddress module takes as long as all the rest of a header.
    """
    if isinstance(address, IPv4Address):
        family = socket.AF_INET
    elif isinstance(address, IPv6Address):
        family = socket.AF_INET6
    else:
        return address
    host = socket.inet_ntop(family, socket.inet_pton(family, address.host))
    if not 0 <= address.port <= 65535:
        raise ValueError(f"port {address.port}")
    return type(address)(address.type, host, address.port)


class ProxiedConnection(HAProxyProtocolWrapper):
    """A connection that begins with a PROXY header; then it is the wrapped protocol's."""

    factory: ProxiedFactory
    wrappedProtocol: Any  # noqa: N815 # Twisted's name
    transport: Any
    _held = b""
    _deadline: Any = None

    def makeConnection(self, transport: Any) -> None:
        # A timer of its own, not a place on the server's wheel of deadlines: an endpoint knows
        # no server, and this costs once for each connection.
        factory = self.factory
        self._deadline = factory.reactor.callLater(factory.timeout, self._too_late)
        super().makeConnection(transport)  # type: ignore[no-untyped-call] # not typed

    def dataReceived(self, data: bytes) -> None:
        if self._proxyInfo is not None:
            self.wrappedProtocol.dataReceived(data)
        elif not self.disconnecting:
            self._held += data
            self._read_header()

    def _read_header(self) -> None:
        octets = self._held
        try:
            size = header_size(octets)
            if size is None:
                return
            self._proxyInfo = parse(octets[:size])
        except (InvalidProxyHeader, ValueError, OSError) as error:
            self._held = b""
            self._refuse(str(error) or type(error).__name__)
            self.loseConnection()  # type: ignore[no-untyped-call] # not typed
            return
        self._held = b""
        self._disarm()
        if len(octets) > size:
            self.wrappedProtocol.dataReceived(octets[size:])

    def _too_late(self) -> None:
        self._deadline = None
        if not self.disconnecting:
            self._refuse(f"it is not whole after {counted(self.factory.timeout, 'second')}")
        self.transport.abortConnection()

    def _refuse(self, reason: str) -> None:
        peer = self.transport.getPeer()
        client = "a proxy on a UNIX socket"
        if isinstance(peer, IPv4Address | IPv6Address):
            client = f"{peer.host}:{peer.port}"
        refused.info("Refused %s for its %s: %s", client, "PROXY header", reason)

    def _disarm(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def connectionLost(self, reason: Any) -> None:  # type: ignore[override] # as Twisted's wrapper
        self._disarm()
        super().connectionLost(reason)  # type: ignore[no-untyped-call] # not typed


@implementer(IHalfCloseableProtocol)
class HalfCloseableConnection(ProxiedConnection):
    """The same around a protocol that wants to be told of each side's end."""

    def readConnectionLost(self) -> None:
        self.wrappedProtocol.readConnectionLost()

    def writeConnectionLost(self) -> None:
        self.wrappedProtocol.writeConnectionLost()


class ProxiedFactory(WrappingFactory):
    """Lets trusted proxies alone connect, and puts a ProxiedConnection below each protocol.

    Args:
        factory: whose protocols are wrapped.
        proxies: whose header counts.
        timeout: seconds for a whole header.
        reactor: for the deadline.
        endpoint: string, for the log.
    """

    noisy = False

    def __init__(
        self, factory: Any, proxies: TrustedProxies, timeout: float, reactor: Any, endpoint: str
    ) -> None:
        super().__init__(factory)  # type: ignore[no-untyped-call] # not typed
        self.timeout = timeout
        self.reactor = reactor
        self._proxies = proxies
        self._endpoint = endpoint
        self._warned: set[str] = set()

    def buildProtocol(self, addr: Any) -> Any:
        """None, which closes the connection, unless its peer is a trusted proxy."""
        host = getattr(addr, "host", None)
        if not self._proxies.trusts(host):
            self._tell_of(host or "unix")
            return None
        protocol = self.wrappedFactory.buildProtocol(addr)
        if protocol is None:
            return None
        kind: Any = ProxiedConnection
        if IHalfCloseableProtocol.providedBy(protocol):
            kind = HalfCloseableConnection
        return kind(self, protocol)

    def _tell_of(self, peer: str) -> None:
        level = logging.DEBUG
        if peer not in self._warned and len(self._warned) < MAX_WARNED_PEERS:
            self._warned.add(peer)
            level = logging.WARNING
        log.log(
            level,
            "Closed a connection of %s to %s: its PROXY header would not be trusted. If it is a "
            "proxy of yours, name it in --trusted-proxies (now: %s)",
            peer,
            self._endpoint,
            self._proxies.trusted,
        )


class ProxyProtocolReactor(ReactorProxy):
    """A reactor on whose stream ports a PROXY header stands in front of everything, TLS too.

    Args:
        reactor: that listens.
        proxies: whose header counts.
        timeout: seconds for a whole header.
        endpoint: string, for the log.
    Attributes:
        asked: whether anything has listened by it.
    """

    def __init__(
        self, reactor: Any, proxies: TrustedProxies, timeout: float, endpoint: str
    ) -> None:
        super().__init__(reactor)
        self.asked = False
        self._settings = proxies, timeout, reactor, endpoint

    def _wrap(self, factory: Any) -> ProxiedFactory:
        self.asked = True
        return ProxiedFactory(factory, *self._settings)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        return super().listenTCP(port, self._wrap(factory), backlog, interface)

    def listenUNIX(self, address: Any, factory: Any, *args: Any, **how: Any) -> Any:
        return super().listenUNIX(address, self._wrap(factory), *args, **how)

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> Any:
        return super().adoptStreamPort(descriptor, family, self._wrap(factory))


@implementer(IStreamServerEndpoint)
class ProxiedEndpoint:
    """An endpoint that was parsed with a ProxyProtocolReactor; holds it to having listened by it.

    Args:
        endpoint: that listens.
        reactor: that it was given.
    """

    def __init__(self, endpoint: Any, reactor: ProxyProtocolReactor) -> None:
        self._endpoint = endpoint
        self._reactor = reactor
        if IReloadable.providedBy(endpoint):
            alsoProvides(self, IReloadable)
            self.reload = endpoint.reload

    def listen(self, protocolFactory: Any) -> Deferred[Any]:
        """As IStreamServerEndpoint.

        Its Deferred fails with ConfigurationError for an endpoint of a kind that does not listen
        by the reactor that its parser was given: it would serve without any header.
        """
        listening: Deferred[Any] = self._endpoint.listen(protocolFactory)
        return listening.addCallback(self._held_to)

    def _held_to(self, port: Any) -> Any:
        if self._reactor.asked:
            return port
        port.stopListening()
        raise ConfigurationError("haproxy: cannot stand in front of this kind of endpoint")
