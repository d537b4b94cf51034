"""What Twisted's transports promise about reading, errors and the end, kept by ours too."""

from __future__ import annotations

import gc
import socket
import weakref
from typing import Any

from tests.reactor.reading_rules import ReadingRules
from tests.reactor.writing_rules import HalfClosing
from tests.support.reactor_carriers import (
    RecordingProtocol,
    World,
    native_asyncio,
    native_uvloop,
    stock,
)


class TestStockReading(ReadingRules):
    make_reactor = stock

    def test_error_in_connection_made_is_logged(self, world: World) -> None:
        """Twisted logs an exception out of connectionMade and leaves the connection alone."""
        protocol, _ = world.pair(FailsWhenMade)
        world.settle()
        assert [type(error) for error in world.logged] == [ValueError]
        assert protocol.reason is None


class FailsWhenMade(RecordingProtocol):
    """Raises out of connectionMade."""

    def on_made(self) -> None:
        raise ValueError("mine")


class NativeReadingRules(ReadingRules):
    """Where ours differs."""

    def test_error_in_connection_made_ends_the_connection(self, world: World) -> None:
        """A protocol whose connectionMade failed is not given data; Twisted leaves it half made."""
        protocol, peer = world.pair(FailsWhenMade)
        assert world.read(peer) == b""
        world.wait(lambda: protocol.reason)
        assert protocol.reason.check(ValueError)
        assert len(world.logged) == 1

    def test_end_of_input_is_told_once(self, world: World) -> None:
        """Resuming after the end of the input reads nothing; Twisted's tells it a second time."""
        protocol, peer = world.pair(HalfClosing)
        peer.shutdown(socket.SHUT_WR)
        world.wait(lambda: "read lost" in protocol.events)
        protocol.transport.pauseProducing()
        protocol.transport.resumeProducing()
        world.settle()
        assert protocol.events == ["made", "read lost"]

    def test_nothing_keeps_a_lost_connection(self, world: World) -> None:
        """After connectionLost protocol and transport are freed, without the collector's help.

        Twisted's leave a cycle behind abortConnection.
        """
        kept = []
        factory = world.factory(RecordingProtocol)
        port = world.listen(factory)
        for end in ("peer", "lose", "abort"):
            peer = world.dial(socket.AF_INET, ("127.0.0.1", port.getHost().port))
            world.wait(lambda: factory.made)
            protocol = factory.made.pop()
            peer.send(b"x")
            world.wait(lambda protocol=protocol: protocol.received)
            ends = {
                "peer": peer.close,
                "lose": protocol.transport.loseConnection,
                "abort": protocol.transport.abortConnection,
            }
            ends.pop(end)()
            world.wait(lambda protocol=protocol: protocol.reason)
            kept += [weakref.ref(protocol), weakref.ref(protocol.transport)]
            del protocol, ends, peer
        gc.disable()
        try:
            world.settle()
            assert [reference() for reference in kept] == [None] * 6
        finally:
            gc.enable()

    def test_error_in_build_protocol(self, world: World) -> None:
        """An exception out of buildProtocol is logged, that peer is closed, the port goes on.

        Twisted's leaves the accepted socket to the garbage collector.
        """
        factory = world.factory(RecordingProtocol)
        build, errors = factory.buildProtocol, [ValueError("mine")]

        def fails_first(address: Any) -> Any:
            if errors:
                raise errors.pop()
            return build(address)

        factory.buildProtocol = fails_first  # type: ignore[method-assign] # once
        address = "127.0.0.1", world.listen(factory).getHost().port
        refused = world.dial(socket.AF_INET, address)
        world.wait(lambda: world.logged)
        assert world.read(refused) == b""
        served = world.dial(socket.AF_INET, address)
        served.send(b"on")
        world.wait(lambda: factory.made and factory.made[0].received)


class TestUvloopReading(NativeReadingRules):
    make_reactor = native_uvloop


class TestAsyncioReading(NativeReadingRules):
    make_reactor = native_asyncio
