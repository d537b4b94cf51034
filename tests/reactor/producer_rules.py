"""What every transport does with producers, native and Twisted's own, TCP and TLS."""

from __future__ import annotations

import time
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from tests.reactor.writing_rules import LARGE, HalfClosing
from tests.support.reactor_carriers import (
    Carried,
    RecordingProtocol,
    World,
)

CHUNK = b"x" * 30_000
CHUNKS = 200


@implementer(IPushProducer)
class Push:
    """Records what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


@implementer(IPullProducer)
class Pull:
    """Writes one chunk each time, then unregisters."""

    def __init__(self, transport: Any, chunks: int = CHUNKS) -> None:
        self.transport = transport
        self.left = chunks
        self.calls = 0
        self.stopped = False

    def resumeProducing(self) -> None:
        self.calls += 1
        self.left -= 1
        self.transport.write(CHUNK)
        if self.left == 0:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.stopped = True


class ProducerRules(Carried):
    """twisted.internet.interfaces.IConsumer, IPushProducer, IPullProducer."""

    def test_push_producer_is_paused_and_resumed(self, world: World) -> None:
        """IConsumer.registerProducer, streaming: paused while the buffer is full."""
        protocol, peer = world.pair(RecordingProtocol)
        producer = Push()
        protocol.transport.registerProducer(producer, True)
        protocol.transport.write(b"little")
        assert producer.calls == []
        protocol.transport.write(LARGE)
        world.settle()
        assert producer.calls[-1] == "pause"
        assert len(world.read(peer, len(LARGE) + 6)) == len(LARGE) + 6
        world.wait(lambda: producer.calls[-1] == "resume")
        protocol.transport.unregisterProducer()
        protocol.transport.write(LARGE)
        calls = list(producer.calls)
        world.read(peer, len(LARGE))
        world.settle()
        assert producer.calls == calls

    def test_sequences_pause_too(self, world: World) -> None:
        """IConsumer.registerProducer: writeSequence counts like write."""
        protocol, peer = world.pair(RecordingProtocol)
        producer = Push()
        protocol.transport.registerProducer(producer, True)
        protocol.transport.writeSequence([LARGE, b"end"])
        world.settle()
        assert producer.calls == ["pause"]
        assert world.read(peer, len(LARGE) + 3)[-3:] == b"end"
        world.wait(lambda: producer.calls == ["pause", "resume"])

    def test_pull_producer_is_asked_until_done(self, world: World) -> None:
        """IConsumer.registerProducer, not streaming: asked at once, again whenever all is out."""
        protocol, peer = world.pair(RecordingProtocol)
        producer = Pull(protocol.transport)
        protocol.transport.write(b"head")
        protocol.transport.registerProducer(producer, False)
        assert producer.calls == 1
        assert len(world.read(peer, 4 + CHUNKS * len(CHUNK))) == 4 + CHUNKS * len(CHUNK)
        assert producer.calls == CHUNKS
        protocol.transport.write(b"tail")
        assert world.read(peer, 4) == b"tail"

    def test_pull_producer_waits_for_a_slow_peer(self, world: World) -> None:
        """IPullProducer.resumeProducing: not before what it wrote last is out."""
        protocol, _ = world.pair(RecordingProtocol)
        producer = Pull(protocol.transport, chunks=1_000_000)
        protocol.transport.registerProducer(producer, False)
        before = -1
        while producer.calls != before:  # the kernel takes a while to fill its buffers
            before = producer.calls
            assert before < 1_000
            world.settle(2000)
            time.sleep(0.1)

    def test_pull_producer_that_takes_its_time(self, world: World) -> None:
        """IPullProducer.resumeProducing: not called again before the producer has written."""

        class Slow(Pull):
            def resumeProducing(self) -> None:
                self.calls += 1

        protocol, peer = world.pair(RecordingProtocol)
        producer = Slow(protocol.transport)
        protocol.transport.registerProducer(producer, False)
        world.settle()
        assert producer.calls == 1
        protocol.transport.write(b"late")
        assert world.read(peer, 4) == b"late"
        world.wait(lambda: producer.calls == 2)
        protocol.transport.writeSequence([b"la", b"ter"])
        assert world.read(peer, 5) == b"later"
        world.wait(lambda: producer.calls == 3)

    def test_second_producer_is_refused(self, world: World) -> None:
        """IConsumer.registerProducer: RuntimeError while another is registered."""
        protocol, _ = world.pair(RecordingProtocol)
        protocol.transport.registerProducer(Push(), True)
        with pytest.raises(RuntimeError):
            protocol.transport.registerProducer(Push(), True)

    @pytest.mark.parametrize("streaming", [True, False])
    def test_stopped_when_the_connection_is_lost(self, world: World, streaming: bool) -> None:
        """IConsumer.registerProducer: stopProducing before connectionLost; later ones at once."""
        protocol, peer = world.pair(RecordingProtocol)
        producer = Push()
        producer.resumeProducing()
        protocol.transport.registerProducer(producer, streaming)
        peer.close()
        world.wait(lambda: protocol.reason)
        assert producer.calls[-1] == "stop"
        late = Push()
        protocol.transport.registerProducer(late, streaming)
        assert late.calls == ["stop"]

    def test_lose_connection_waits_for_a_pull_producer(self, world: World) -> None:
        """ITransport.loseConnection: not closed until the producer is unregistered."""
        protocol, peer = world.pair(RecordingProtocol)
        protocol.transport.registerProducer(Pull(protocol.transport), False)
        protocol.transport.loseConnection()
        assert len(world.read(peer)) == CHUNKS * len(CHUNK)
        world.wait(lambda: protocol.reason)
        assert protocol.reason.check(ConnectionDone)

    def test_lose_connection_waits_for_a_paused_producer(self, world: World) -> None:
        """ITransport.loseConnection: a producer that was paused is resumed, and may finish."""
        protocol, peer = world.pair(RecordingProtocol)
        producer = Push()
        protocol.transport.registerProducer(producer, True)
        protocol.transport.write(LARGE)
        protocol.transport.loseConnection()
        assert world.read(peer, len(LARGE)) == LARGE
        world.wait(lambda: producer.calls == ["pause", "resume"])
        protocol.transport.write(b"last")
        protocol.transport.unregisterProducer()
        assert world.read(peer) == b"last"
        world.wait(lambda: protocol.reason)
        assert producer.calls == ["pause", "resume"]

    def test_lose_connection_stops_reading_at_once(self, world: World) -> None:
        """Twisted's transports read no more after loseConnection, though a producer goes on."""
        protocol, peer = world.pair(RecordingProtocol)
        protocol.transport.registerProducer(Push(), True)
        protocol.transport.write(LARGE)
        protocol.transport.loseConnection()
        peer.send(b"unread")
        world.settle()
        assert (protocol.received, protocol.reason) == (b"", None)

    def test_half_close_waits_for_a_pull_producer(self, world: World) -> None:
        """ITCPTransport.loseWriteConnection: only once no producer is registered."""
        protocol, peer = world.pair(HalfClosing)
        protocol.transport.registerProducer(Pull(protocol.transport), False)
        protocol.transport.loseWriteConnection()
        assert len(world.read(peer)) == CHUNKS * len(CHUNK)
        world.wait(lambda: "write lost" in protocol.events)

    def test_lose_connection_does_not_wait_for_an_idle_push_producer(self, world: World) -> None:
        """Twisted's transports wait for a streaming producer only while it is paused.

        ITransport.loseConnection says they always do; wrappers rely on what they do.
        """
        protocol, peer = world.pair(RecordingProtocol)
        producer = Push()
        protocol.transport.registerProducer(producer, True)
        protocol.transport.write(b"last")
        protocol.transport.loseConnection()
        world.wait(lambda: protocol.reason)
        assert world.read(peer) == b"last"
