"""The PROXY protocol, versions 1 and 2, for any endpoint: `haproxy:` strings.

Twisted's parsers read the header. This module adds three things: it reassembles a header that
arrives in pieces, accepts it only from trusted proxies, and limits its length and its time. The
protocol is HAProxy's (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt): one header
precedes everything else on a connection, TLS included.
"""

from __future__ import annotations

import logging
import re
import socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IStreamServerEndpoint

# The parts of Twisted's wrapper (twisted 25.5 to 26.10) have no public names; only this module
# uses them.
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
from daphne_like.observe.connection_log import label, label_address
from daphne_like.runtime.trusted_proxies import TrustedProxies
from daphne_like.transport_interfaces import ITellsObserver
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
"""2.1: one space between the parts and none after them; decimal ports without leading zeros."""
MAX_V1_SIZE = 107
"""Maximum length of a version 1 line, with its CRLF (2.1)."""
FIXED_OCTETS_2 = 16
MAX_V2_SIZE = 4096
"""Maximum octets of a version 2 header. Addresses take at most 216; the rest are extensions that
the proxy adds, and the largest of these is a client's certificate."""
MAX_WARNED_PEERS = 32
"""Maximum addresses that get a warning, so that a flood from many addresses cannot fill the log."""


def header_size(octets: bytes) -> int | None:
    """Return the header's length, including its end; None while the header is incomplete.

    Args:
        octets: all octets read from the connection.
    Raises:
        InvalidProxyHeader: the octets are not a header, or the header is too long.
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
    """Parse a complete header; validate its addresses and normalize their spelling.

    Twisted's version 1 parser accepts any word as an address, any text that `int` accepts as a
    port, and anything after the last port. Its version 2 parser writes out every zero of an IPv6
    address.

    Args:
        header: the octets that `header_size` measured.
    Returns:
        The header's addresses; none for LOCAL and UNKNOWN (a health check of the proxy itself).
    Raises:
        ValueError, OSError, InvalidProxyHeader: the header is invalid.
    """
    if header.startswith(UNKNOWN):
        # 2.1: the rest of the line is ignored. Twisted's parser (26.10) refuses the line when
        # nothing follows UNKNOWN, and HAProxy sends exactly that.
        return ProxyInfo(header, None, None)
    parser = V2Parser if header.startswith(SIGNATURE_2) else V1Parser
    if parser is V1Parser and LINE_1.fullmatch(header) is None:
        raise InvalidProxyHeader("it is not as version 1 spells it")
    info, _ = parser().feed(header)
    assert info is not None  # the header is complete
    return ProxyInfo(info.header, checked(info.source), checked(info.destination))


def checked(address: Any) -> Any:
    """Return a TCP address, validated and in its usual spelling; any other address unchanged.

    The C library does the work, because the ipaddress module takes as long as the rest of the
    header.
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
    """A connection that begins with a PROXY header; the rest goes to the wrapped protocol."""

    factory: ProxiedFactory
    wrappedProtocol: Any  # noqa: N815 # Twisted's name
    transport: Any
    _held = b""
    _deadline: Any = None

    def makeConnection(self, transport: Any) -> None:
        # A timer of its own instead of an entry on the server's timer wheel: an endpoint does not
        # know the server, and the cost arises once per connection.
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
        # The header, which may name a client, is not believed: the peer is the proxy.
        proxy = label(self.transport)
        refused.info("%s Refused for its %s: %s", proxy, "PROXY header", reason)
        self.factory.tell_refused()

    def _disarm(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def connectionLost(self, reason: Any) -> None:  # type: ignore[override] # as Twisted's wrapper
        self._disarm()
        super().connectionLost(reason)  # type: ignore[no-untyped-call] # not typed


@implementer(IHalfCloseableProtocol)
class HalfCloseableConnection(ProxiedConnection):
    """A ProxiedConnection around a protocol that handles half-closed connections."""

    def readConnectionLost(self) -> None:
        self.wrappedProtocol.readConnectionLost()

    def writeConnectionLost(self) -> None:
        self.wrappedProtocol.writeConnectionLost()


class ProxiedFactory(WrappingFactory):
    """Accepts connections from trusted proxies only, and wraps each protocol.

    Args:
        factory: factory of the wrapped protocols.
        proxies: proxies whose header is trusted.
        timeout: seconds until the header must be complete.
        reactor: schedules the timeout.
        endpoint: endpoint string, for the log.
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
        """Build a protocol for a trusted proxy; otherwise return None to close the connection."""
        host = getattr(addr, "host", None)
        if not self._proxies.trusts(host):
            self._log_untrusted(addr, host or "unix")
            return None
        protocol = self.wrappedFactory.buildProtocol(addr)
        if protocol is None:
            return None
        kind: Any = ProxiedConnection
        if IHalfCloseableProtocol.providedBy(protocol):
            kind = HalfCloseableConnection
        return kind(self, protocol)

    def tell_refused(self) -> None:
        """Tell the server's observer that a header was refused."""
        inner: Any = self.wrappedFactory
        # Below TLS of this package, the server's factory is one layer further.
        server = ITellsObserver(getattr(inner, "wrapped", inner), None)
        if server is not None:
            server.refused("invalid_proxy_header")

    def _log_untrusted(self, address: Any, peer: str) -> None:
        level = logging.DEBUG
        if peer not in self._warned and len(self._warned) < MAX_WARNED_PEERS:
            self._warned.add(peer)
            level = logging.WARNING
        if not log.isEnabledFor(level):
            return
        log.log(
            level,
            "%s Closed the connection to %s: its PROXY header would not be trusted. If the peer is "
            "a proxy of yours, name it in --trusted-proxies (now: %s)",
            label_address(address),
            self._endpoint,
            self._proxies.trusted,
        )


class ProxyProtocolReactor(ReactorProxy):
    """A reactor whose stream ports expect a PROXY header first, before TLS too.

    Args:
        reactor: reactor that listens.
        proxies: proxies whose header is trusted.
        timeout: seconds until the header must be complete.
        endpoint: endpoint string, for the log.
    Attributes:
        asked: whether an endpoint has listened through this object.
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
    """Wraps an endpoint and fails unless it listened through the PROXY-protocol reactor.

    Args:
        endpoint: endpoint that listens.
        reactor: reactor that its parser was given.
    """

    def __init__(self, endpoint: Any, reactor: ProxyProtocolReactor) -> None:
        self._endpoint = endpoint
        self._reactor = reactor
        if IReloadable.providedBy(endpoint):
            alsoProvides(self, IReloadable)
            self.reload = endpoint.reload

    def listen(self, protocolFactory: Any) -> Deferred[Any]:
        """Listen (see IStreamServerEndpoint).

        The Deferred fails with ConfigurationError if the endpoint does not listen through the
        reactor that its parser was given: it would serve without requiring a header.
        """
        listening: Deferred[Any] = self._endpoint.listen(protocolFactory)
        return listening.addCallback(self._held_to)

    def _held_to(self, port: Any) -> Any:
        if self._reactor.asked:
            return port
        port.stopListening()
        raise ConfigurationError("haproxy: cannot stand in front of this kind of endpoint")
