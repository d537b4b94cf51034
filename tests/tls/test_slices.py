"""How much of one client's records TLS reads in a turn of the event loop."""

from __future__ import annotations

import ctypes
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from zope.interface import implementer

from daphne_like.tls.certificates import Certificates, TLSSettings
from daphne_like.tls.connection import HANDSHAKE_SLICE, MAX_DEBT, MIN_SLICE
from daphne_like.tls.factory import SecureFactory
from tests.support.certificates import Authority

AUTHORITY = Authority()
SITE = AUTHORITY.issue("localhost")
ADDRESS = IPv4Address("TCP", "192.0.2.1", 50000)


@implementer(IHalfCloseableProtocol)
class Receiving(Protocol):
    """Keeps what it receives."""

    def __init__(self) -> None:
        self.received = b""
        self.ended = False

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def readConnectionLost(self) -> None:
        self.ended = True

    def writeConnectionLost(self) -> None:
        pass


class Below:
    """The transport below TLS: records what it is told."""

    def __init__(self) -> None:
        self.written = b""
        self.paused = self.aborted = self.closing = False
        self.producer: Any = None

    def write(self, data: bytes) -> None:
        self.written += data

    def getPeer(self) -> IPv4Address:
        return ADDRESS

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def loseConnection(self) -> None:
        self.closing = True

    def loseWriteConnection(self) -> None:
        self.closing = True

    def abortConnection(self) -> None:
        self.aborted = True


class World:
    """A client and a server, and the octets between them."""

    def __init__(self, path: str) -> None:
        self.clock = Clock()
        self.factory = SecureFactory(
            Certificates(TLSSettings((path,), (path,))),
            Factory.forProtocol(Receiving),
            10,
            self.clock,
        )
        self.below = Below()
        self.connection: Any = self.factory.buildProtocol(ADDRESS)
        self.connection.makeConnection(self.below)
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = AUTHORITY.client().wrap_bio(self.into, self.out, server_hostname="localhost")

    def shake_hands(self, more: Callable[[], None] = lambda: None) -> None:
        """The handshake; `more` is called before its last octets are sent."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.connection.dataReceived(self.out.read())
        self.into.write(self.below.written)
        self.below.written = b""
        self.tls.do_handshake()
        more()
        self.connection.dataReceived(self.out.read())

    def records(self, count: int, size: int = 1) -> bytes:
        """So many records, each of so many octets of data."""
        for _ in range(count):
            self.tls.write(b"x" * size)
        return self.out.read()

    def turn(self) -> int:
        """One turn of the event loop; how many octets of data were received in it.

        As in a reactor's turn, and unlike in Clock.advance, what is called does not run the calls
        that it schedules.
        """
        before = len(self.received)
        due = [call for call in self.clock.calls if call.getTime() <= self.clock.seconds()]
        for call in due:
            self.clock.calls.remove(call)
            call.func(*call.args, **call.kw)
        return len(self.received) - before

    @property
    def received(self) -> bytes:
        received: bytes = self.connection.protocol.received
        return received


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(SITE.write_both(tmp_path / "site.pem"))


RECORD = 23
"""Octets of a record with one octet of data in TLS 1.3, or a little less."""


class TestSlices:
    """A peer whose octets hold hardly any data is read in slices, and others have their turn."""

    def test_tiny_records(self, world: World) -> None:
        """Records of one octet: a bounded number in each turn, and all of them in the end."""
        world.shake_hands()
        world.connection.dataReceived(world.records(20_000))
        assert 0 < len(world.received) <= MAX_DEBT // 20
        assert world.below.paused
        assert world.turn() <= MIN_SLICE // 20
        while world.below.paused:
            assert world.turn() <= MIN_SLICE // 20
        assert world.received == b"x" * 20_000

    def test_what_comes_nevertheless(self, world: World) -> None:
        """What a transport hands over though it is paused comes behind what is held."""
        world.shake_hands()
        first, second = world.records(5000), world.records(3, 5)
        world.connection.dataReceived(first)
        for octet in second:
            world.connection.dataReceived(bytes([octet]))
        for _ in range(100):
            world.turn()
        assert len(world.received) == 5015
        assert not world.below.paused

    def test_full_records(self, world: World) -> None:
        """An upload in full records is read at once, whatever the reads are cut into."""
        world.shake_hands()
        octets = world.records(64, 16384)
        for size in (1460, 262144):
            for start in range(0, len(octets) // 2, size):
                world.connection.dataReceived(octets[start : min(start + size, len(octets) // 2)])
                assert not world.below.paused
            octets = octets[len(octets) // 2 :] * 2
            octets = octets[: len(octets) // 2] + world.records(32, 16384)
        assert len(world.received) >= 63 * 16384

    def test_behind_the_handshake(self, world: World) -> None:
        """Octets in the same read as the handshake's end are read in slices, too."""
        records: list[bytes] = []
        world.shake_hands(lambda: records.append(world.out.read() + world.records(5000)))
        world.connection.dataReceived(records[0])
        assert world.below.paused
        assert len(world.received) <= HANDSHAKE_SLICE // 20
        while world.below.paused:
            world.turn()
        assert world.received == b"x" * 5000

    def test_paused_above(self, world: World) -> None:
        """A protocol that pauses reading while octets are held gets them when it resumes."""
        world.shake_hands()
        world.connection.dataReceived(world.records(5000))
        world.connection.pauseProducing()
        assert [world.turn() for _ in range(5)] == [0] * 5
        assert world.below.paused
        world.connection.resumeProducing()
        while world.below.paused:
            world.turn()
        assert world.received == b"x" * 5000

    def test_end_of_input(self, world: World) -> None:
        """A close_notify behind held octets is told behind them."""
        world.shake_hands()
        octets = world.records(5000)
        with pytest.raises(ssl.SSLWantReadError):
            world.tls.unwrap()
        world.connection.dataReceived(octets + world.out.read())
        assert not world.connection.protocol.ended
        for _ in range(200):
            world.turn()
        assert world.received == b"x" * 5000
        assert world.connection.protocol.ended
        assert not world.below.paused

    def test_lost(self, world: World) -> None:
        """A connection that is lost while octets are held is not read any more."""
        world.shake_hands()
        world.connection.dataReceived(world.records(5000))
        protocol = world.connection.protocol
        before = protocol.received
        world.connection.connectionLost(None)
        world.clock.advance(0)
        assert protocol.received == before

    def test_broken(self, world: World) -> None:
        """A broken record behind held octets ends the connection when it is reached."""
        world.shake_hands()
        world.connection.dataReceived(world.records(5000) + b"\x17\x03\x03\x00\x20" + bytes(32))
        assert not world.below.closing
        for _ in range(200):
            world.turn()
        assert world.below.closing


