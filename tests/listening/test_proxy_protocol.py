"""The PROXY protocol in front of an HTTP connection, in memory."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IHalfCloseableProtocol, IListeningPort, ISSLTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.parse import endpoints_from
from daphne_like.listening.proxy_protocol import (
    MAX_V1_SIZE,
    MAX_V2_SIZE,
    MAX_WARNED_PEERS,
    SIGNATURE_2,
    InvalidProxyHeader,
    ProxiedEndpoint,
    ProxiedFactory,
    ProxyProtocolReactor,
    header_size,
)
from daphne_like.observe import refusals
from daphne_like.options import Options
from daphne_like.runtime.trusted_proxies import TrustedProxies
from tests.support.memory import Memory, Wire
from tests.support.peers import Recorder, chunked, get, read_answers
from tests.support.websocket_opcodes import TEXT
from tests.support.websocket_peer import ACCEPT, frame, opening, read_frames

SECONDS = 10
LINE_4 = b"PROXY TCP4 198.51.100.7 203.0.113.8 40000 443\r\n"
LINE_6 = b"PROXY TCP6 2001:db8:0:0:0:0:0:7 2001:db8::8 40000 443\r\n"
UNKNOWN = b"PROXY UNKNOWN\r\n"
UNKNOWN_LONG = b"PROXY UNKNOWN ffff::f ffff::f 65535 65535\r\n"
INET, INET6, UNIX = 0x11, 0x21, 0x31


def version_2(kind: int, addresses: bytes, notes: bytes = b"", command: int = 0x21) -> bytes:
    """A header of version 2; `notes` are TLVs."""
    size = len(addresses) + len(notes)
    return SIGNATURE_2 + struct.pack("!BBH", command, kind, size) + addresses + notes


def unix_path(path: bytes) -> bytes:
    return path.ljust(108, b"\0")


PORTS = struct.pack("!HH", 40000, 443)
IPV4 = socket.inet_aton("198.51.100.7") + socket.inet_aton("203.0.113.8") + PORTS
IPV6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::8")
    + PORTS
)
PATHS = unix_path(b"/run/client") + unix_path(b"/run/site.sock")
LOCAL = version_2(0, b"", command=0x20)
UNSPECIFIED = version_2(0, b"")

FOUR = ["198.51.100.7", 40000], ["203.0.113.8", 443]
SIX = ["2001:db8::7", 40000], ["2001:db8::8", 443]
OWN = ["192.0.2.1", 50000], ["192.0.2.2", 80]

HEADERS = [
    pytest.param(LINE_4, *FOUR, id="v1-tcp4"),
    pytest.param(LINE_6, *SIX, id="v1-tcp6"),
    pytest.param(UNKNOWN, *OWN, id="v1-unknown"),
    pytest.param(UNKNOWN_LONG, *OWN, id="v1-unknown-long"),
    pytest.param(version_2(INET, IPV4), *FOUR, id="v2-tcp4"),
    pytest.param(version_2(INET, IPV4, b"\x04\0\x01\0"), *FOUR, id="v2-tcp4-notes"),
    pytest.param(version_2(INET6, IPV6), *SIX, id="v2-tcp6"),
    pytest.param(version_2(UNIX, PATHS), None, ["/run/site.sock", None], id="v2-unix"),
    pytest.param(LOCAL, *OWN, id="v2-local"),
    pytest.param(version_2(INET, IPV4, command=0x20), *OWN, id="v2-local-addresses"),
    pytest.param(UNSPECIFIED, *OWN, id="v2-unspecified"),
]
"""Header, and client and server of the scope behind it."""


class ProxiedServer:
    """A server behind a PROXY protocol wrapper, and a clock."""

    def __init__(self, trusted: str = "192.0.2.0/24") -> None:
        self.application: Any = Recorder()
        self.memory = Memory(self._application)
        self.clock = Clock()
        self.trusted = trusted
        self.factory = self.wrapping(self.memory.server.http_factory)

    async def _application(self, *arguments: Any) -> None:
        await self.application(*arguments)

    def wrapping(self, factory: Any) -> ProxiedFactory:
        proxies = TrustedProxies(self.trusted)
        return ProxiedFactory(factory, proxies, SECONDS, self.clock, "haproxy:tcp:8000")

    def connect(self) -> Wire:
        return self.memory.connect(self.factory)

    def ends(self) -> tuple[Any, Any]:
        """Client and server of the one scope."""
        (scope,) = self.application.scopes
        return scope["client"], scope["server"]


@pytest.fixture
def proxied() -> Iterator[ProxiedServer]:
    proxied = ProxiedServer()
    refusals.limit.sum_up(at_once=True)  # each test has all lines of a period
    yield proxied
    assert not proxied.clock.getDelayedCalls() or proxied.memory.server.connections
    proxied.memory.close()


class TestHeader:
    """The PROXY protocol, 2.1 and 2.2."""

    @pytest.mark.parametrize(("header", "client", "server"), HEADERS)
    def test_addresses(
        self, proxied: ProxiedServer, header: bytes, client: Any, server: Any
    ) -> None:
        """Client and server are those of the header; of a health check, those of the connection."""
        wire = proxied.connect().gets(header + get(b"/a"))
        assert proxied.ends() == (client, server)
        (answer,) = read_answers(wire.take())
        assert (answer.status, answer.body) == (200, b"/a")

    @pytest.mark.parametrize(("header", "client", "server"), HEADERS)
    def test_cut_at_every_octet(
        self, proxied: ProxiedServer, header: bytes, client: Any, server: Any
    ) -> None:
        """The header comes in two parts, whichever; what stands behind it is not lost."""
        octets = header + get(b"/a")
        for cut in range(1, len(header) + 2):
            proxied.application = Recorder()
            wire = proxied.connect().gets(octets[:cut], octets[cut:])
            assert proxied.ends() == (client, server), cut
            assert [answer.body for answer in read_answers(wire.take())] == [b"/a"], cut

    @pytest.mark.parametrize(("header", "client", "server"), HEADERS)
    def test_octet_by_octet(
        self, proxied: ProxiedServer, header: bytes, client: Any, server: Any
    ) -> None:
        """Each octet on its own."""
        octets = header + get(b"/a")
        wire = proxied.connect().gets(*(bytes([octet]) for octet in octets))
        assert proxied.ends() == (client, server)
        assert [answer.body for answer in read_answers(wire.take())] == [b"/a"]

    def test_one_header_for_all_requests(self, proxied: ProxiedServer) -> None:
        """What stands behind the first request is a request, and not a valid one."""
        wire = proxied.connect().gets(LINE_4, get(b"/a"), get(b"/b"), LINE_4)
        statuses = [answer.status for answer in read_answers(wire.take())]
        assert statuses == [200, 200, 400]
        assert [scope["client"] for scope in proxied.application.scopes] == [FOUR[0]] * 2

    def test_body(self, proxied: ProxiedServer) -> None:
        """A large request in the read of the header."""
        body = b"0123456789" * 10_000
        proxied.connect().gets(version_2(INET, IPV4) + chunked(body))
        assert proxied.application.bodies == [body]

    def test_websocket(self, proxied: ProxiedServer) -> None:
        """Handshake and first message behind the header, in one read."""
        seen: list[Any] = []

        async def echo(scope: Any, receive: Any, send: Any) -> None:
            seen.append((scope["type"], scope["client"], scope["server"]))
            await receive()
            await send({"type": "websocket.accept"})
            await send({**await receive(), "type": "websocket.send"})
            await receive()

        proxied.application = echo
        wire = proxied.connect().gets(LINE_4 + opening(b"/") + frame(TEXT, b"hello"))
        head, _, rest = wire.take().partition(b"\r\n\r\n")
        assert ACCEPT in head
        assert [one.payload for one in read_frames(rest)] == [b"hello"]
        assert seen == [("websocket", *FOUR)]


BAD = {
    "http": get(),
    "tls": b"\x16\x03\x01\x02\x00\x01",
    "lower case": LINE_4.lower(),
    "no space": b"PROXYTCP4 ",
    "no protocol": b"PROXY \r\n",
    "udp": b"PROXY UDP4 198.51.100.7 203.0.113.8 40000 443\r\n",
    "no addresses": b"PROXY TCP4\r\n",
    "a word for an address": b"PROXY TCP4 evil 203.0.113.8 40000 443\r\n",
    "octets for an address": b"PROXY TCP4 \xff 203.0.113.8 40000 443\r\n",
    "IPv6 in TCP4": b"PROXY TCP4 2001:db8::7 203.0.113.8 40000 443\r\n",
    "IPv4 in TCP6": b"PROXY TCP6 198.51.100.7 2001:db8::8 40000 443\r\n",
    "a word for a port": b"PROXY TCP4 198.51.100.7 203.0.113.8 http 443\r\n",
    "no port": b"PROXY TCP4 198.51.100.7 203.0.113.8 40000\r\n",
    "a large port": b"PROXY TCP4 198.51.100.7 203.0.113.8 65536 443\r\n",
    "a negative port": b"PROXY TCP4 198.51.100.7 203.0.113.8 -1 443\r\n",
    "a port with an underscore": b"PROXY TCP4 198.51.100.7 203.0.113.8 1_0 443\r\n",
    "a port with leading zeros": b"PROXY TCP4 198.51.100.7 203.0.113.8 40000 00080\r\n",
    "a port with a sign": b"PROXY TCP4 198.51.100.7 203.0.113.8 +1 443\r\n",
    "a space behind it": b"PROXY TCP4 198.51.100.7 203.0.113.8 40000 443 \r\n",
    "a word behind it": b"PROXY TCP4 198.51.100.7 203.0.113.8 40000 443 x\r\n",
    "two spaces": b"PROXY TCP4 198.51.100.7  203.0.113.8 40000 443\r\n",
    "a tab for a port": b"PROXY TCP4 198.51.100.7 203.0.113.8 40000 \t443\r\n",
    "a zone": b"PROXY TCP6 fe80::1%lo 2001:db8::8 40000 443\r\n",
    "no end": b"PROXY TCP4 ".ljust(MAX_V1_SIZE, b"x"),
    "an end too late": b"PROXY UNKNOWN ".ljust(MAX_V1_SIZE - 1, b"x") + b"\r\n",
    "version 3": SIGNATURE_2 + b"\x31",
    "no such command": version_2(INET, IPV4, command=0x22),
    "no such family": version_2(0x41, IPV4),
    "short addresses": version_2(INET, IPV4[:-1]),
    "short paths": version_2(UNIX, PATHS[:-1]),
    "too long": SIGNATURE_2 + struct.pack("!BBH", 0x21, INET, MAX_V2_SIZE - 15),
    "a signature that goes on wrongly": SIGNATURE_2[:-1] + b"\r",
}


class TestRefusals:
    """What is no header is the end of the connection, and no octet of it is a request."""

    @pytest.mark.parametrize("octets", BAD.values(), ids=BAD.keys())
    @pytest.mark.parametrize("cut", ["whole", "octet by octet"])
    def test_wrong_header(
        self, proxied: ProxiedServer, caplog: pytest.LogCaptureFixture, octets: bytes, cut: str
    ) -> None:
        """Closed without an answer, with one line at INFO; what follows is dropped."""
        caplog.set_level(logging.DEBUG, "daphne_like.refused")
        parts = [octets] if cut == "whole" else [bytes([octet]) for octet in octets]
        wire = proxied.connect()
        for part in parts:
            wire.gets(part)
        wire.gets(get())
        assert wire.closing
        assert wire.written == b""
        assert proxied.application.scopes == []
        lines = [record for record in caplog.records if "PROXY header" in record.message]
        assert [record.levelname for record in lines] == ["INFO"]
        assert "192.0.2.1" in lines[0].message
        wire.vanishes()

    def test_refused_as_early_as_it_is_wrong(self) -> None:
        """Nothing is waited for once it cannot become a header."""
        for octets in (b"G", b"PROXX", SIGNATURE_2[:5] + b"x"):
            with pytest.raises(InvalidProxyHeader):
                header_size(octets)

    def test_longest_headers(self) -> None:
        """Both sides of both limits."""
        line = b"PROXY UNKNOWN ".ljust(MAX_V1_SIZE - 2, b"x") + b"\r\n"
        assert header_size(line) == MAX_V1_SIZE
        assert header_size(line[:-1]) is None
        with pytest.raises(InvalidProxyHeader):
            header_size(line[:-2] + b"x\r\n")
        notes = bytes(MAX_V2_SIZE - 16 - len(IPV4))
        longest = version_2(INET, IPV4, notes)
        assert header_size(longest) == MAX_V2_SIZE
        assert header_size(longest[:-1]) is None
        with pytest.raises(InvalidProxyHeader):
            header_size(version_2(INET, IPV4, notes + b"\0")[:16])


class TestDeadline:
    """--header-timeout, for the whole header."""

    @pytest.mark.parametrize("octets", [b"", LINE_4[:-1], LOCAL[:-1]])
    def test_too_late(
        self, proxied: ProxiedServer, caplog: pytest.LogCaptureFixture, octets: bytes
    ) -> None:
        """Octet after octet does not put it off."""
        caplog.set_level(logging.DEBUG, "daphne_like.refused")
        wire = proxied.connect()
        proxied.clock.advance(SECONDS - 1)
        wire.gets(octets)
        assert not wire.closing
        proxied.clock.advance(1)
        assert wire.aborted
        assert "not whole after 10 seconds" in caplog.text
        proxied.memory.settle()
        assert wire.lost

    def test_in_time(self, proxied: ProxiedServer) -> None:
        """The header ends the wait."""
        wire = proxied.connect()
        proxied.clock.advance(SECONDS - 1)
        wire.gets(LINE_4)
        proxied.clock.advance(SECONDS)
        assert not wire.closing
        assert not proxied.clock.getDelayedCalls()

    def test_a_peer_that_goes_ends_it(self, proxied: ProxiedServer) -> None:
        """Nothing is left of a connection without a header."""
        proxied.connect().vanishes()
        assert not proxied.clock.getDelayedCalls()
        assert not proxied.memory.server.connections
        assert not proxied.factory.protocols


class TestTrust:
    """--trusted-proxies; Twisted's own wrapper believes everybody."""

    @pytest.mark.parametrize(
        ("trusted", "address"),
        [
            ("127.0.0.1", IPv4Address("TCP", "127.0.0.1", 5)),
            ("127.0.0.1", IPv6Address("TCP", "::ffff:127.0.0.1", 5)),
            ("10.0.0.0/8", IPv4Address("TCP", "10.255.0.1", 5)),
            ("::1", IPv6Address("TCP", "::1", 5)),
            ("unix", UNIXAddress(None)),
            ("unix", UNIXAddress(b"/run/proxy")),
            ("*", IPv4Address("TCP", "198.51.100.7", 5)),
            ("*", UNIXAddress(None)),
        ],
    )
    def test_trusted(self, trusted: str, address: Any) -> None:
        """A peer in the list may connect."""
        proxied = ProxiedServer(trusted)
        assert proxied.factory.buildProtocol(address) is not None
        proxied.memory.close()

    @pytest.mark.parametrize(
        ("trusted", "address"),
        [
            ("127.0.0.1,::1,unix", IPv4Address("TCP", "127.0.0.2", 5)),
            ("127.0.0.1,::1,unix", IPv6Address("TCP", "::2", 5)),
            ("127.0.0.1,::1,unix", IPv6Address("TCP", "::ffff:198.51.100.7", 5)),
            ("127.0.0.1,::1", UNIXAddress(None)),
            ("", IPv4Address("TCP", "127.0.0.1", 5)),
        ],
    )
    def test_not_trusted(
        self, caplog: pytest.LogCaptureFixture, trusted: str, address: Any
    ) -> None:
        """Another one is closed at once; the log says what to do."""
        proxied = ProxiedServer(trusted)
        assert proxied.factory.buildProtocol(address) is None
        assert not proxied.memory.server.connections
        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert getattr(address, "host", "unix") in record.message
        assert "haproxy:tcp:8000" in record.message
        assert f"--trusted-proxies (now: {trusted})" in record.message
        proxied.memory.close()

    def test_one_warning_for_each_address(
        self, proxied: ProxiedServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Once for each of the first addresses; everything else is at DEBUG."""
        caplog.set_level(logging.DEBUG, "daphne_like.server")
        peers = [IPv4Address("TCP", f"198.51.100.{n}", n) for n in range(MAX_WARNED_PEERS + 5)]
        for peer in peers * 2:
            assert proxied.factory.buildProtocol(peer) is None
        levels = [record.levelname for record in caplog.records]
        assert levels == ["WARNING"] * MAX_WARNED_PEERS + ["DEBUG"] * (5 + len(peers))

    def test_the_options_say_who(self) -> None:
        """endpoints_from: by default 127.0.0.1, ::1 and peers on a UNIX socket."""
        reactor = MemoryReactorClock()
        (endpoint,) = endpoints_from(["haproxy:tcp:8000"], reactor)
        endpoint.listen(Factory.forProtocol(Protocol))  # type: ignore[attr-defined]
        factory = reactor.tcpServers[0][1]
        assert isinstance(factory, ProxiedFactory)
        assert factory.timeout == Options().header_timeout
        assert factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 5)) is not None
        assert factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 5)) is None


class TestTransport:
    """What the wrapped protocol asks of the transport, and is told by it, goes through."""

    def test_half_close(self, proxied: ProxiedServer) -> None:
        """A peer that has sent all it has still gets its answer."""
        wire = proxied.connect().gets(LINE_4 + get(b"/a"))
        assert IHalfCloseableProtocol.providedBy(wire.protocol)
        wire.fin()
        assert [answer.body for answer in read_answers(wire.take())] == [b"/a"]

    def test_half_close_before_the_header(self, proxied: ProxiedServer) -> None:
        """Nothing is owed: it is closed."""
        wire = proxied.connect()
        wire.gets(LINE_4[:5])
        wire.fin()
        assert wire.lost

    def test_protocol_without_half_close(self, proxied: ProxiedServer) -> None:
        """Then the transport is not told that there is one (Twisted's TLS, for example)."""
        factory = proxied.wrapping(Factory.forProtocol(Protocol))
        wire = proxied.memory.connect(factory)
        assert not IHalfCloseableProtocol.providedBy(wire.protocol)
        wire.vanishes()

    def test_back_pressure(self, proxied: ProxiedServer) -> None:
        """The HTTP connection is the transport's producer; what it pauses is the transport."""

        async def deaf(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.Event().wait()

        proxied.application = deaf
        wire = proxied.connect().gets(LINE_4)
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
        wire.gets(head, bytes(65536), bytes(65536), bytes(65536))
        assert wire.paused
        assert wire.producer is wire.protocol.wrappedProtocol
        wire.vanishes()

    def test_abort(self, proxied: ProxiedServer) -> None:
        """An application that fails with its answer begun cuts the connection."""

        async def fails(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            raise RuntimeError("on purpose")

        proxied.application = fails
        assert proxied.connect().gets(LINE_4 + get()).aborted

    def test_stop_before_the_header(self, proxied: ProxiedServer) -> None:
        """The server stops: a connection without a header is not waited for."""
        wire = proxied.connect()
        for connection in list(proxied.memory.server.connections):
            connection.close_when_idle()
        proxied.memory.settle()
        assert wire.lost

    def test_plain_connections_are_not_secure(self, proxied: ProxiedServer) -> None:
        """The scheme is the transport's to say."""
        wire = proxied.connect().gets(LINE_4 + get())
        assert not ISSLTransport.providedBy(wire.protocol)
        assert proxied.application.scopes[0]["scheme"] == "http"


class TestEndpoint:
    """`haproxy:` in front of any endpoint string that listens by Twisted's calls."""

    @pytest.mark.parametrize(
        ("string", "servers"),
        [
            ("haproxy:tcp:0", "tcpServers"),
            ("HAProxy:tcp:0", "tcpServers"),
            (r"haproxy:tcp:0:interface=\:\:1", "tcpServers"),
            ("haproxy:tcp6:0", "tcpServers"),
            ("haproxy:unix:/nope/socket", "unixServers"),
            ("haproxy:unix:@name", "unixServers"),
        ],
    )
    def test_the_header_comes_first(self, string: str, servers: str) -> None:
        """The transport's protocol is the one that reads the header."""
        reactor = MemoryReactorClock()
        (endpoint,) = endpoints_from([string], reactor)
        ports: list[Any] = []
        endpoint.listen(Factory.forProtocol(Protocol)).addBoth(ports.append)  # type: ignore[attr-defined]
        assert IListeningPort.providedBy(ports[0])
        (listening,) = getattr(reactor, servers)
        assert isinstance(listening[1], ProxiedFactory)

    def test_an_endpoint_that_goes_its_own_way(self) -> None:
        """A kind that does not listen by the reactor it was given would serve without a header."""
        stopped: list[bool] = []

        class Port:
            def stopListening(self) -> None:
                stopped.append(True)

        class Own:
            def listen(self, factory: Any) -> Any:
                from twisted.internet.defer import succeed

                return succeed(Port())

        reactor = ProxyProtocolReactor(MemoryReactorClock(), TrustedProxies("*"), 1, "haproxy:own")
        failures: list[Any] = []
        ProxiedEndpoint(Own(), reactor).listen(Factory()).addErrback(failures.append)
        assert failures[0].check(ConfigurationError)
        assert stopped == [True]
