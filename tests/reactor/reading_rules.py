"""What every transport does when its peer sends, native and Twisted's own, TCP and TLS."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from zope.interface import implementer

from tests.reactor.writing_rules import LARGE, HalfClosing
from tests.support.reactor_carriers import (
    Carried,
    RecordingProtocol,
    World,
    reset,
)


class Pausing(RecordingProtocol):
    """Wants nothing from the start."""

    def on_made(self) -> None:
        self.transport.pauseProducing()


@implementer(IHalfCloseableProtocol)
class PausingHalfClosing(HalfClosing, Pausing):
    """Wants nothing from the start, and is told of half-closes."""


class ReadingRules(Carried):
    """twisted.internet.interfaces.IProtocol and IPushProducer: in."""

    def test_data_arrives(self, world: World) -> None:
        """IProtocol.dataReceived: all of it, in order."""
        protocol, peer = world.pair(RecordingProtocol)
        world.run(world.send_all(peer, LARGE))
        world.wait(lambda: len(protocol.received) == len(LARGE))
        assert protocol.received == LARGE

    def test_pause_in_connection_made_holds_data(self, world: World) -> None:
        """IPushProducer.pauseProducing: from the very first octet."""
        protocol, peer = world.pair(Pausing)
        peer.send(b"early")
        world.settle()
        assert protocol.received == b""
        protocol.transport.resumeProducing()
        world.wait(lambda: protocol.received == b"early")
        peer.send(b" late")
        world.wait(lambda: protocol.received == b"early late")

    @pytest.mark.parametrize("early", [b"early", b""])
    def test_pause_in_connection_made_holds_what_was_sent_before_accepting(
        self, world: World, early: bytes
    ) -> None:
        """IPushProducer.pauseProducing: data and end that were there first wait as well."""
        factory = world.factory(PausingHalfClosing)
        port = world.listen(factory)
        peer = world.dial(socket.AF_INET, ("127.0.0.1", port.getHost().port))
        peer.send(early)
        peer.shutdown(socket.SHUT_WR)
        world.wait(lambda: factory.made)
        world.settle()
        protocol = factory.made[0]
        assert (protocol.events, protocol.received) == (["made"], b"")
        protocol.transport.resumeProducing()
        world.wait(lambda: "read lost" in protocol.events)
        assert protocol.received == early
        protocol.transport.write(b"answer")
        protocol.transport.loseConnection()
        assert world.read(peer) == b"answer"

    def test_resume_does_not_call_back_at_once(self, world: World) -> None:
        """IPushProducer.resumeProducing: dataReceived is not called from inside it."""
        factory = world.factory(Pausing)
        port = world.listen(factory)
        peer = world.dial(socket.AF_INET, ("127.0.0.1", port.getHost().port))
        peer.send(b"early")
        world.wait(lambda: factory.made)
        world.settle()
        factory.made[0].transport.resumeProducing()
        assert factory.made[0].received == b""
        world.wait(lambda: factory.made[0].received == b"early")

    def test_pause_and_resume_in_connection_made(self, world: World) -> None:
        """IPushProducer: the last word counts."""

        class Wavers(Pausing):
            def on_made(self) -> None:
                super().on_made()
                self.transport.resumeProducing()

        protocol, peer = world.pair(Wavers)
        peer.send(b"data")
        world.wait(lambda: protocol.received == b"data")

    def test_pause_in_data_received_stops_the_flow(self, world: World) -> None:
        """IPushProducer.pauseProducing: the next dataReceived waits for resumeProducing."""

        class OneByOne(RecordingProtocol):
            calls = 0

            def on_data(self, data: bytes) -> None:
                self.calls += 1
                self.transport.pauseProducing()

        protocol, peer = world.pair(OneByOne)
        sending = world.loop.create_task(world.send_all(peer, LARGE))
        world.wait(lambda: protocol.received)
        world.settle()
        assert protocol.calls == 1
        calls = 1
        while len(protocol.received) < len(LARGE):
            protocol.transport.resumeProducing()
            calls += 1
            world.wait(lambda calls=calls: protocol.calls == calls)
            world.settle(3)
            assert protocol.calls == calls
        assert protocol.received == LARGE
        world.run(sending)

    def test_resume_in_data_received(self, world: World) -> None:
        """IPushProducer.resumeProducing: harmless where nothing is paused."""

        class Eager(RecordingProtocol):
            def on_data(self, data: bytes) -> None:
                self.transport.pauseProducing()
                self.transport.resumeProducing()
                self.transport.resumeProducing()

        protocol, peer = world.pair(Eager)
        peer.send(b"one")
        world.wait(lambda: protocol.received == b"one")
        peer.send(b"two")
        world.wait(lambda: protocol.received == b"onetwo")

    def test_stop_producing_loses_the_connection(self, world: World) -> None:
        """IProducer.stopProducing: as loseConnection."""
        protocol, peer = world.pair(RecordingProtocol)
        protocol.transport.write(b"last")
        protocol.transport.stopProducing()
        assert world.read(peer) == b"last"
        world.wait(lambda: protocol.reason)
        assert protocol.reason.check(ConnectionDone)

    def test_end_of_input_ends_the_connection(self, world: World) -> None:
        """IProtocol.connectionLost: FIN is ConnectionDone, what is not written yet is dropped."""
        protocol, peer = world.pair(RecordingProtocol)
        protocol.transport.write(LARGE)
        world.settle()
        peer.shutdown(socket.SHUT_WR)
        world.wait(lambda: protocol.reason)
        assert protocol.reason.check(ConnectionDone)
        assert len(world.read(peer)) < len(LARGE)

    def test_end_of_input_leaves_writing_to_who_wants_it(self, world: World) -> None:
        """IHalfCloseableProtocol.readConnectionLost: the connection stays, for writing."""
        protocol, peer = world.pair(HalfClosing)
        peer.send(b"request")
        peer.shutdown(socket.SHUT_WR)
        world.wait(lambda: "read lost" in protocol.events)
        protocol.transport.write(LARGE)
        protocol.transport.loseConnection()
        assert world.read(peer) == LARGE
        world.wait(lambda: protocol.reason)
        assert protocol.reason.check(ConnectionDone)
        assert protocol.events == ["made", "read lost", "lost"]

    def test_reset_is_connection_lost(self, world: World) -> None:
        """IProtocol.connectionLost: RST is ConnectionLost, with or without half-close."""
        for protocol, peer in (world.pair(RecordingProtocol), world.pair(HalfClosing)):
            reset(peer)
            world.wait(lambda protocol=protocol: protocol.reason)
            assert protocol.reason.check(ConnectionLost)
            assert protocol.events == ["made", "lost"]
        assert world.logged == []

    def test_error_in_data_received_ends_that_connection_only(self, world: World) -> None:
        """An exception out of dataReceived is logged once and is the reason connectionLost gets."""
        for error in (ValueError("mine"), ConnectionResetError("mine"), OSError(5, "mine")):

            class Fails(RecordingProtocol):
                def on_data(self, data: bytes, error: Exception = error) -> None:
                    if data == b"fail":
                        self.transport.write(b"dropped")
                        raise error

            factory = world.factory(Fails)
            address = "127.0.0.1", world.listen(factory).getHost().port
            failing, other = (world.dial(socket.AF_INET, address) for _ in range(2))
            world.wait(lambda factory=factory: len(factory.made) == 2)
            failing.send(b"fail")
            world.wait(lambda factory=factory: any(made.reason for made in factory.made))
            failed, lives = sorted(factory.made, key=lambda made: made.reason is None)
            assert failed.reason.value is error
            assert lives.reason is None
            other.send(b"on")
            world.wait(lambda lives=lives: lives.received == b"on")
            assert world.logged == [error]
            world.logged.clear()

    def test_error_in_read_connection_lost(self, world: World) -> None:
        """An exception out of readConnectionLost is logged and ends the connection."""

        class Fails(HalfClosing):
            def readConnectionLost(self) -> None:
                raise ValueError("mine")

        protocol, peer = world.pair(Fails)
        peer.shutdown(socket.SHUT_WR)
        world.wait(lambda: protocol.reason)
        assert protocol.reason.check(ValueError)
        assert len(world.logged) == 1

    def test_error_in_connection_lost(self, world: World) -> None:
        """An exception out of connectionLost is logged; others go on."""

        class Fails(RecordingProtocol):
            def connectionLost(self, reason: Any = None) -> None:
                super().connectionLost(reason)
                raise ValueError("mine")

        protocol, peer = world.pair(Fails)
        peer.close()
        world.wait(lambda: protocol.reason)
        world.settle()
        assert [type(error) for error in world.logged] == [ValueError]
        other, peer = world.pair(RecordingProtocol)
        peer.send(b"on")
        world.wait(lambda: other.received)

    def test_no_protocol_closes(self, world: World) -> None:
        """IProtocolFactory.buildProtocol: None refuses that connection."""
        factory = world.factory(RecordingProtocol)
        factory.buildProtocol = lambda address: None  # type: ignore[method-assign]
        port = world.listen(factory)
        peer = world.dial(socket.AF_INET, ("127.0.0.1", port.getHost().port))
        assert world.read(peer) == b""
        assert world.logged == []
