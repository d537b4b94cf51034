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


class TLSPair:
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
def pair(tmp_path: Path) -> TLSPair:
    return TLSPair(SITE.write_both(tmp_path / "site.pem"))


RECORD = 23
"""Octets of a record with one octet of data in TLS 1.3, or a little less."""


class TestSlices:
    """A peer whose octets hold hardly any data is read in slices, and others have their turn."""

    def test_tiny_records(self, pair: TLSPair) -> None:
        """Records of one octet: a bounded number in each turn, and all of them in the end."""
        pair.shake_hands()
        pair.connection.dataReceived(pair.records(20_000))
        assert 0 < len(pair.received) <= MAX_DEBT // 20
        assert pair.below.paused
        assert pair.turn() <= MIN_SLICE // 20
        while pair.below.paused:
            assert pair.turn() <= MIN_SLICE // 20
        assert pair.received == b"x" * 20_000

    def test_what_comes_nevertheless(self, pair: TLSPair) -> None:
        """What a transport hands over though it is paused comes behind what is held."""
        pair.shake_hands()
        first, second = pair.records(5000), pair.records(3, 5)
        pair.connection.dataReceived(first)
        for octet in second:
            pair.connection.dataReceived(bytes([octet]))
        for _ in range(100):
            pair.turn()
        assert len(pair.received) == 5015
        assert not pair.below.paused

    def test_full_records(self, pair: TLSPair) -> None:
        """An upload in full records is read at once, whatever the reads are cut into."""
        pair.shake_hands()
        octets = pair.records(64, 16384)
        for size in (1460, 262144):
            for start in range(0, len(octets) // 2, size):
                pair.connection.dataReceived(octets[start : min(start + size, len(octets) // 2)])
                assert not pair.below.paused
            octets = octets[len(octets) // 2 :] * 2
            octets = octets[: len(octets) // 2] + pair.records(32, 16384)
        assert len(pair.received) >= 63 * 16384

    def test_behind_the_handshake(self, pair: TLSPair) -> None:
        """Octets in the same read as the handshake's end are read in slices, too."""
        records: list[bytes] = []
        pair.shake_hands(lambda: records.append(pair.out.read() + pair.records(5000)))
        pair.connection.dataReceived(records[0])
        assert pair.below.paused
        assert len(pair.received) <= HANDSHAKE_SLICE // 20
        while pair.below.paused:
            pair.turn()
        assert pair.received == b"x" * 5000

    def test_paused_above(self, pair: TLSPair) -> None:
        """A protocol that pauses reading while octets are held gets them when it resumes."""
        pair.shake_hands()
        pair.connection.dataReceived(pair.records(5000))
        pair.connection.pauseProducing()
        assert [pair.turn() for _ in range(5)] == [0] * 5
        assert pair.below.paused
        pair.connection.resumeProducing()
        while pair.below.paused:
            pair.turn()
        assert pair.received == b"x" * 5000

    def test_end_of_input(self, pair: TLSPair) -> None:
        """A close_notify behind held octets is told behind them."""
        pair.shake_hands()
        octets = pair.records(5000)
        with pytest.raises(ssl.SSLWantReadError):
            pair.tls.unwrap()
        pair.connection.dataReceived(octets + pair.out.read())
        assert not pair.connection.protocol.ended
        for _ in range(200):
            pair.turn()
        assert pair.received == b"x" * 5000
        assert pair.connection.protocol.ended
        assert not pair.below.paused

    def test_lost(self, pair: TLSPair) -> None:
        """A connection that is lost while octets are held is not read any more."""
        pair.shake_hands()
        pair.connection.dataReceived(pair.records(5000))
        protocol = pair.connection.protocol
        before = protocol.received
        pair.connection.connectionLost(None)
        pair.clock.advance(0)
        assert protocol.received == before

    def test_broken(self, pair: TLSPair) -> None:
        """A broken record behind held octets ends the connection when it is reached."""
        pair.shake_hands()
        pair.connection.dataReceived(pair.records(5000) + b"\x17\x03\x03\x00\x20" + bytes(32))
        assert not pair.below.closing
        for _ in range(200):
            pair.turn()
        assert pair.below.closing


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

    def test_bounded(self, pair: TLSPair) -> None:
        """They are read in slices, and their answers do not pile up for a peer that is not read."""
        pair.shake_hands()
        pair.connection.registerProducer(Idle(), True)
        for _ in range(4000):
            key_update(pair.tls)
        octets = pair.out.read()
        pair.connection.dataReceived(octets + pair.records(1))
        assert pair.below.paused
        answers = len(pair.below.written)
        assert answers <= MAX_DEBT
        pair.turn()
        assert len(pair.below.written) - answers <= 2 * MIN_SLICE
        while pair.below.paused:
            pair.turn()
        assert pair.received == b"x"

    def test_answers_are_bounded(self, pair: TLSPair) -> None:
        """A peer that does not read is answered no further, and read again when it does."""
        pair.shake_hands()
        pair.connection.registerProducer(Idle(), True)
        for _ in range(4000):
            key_update(pair.tls)
        pair.connection.dataReceived(pair.out.read() + pair.records(1))
        pair.below.producer.pauseProducing()
        before = len(pair.below.written)
        for _ in range(50):
            pair.turn()
        assert len(pair.below.written) == before
        pair.below.producer.resumeProducing()
        while pair.below.paused:
            pair.turn()
        assert pair.received == b"x"


class Idle:
    """A push producer that produces nothing."""

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass
