"""What every transport does with writes, native and Twisted's own, TCP and TLS."""

from __future__ import annotations

import socket

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from zope.interface import implementer

from tests.support.reactor_carriers import (
    Carried,
    RecordingProtocol,
    World,
    reset,
)

LARGE = bytes(range(256)) * 40_000
"""Ten megabytes: more than any socket's buffers hold."""


@implementer(IHalfCloseableProtocol)
class HalfClosing(RecordingProtocol):
    """Records both half-closes."""

    def readConnectionLost(self) -> None:
        self.events.append("read lost")

    def writeConnectionLost(self) -> None:
        self.events.append("write lost")


class WritingRules(Carried):
    """twisted.internet.interfaces.ITransport and ITCPTransport: out."""

    def test_what_is_written_arrives(self, world: World) -> None:
        """ITransport.write: all of it, in order."""
        protocol, peer = world.pair(RecordingProtocol)
        protocol.transport.write(b"one ")
        protocol.transport.writeSequence([b"two ", b"", b"three"])
        assert world.read(peer, 13) == b"one two three"

    def test_empty_writes_do_nothing(self, world: World) -> None:
        """ITransport.write: an empty string is no end and no error."""
        protocol, peer = world.pair(RecordingProtocol)
        protocol.transport.write(b"")
        protocol.transport.writeSequence([])
        protocol.transport.write(b"x")
        assert world.read(peer, 1) == b"x"

    def test_text_is_refused(self, world: World) -> None:
        """ITransport.write: str is a TypeError, and the connection goes on."""
        protocol, peer = world.pair(RecordingProtocol)
        with pytest.raises(TypeError):
            protocol.transport.write("text")
        protocol.transport.write(b"octets")
        assert world.read(peer, 6) == b"octets"

    def test_lose_connection_flushes(self, world: World) -> None:
        """ITransport.loseConnection: ten megabytes to a slow reader, then the end; none is lost."""
        protocol, peer = world.pair(RecordingProtocol)
        protocol.transport.write(LARGE)
        protocol.transport.loseConnection()
        world.settle()
        assert protocol.events == ["made"]
        assert world.read(peer) == LARGE
        world.wait(lambda: protocol.reason)
        assert protocol.reason.check(ConnectionDone)

    def test_writes_during_a_flush_keep_their_order(self, world: World) -> None:
        """ITransport.write: what comes while the buffer is full goes out after it."""
        protocol, peer = world.pair(RecordingProtocol)
        for part in range(0, len(LARGE), 100_000):
            protocol.transport.write(LARGE[part : part + 50_000])
            protocol.transport.writeSequence([LARGE[part + 50_000 : part + 100_000]])
            if part % 1_000_000 == 0:
                world.settle(3)
        protocol.transport.loseConnection()
        assert world.read(peer) == LARGE

    def test_write_after_lose_connection_in_the_same_turn(self, world: World) -> None:
        """Twisted's transports still send what is written before the loop turns again."""
        protocol, peer = world.pair(RecordingProtocol)
        protocol.transport.write(b"before ")
        protocol.transport.loseConnection()
        protocol.transport.write(b"after")
        assert world.read(peer) == b"before after"

    def test_write_after_the_end_is_ignored(self, world: World) -> None:
        """ITransport.write: after connectionLost it does nothing."""
        protocol, peer = world.pair(RecordingProtocol)
        transport = protocol.transport
        transport.loseConnection()
        world.wait(lambda: protocol.reason)
        transport.write(b"x")
        transport.writeSequence([b"x"])
        transport.loseConnection()
        transport.abortConnection()
        world.settle()
        assert world.read(peer) == b""
        assert protocol.events == ["made", "lost"]

    def test_lose_connection_stops_reading(self, world: World) -> None:
        """Twisted's transports hand on nothing more after loseConnection."""

        class Leaves(RecordingProtocol):
            def on_data(self, data: bytes) -> None:
                self.transport.write(LARGE)
                self.transport.loseConnection()

        protocol, peer = world.pair(Leaves)
        peer.send(b"one")
        world.wait(lambda: protocol.received)
        peer.send(b"two")
        world.settle()
        assert (protocol.received, protocol.events) == (b"one", ["made"])

    def test_lose_connection_in_connection_made(self, world: World) -> None:
        """ITransport.loseConnection: also before anything was read, which then stays unread."""

        class Greets(RecordingProtocol):
            def on_made(self) -> None:
                self.transport.write(b"bye")
                self.transport.loseConnection()

        factory = world.factory(Greets)
        port = world.listen(factory)
        peer = world.dial(socket.AF_INET, ("127.0.0.1", port.getHost().port))
        assert world.read(peer, 3) == b"bye"
        world.wait(lambda: factory.made[0].reason)
        assert factory.made[0].reason.check(ConnectionDone)
        assert factory.made[0].received == b""

    def test_disconnecting_tells_that_the_end_was_asked_for(self, world: World) -> None:
        """Twisted's protocols (LineReceiver) read `transport.disconnecting`."""
        protocol, _ = world.pair(RecordingProtocol)
        transport = protocol.transport
        before = bool(transport.disconnecting)
        transport.loseConnection()
        assert (before, bool(transport.disconnecting)) == (False, True)

    def test_abort_drops_and_resets(self, world: World) -> None:
        """ITCPTransport.abortConnection: the buffer is dropped, the peer gets RST."""
        protocol, peer = world.pair(RecordingProtocol)
        protocol.transport.write(LARGE)
        world.settle()
        protocol.transport.abortConnection()
        protocol.transport.write(b"never")
        world.wait(lambda: protocol.reason)
        assert protocol.reason.check(ConnectionAborted)
        with pytest.raises(ConnectionResetError):
            world.read(peer)

    def test_abort_is_not_reentrant(self, world: World) -> None:
        """ITCPTransport.abortConnection: connectionLost comes later, and once."""
        protocol, _ = world.pair(RecordingProtocol)
        protocol.transport.abortConnection()
        protocol.transport.abortConnection()
        assert protocol.events == ["made"]
        world.wait(lambda: protocol.reason)
        world.settle()
        assert protocol.events == ["made", "lost"]

    def test_abort_ends_a_flush(self, world: World) -> None:
        """ITCPTransport.abortConnection: after loseConnection it does not wait for the peer."""
        protocol, _ = world.pair(RecordingProtocol)
        protocol.transport.write(LARGE)
        protocol.transport.loseConnection()
        world.settle()
        protocol.transport.abortConnection()
        world.wait(lambda: protocol.reason)
        assert protocol.reason.check(ConnectionAborted)

    def test_lost_while_flushing(self, world: World) -> None:
        """A peer that resets before it has read everything: ConnectionLost."""
        protocol, peer = world.pair(RecordingProtocol)
        protocol.transport.write(LARGE)
        world.settle()
        reset(peer)
        protocol.transport.write(LARGE)
        world.wait(lambda: protocol.reason)
        assert protocol.reason.check(ConnectionLost)

    def test_half_close_is_told_and_reading_goes_on(self, world: World) -> None:
        """ITCPTransport.loseWriteConnection: FIN after the buffer, then writeConnectionLost."""
        protocol, peer = world.pair(HalfClosing)
        protocol.transport.write(LARGE)
        protocol.transport.loseWriteConnection()
        world.settle()
        assert protocol.events == ["made"]
        assert world.read(peer) == LARGE
        world.wait(lambda: "write lost" in protocol.events)
        peer.send(b"still here")
        world.wait(lambda: protocol.received == b"still here")
        peer.close()
        world.wait(lambda: "read lost" in protocol.events)
        protocol.transport.loseConnection()
        world.wait(lambda: protocol.reason)
        assert protocol.reason.check(ConnectionDone)
        assert protocol.events == ["made", "write lost", "read lost", "lost"]

    def test_half_close_without_the_interface(self, world: World) -> None:
        """ITCPTransport.loseWriteConnection: works for a protocol that is not told."""
        protocol, peer = world.pair(RecordingProtocol)
        protocol.transport.write(b"all")
        protocol.transport.loseWriteConnection()
        assert world.read(peer) == b"all"
        peer.send(b"more")
        world.wait(lambda: protocol.received)
        peer.close()
        world.wait(lambda: protocol.reason)
        assert protocol.reason.check(ConnectionDone)

    def test_write_after_half_close_is_ignored(self, world: World) -> None:
        """ITCPTransport.loseWriteConnection: later writes do nothing."""
        protocol, peer = world.pair(HalfClosing)
        protocol.transport.loseWriteConnection()
        world.wait(lambda: "write lost" in protocol.events)
        protocol.transport.write(b"x")
        protocol.transport.writeSequence([b"x"])
        world.settle()
        assert world.read(peer) == b""
        assert protocol.events == ["made", "write lost"]

    def test_lose_connection_from_write_connection_lost(self, world: World) -> None:
        """IHalfCloseableProtocol.writeConnectionLost may end the connection."""

        class Ends(HalfClosing):
            def writeConnectionLost(self) -> None:
                super().writeConnectionLost()
                self.transport.loseConnection()

        protocol, peer = world.pair(Ends)
        protocol.transport.write(LARGE)
        protocol.transport.loseWriteConnection()
        assert world.read(peer) == LARGE
        world.wait(lambda: protocol.reason)
        assert protocol.events == ["made", "write lost", "lost"]
        assert world.logged == []
