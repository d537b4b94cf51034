"""What Twisted's transports promise, kept over TLS on every reactor."""

from __future__ import annotations

import gc
import socket
import weakref

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost

from tests.reactor.producer_rules import ProducerRules
from tests.reactor.reading_rules import ReadingRules
from tests.reactor.writing_rules import LARGE, HalfClosing, WritingRules
from tests.support.reactor_carriers import (
    RecordingProtocol,
    World,
    native_asyncio,
    native_uvloop,
    stock,
)
from tests.support.tls_carriers import Secured

pytestmark = pytest.mark.real


class Rules(Secured, WritingRules, ReadingRules, ProducerRules):
    """ITCPTransport, IConsumer and IPushProducer of one protocol above TLS."""

    def test_end_of_input_ends_the_connection(self, world: World) -> None:
        """IProtocol.connectionLost: what is not written yet is dropped, here with a reset."""
        protocol, peer = world.pair(RecordingProtocol)
        protocol.transport.write(LARGE)
        world.settle()
        peer.shutdown(socket.SHUT_WR)
        world.wait(lambda: protocol.reason)
        assert protocol.reason.check(ConnectionDone)
        with pytest.raises(ConnectionResetError):
            world.read(peer)

    def test_nothing_piles_up_behind_the_end(self, world: World) -> None:
        """RFC 8446, 6.1: what comes behind a close_notify is ignored, and not kept."""
        protocol, peer = world.pair(HalfClosing)
        peer.close_notify()
        world.wait(lambda: "read lost" in protocol.events)
        world.run(world.loop.sock_sendall(peer.sock, b"x" * 1_000_000))
        protocol.transport.write(b"answer")
        assert world.read(peer, 6) == b"answer"
        world.settle()
        assert protocol.transport._into.pending == 0

    def test_a_record_cut_anywhere(self, world: World) -> None:
        """RFC 8446, 5.1: records have nothing to do with the socket's reads."""
        protocol, peer = world.pair(RecordingProtocol)
        sent = b""
        for cut in (1, 4, 5, 6, 100, 999, 1020):
            octets = bytes(range(250)) * 4
            peer.tls.write(octets)
            record = peer.out.read()
            before = protocol.transport._into.pending, len(sent)
            peer.sock.send(record[:cut])
            world.settle()  # it may have been read, and gives nothing yet
            assert (protocol.transport._into.pending, len(protocol.received)) == before
            peer.sock.send(record[cut:])
            sent += octets
            world.wait(lambda sent=sent: protocol.received == sent)

    def test_end_without_close_notify(self, world: World) -> None:
        """RFC 8446, 6.1: a bare FIN may be anybody's, so it is no orderly end."""
        protocol, peer = world.pair(HalfClosing)
        peer.sock.shutdown(socket.SHUT_WR)
        world.wait(lambda: protocol.reason)
        assert protocol.reason.check(ConnectionLost)
        assert protocol.events == ["made", "lost"]

    def test_nothing_keeps_a_lost_connection(self, world: World) -> None:
        """Once it is lost, TLS is freed without the collector's help."""
        peer = world.pair(RecordingProtocol)[1]
        made = world.factories[-1].made
        kept = weakref.ref(made[0].transport)
        peer.close()
        world.wait(lambda: made[0].reason)
        made.clear()
        gc.disable()
        try:
            world.settle()
            assert kept() is None
        finally:
            gc.enable()


class TestUvloop(Rules):
    make_reactor = native_uvloop


class TestAsyncio(Rules):
    make_reactor = native_asyncio


class TestStock(Rules):
    make_reactor = stock
