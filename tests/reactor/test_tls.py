"""ITLSTransport.startTLS, kept by Twisted's transports and ours; Python's ssl is the client."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, ISSLTransport
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from zope.interface import implementer

from tests.reactor.producer_rules import CHUNK, CHUNKS, Pull, Push
from tests.reactor.writing_rules import LARGE
from tests.support.reactor_carriers import (
    Carried,
    RecordingProtocol,
    World,
    native_asyncio,
    native_uvloop,
    stock,
)


@pytest.fixture(scope="module")
def certificate() -> bytes:
    """A key and its self-signed certificate for localhost, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return signed.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@implementer(IHandshakeListener)
class Upgrades(RecordingProtocol):
    """Answers a line with a line, and goes on in TLS."""

    options: Any

    def on_data(self, data: bytes) -> None:
        if data == b"STARTTLS\r\n":
            self.received = b""
            self.transport.write(b"go\r\n")
            self.transport.startTLS(self.options)

    def handshakeCompleted(self) -> None:
        self.events.append("handshake")


class Client:
    """The peer: plain first, then Python's ssl over memory buffers."""

    def __init__(self, world: World, peer: socket.socket, path: str) -> None:
        self.world = world
        self.peer = peer
        context = ssl.create_default_context(cafile=path)
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.into, self.out, server_hostname="localhost")

    def start(self) -> None:
        self.peer.send(b"STARTTLS\r\n")
        assert self.world.read(self.peer, 4) == b"go\r\n"
        self.do(self.tls.do_handshake)

    def do(self, call: Callable[[], Any]) -> Any:
        """One operation of the ssl object, with the socket's part of it."""
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                self.flush()
                data = self.world.run(self.world.loop.sock_recv(self.peer, 65536))
                self.into.write(data) if data else self.into.write_eof()
            finally:
                self.flush()

    def flush(self) -> None:
        if data := self.out.read():
            self.world.run(self.world.loop.sock_sendall(self.peer, data))

    def read(self, octets: int = 1 << 30) -> bytes:
        got = bytearray()
        while len(got) < octets:
            data = self.do(lambda: self.tls.read(65536))
            if not data:
                break
            got += data
        return bytes(got)


class TLSRules(Carried):
    """twisted.internet.interfaces.ITLSTransport, of a server."""

    @pytest.fixture
    def upgraded(self, world: World, certificate: bytes, tmp_path: Path) -> tuple[Any, Client]:
        """A protocol after its upgrade, and the client."""
        path = str(tmp_path / "certificate.pem")
        (tmp_path / "certificate.pem").write_bytes(certificate)
        Upgrades.options = DefaultOpenSSLContextFactory(path, path)
        protocol, peer = world.pair(Upgrades)
        client = Client(world, peer, path)
        client.start()
        world.wait(lambda: "handshake" in protocol.events)
        return protocol, client

    def test_upgrade(self, world: World, upgraded: tuple[Any, Client]) -> None:
        """ITLSTransport.startTLS: the protocol stays, its octets go through TLS, both ways."""
        protocol, client = upgraded
        client.do(lambda: client.tls.write(b"secret"))
        world.wait(lambda: protocol.received == b"secret")
        protocol.transport.write(b"ans")
        protocol.transport.writeSequence([b"w", b"er"])
        assert client.read(6) == b"answer"
        assert protocol.events == ["made", "handshake"]
        assert ISSLTransport.providedBy(protocol.transport)

    def test_orderly_end(self, world: World, upgraded: tuple[Any, Client]) -> None:
        """ITransport.loseConnection: flushes, then close_notify."""
        protocol, client = upgraded
        protocol.transport.write(LARGE)
        protocol.transport.loseConnection()
        assert client.read() == LARGE
        client.do(client.tls.unwrap)
        world.wait(lambda: protocol.reason)
        assert protocol.reason.check(ConnectionDone)
        protocol.transport.write(b"ignored")
        assert protocol.events == ["made", "handshake", "lost"]

    def test_abort(self, world: World, upgraded: tuple[Any, Client]) -> None:
        """ITCPTransport.abortConnection: as without TLS."""
        protocol, client = upgraded
        protocol.transport.abortConnection()
        world.wait(lambda: protocol.reason)
        with pytest.raises(ConnectionResetError):
            world.read(client.peer)

    def test_error_in_data_received(self, world: World, upgraded: tuple[Any, Client]) -> None:
        """An exception out of dataReceived ends the connection and is logged."""
        protocol, client = upgraded

        def fails(data: bytes) -> None:
            raise ValueError("mine")

        protocol.on_data = fails
        client.do(lambda: client.tls.write(b"fail"))
        world.wait(lambda: protocol.reason)
        assert [type(error) for error in world.logged] == [ValueError]

    def test_addresses_and_options(self, world: World, upgraded: tuple[Any, Client]) -> None:
        """ITCPTransport: addresses and socket options are those of the connection below."""
        protocol, client = upgraded
        transport = protocol.transport
        assert transport.getPeer().port == client.peer.getsockname()[1]
        assert transport.getHost().port == client.peer.getpeername()[1]
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        assert transport.getTcpNoDelay()
        assert transport.getTcpKeepAlive()

    def test_producers(
        self, world: World, upgraded: tuple[Any, Client], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """IConsumer: pull and push producers work through TLS."""
        # Twisted's TLS asks pull producers through its global cooperator, thus reactor.
        monkeypatch.setattr("twisted.internet.reactor", world.reactor)
        protocol, client = upgraded
        protocol.transport.registerProducer(Pull(protocol.transport), False)
        assert len(client.read(CHUNKS * len(CHUNK))) == CHUNKS * len(CHUNK)
        producer = Push()
        protocol.transport.registerProducer(producer, True)
        protocol.transport.write(LARGE)
        assert client.read(len(LARGE)) == LARGE
        world.wait(lambda: producer.calls[-1:] == ["resume"])
        protocol.transport.unregisterProducer()

    def test_pausing(self, world: World, upgraded: tuple[Any, Client]) -> None:
        """IPushProducer: the peer's octets can be paused."""
        protocol, client = upgraded
        protocol.transport.pauseProducing()
        client.do(lambda: client.tls.write(b"held"))
        world.settle()
        assert protocol.received == b""
        protocol.transport.resumeProducing()
        world.wait(lambda: protocol.received == b"held")


class TestStockTLS(TLSRules):
    make_reactor = stock

    @pytest.fixture(autouse=True)
    def _timers(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Twisted's own startTLS takes its timers from the global reactor, ours from the port's."""
        monkeypatch.setattr("twisted.internet.reactor", world.reactor)


class TestUvloopTLS(TLSRules):
    make_reactor = native_uvloop


class TestAsyncioTLS(TLSRules):
    make_reactor = native_asyncio
