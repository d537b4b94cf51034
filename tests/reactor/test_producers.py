"""IConsumer's promises, kept by Twisted's transports and ours."""

from __future__ import annotations

from tests.reactor.producer_rules import CHUNK, ProducerRules, Pull, Push
from tests.reactor.writing_rules import LARGE
from tests.support.reactor_carriers import (
    RecordingProtocol,
    World,
    native_asyncio,
    native_uvloop,
    stock,
)


class TestStockProducers(ProducerRules):
    make_reactor = stock


class NativeProducerRules(ProducerRules):
    """Where ours differs."""

    def test_registered_into_a_full_buffer(self, world: World) -> None:
        """A push producer that is registered while the buffer is full is paused at once.

        Twisted's pauses it at its first write, which the buffer then has to take.
        """
        protocol, peer = world.pair(RecordingProtocol)
        producer = Push()
        protocol.transport.write(LARGE)
        world.settle()
        protocol.transport.registerProducer(producer, True)
        assert producer.calls == ["pause"]
        world.read(peer, len(LARGE))
        world.wait(lambda: producer.calls == ["pause", "resume"])

    def test_limits_after_a_pull_producer(self, world: World) -> None:
        """The buffer's limits are the usual ones again once a pull producer is done."""
        protocol, peer = world.pair(RecordingProtocol)
        transport = protocol.transport
        pull = Pull(transport, chunks=1_000_000)
        transport.registerProducer(pull, False)
        calls = 0
        while calls < pull.calls:  # until the kernel takes no more
            calls = pull.calls
            world.settle(10)
        transport.unregisterProducer()
        world.read(peer, calls * len(CHUNK))
        producer = Push()
        transport.registerProducer(producer, True)
        while not producer.calls:  # what the kernel does not take stays in the buffer
            transport.write(b"x" * 1000)
            world.settle(2)
        assert transport._transport.get_write_buffer_size() > 16_384

    def test_error_in_a_producer_ends_the_connection(self, world: World) -> None:
        """A producer that raises ends its connection, and is logged."""

        class Fails(Pull):
            def resumeProducing(self) -> None:
                if self.calls:
                    raise ValueError("mine")
                super().resumeProducing()

        protocol, _ = world.pair(RecordingProtocol)
        protocol.transport.registerProducer(Fails(protocol.transport), False)
        world.wait(lambda: protocol.reason)
        assert protocol.reason.check(ValueError)
        assert len(world.logged) == 1


class TestUvloopProducers(NativeProducerRules):
    make_reactor = native_uvloop


class TestAsyncioProducers(NativeProducerRules):
    make_reactor = native_asyncio