def key_update(tls: ssl.SSLObject) -> None:
    """Send a KeyUpdate that asks for one in answer, which the ssl module has no name for."""
    import _ssl

    # PySSLSocket holds its SSL behind the object's head and one pointer (CPython 3.10 to 3.14).
    where = id(getattr(tls, "_sslobj")) + 3 * ctypes.sizeof(ctypes.c_void_p)  # noqa: B009
    pointer = ctypes.c_void_p.from_address(where)
    library = ctypes.CDLL(_ssl.__file__)
    library.SSL_key_update.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.SSL_do_handshake.argtypes = (ctypes.c_void_p,)
    assert library.SSL_key_update(pointer, 1) == 1
    assert library.SSL_do_handshake(pointer) == 1


@pytest.mark.skipif(
    sys.implementation.name != "cpython" or not sys.platform.startswith("linux"),
    reason="it calls OpenSSL in the way of CPython's ssl module: run it on CPython on Linux",
)
class TestKeyUpdates:
    """RFC 8446, 4.6.3; OpenSSL reads any number of them at once."""

    def test_bounded(self, world: World) -> None:
        """They are read in slices, and their answers do not pile up for a peer that is not read."""
        world.shake_hands()
        world.connection.registerProducer(Idle(), True)
        for _ in range(4000):
            key_update(world.tls)
        octets = world.out.read()
        world.connection.dataReceived(octets + world.records(1))
        assert world.below.paused
        answers = len(world.below.written)
        assert answers <= MAX_DEBT
        world.turn()
        assert len(world.below.written) - answers <= 2 * MIN_SLICE
        while world.below.paused:
            world.turn()
        assert world.received == b"x"

    def test_answers_are_bounded(self, world: World) -> None:
        """A peer that does not read is answered no further, and read again when it does."""
        world.shake_hands()
        world.connection.registerProducer(Idle(), True)
        for _ in range(4000):
            key_update(world.tls)
        world.connection.dataReceived(world.out.read() + world.records(1))
        world.below.producer.pauseProducing()
        before = len(world.below.written)
        for _ in range(50):
            world.turn()
        assert len(world.below.written) == before
        world.below.producer.resumeProducing()
        while world.below.paused:
            world.turn()
        assert world.received == b"x"


class Idle:
    """A push producer that produces nothing."""

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass
