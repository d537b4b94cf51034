"""What ITCPTransport promises about writing and closing, kept by Twisted's transports and ours."""

from __future__ import annotations

from typing import Any

import pytest

from tests.reactor.writing_rules import HalfClosing, WritingRules
from tests.support.reactor_carriers import (
    RecordingProtocol,
    World,
    native_asyncio,
    native_uvloop,
    stock,
)


class TestStockWriting(WritingRules):
    make_reactor = stock

    @pytest.mark.parametrize("kind", [bytearray, memoryview])
    def test_only_bytes_are_written(self, world: World, kind: Any) -> None:
        """Twisted refuses what is not bytes."""
        protocol, _ = world.pair(RecordingProtocol)
        with pytest.raises(TypeError):
            protocol.transport.write(kind(b"octets"))


class NativeWritingRules(WritingRules):
    """Where ours differs."""

    @pytest.mark.parametrize("kind", [bytearray, memoryview])
    def test_anything_like_bytes_is_written(self, world: World, kind: Any) -> None:
        """`write` is the loop's own, which takes what is like bytes as well; Twisted's refuses it.

        A check would be code of ours on every write. It is copied: changing it later is safe.
        """
        protocol, peer = world.pair(RecordingProtocol)
        octets = bytearray(b"octets")
        protocol.transport.write(kind(octets))
        octets[:] = b"OTHERS"
        assert world.read(peer, 6) == b"octets"

    def test_half_close_with_little_left(self, world: World) -> None:
        """writeConnectionLost comes also where the buffer was never full, only not empty."""
        protocol, peer = world.pair(HalfClosing)
        written = 0
        while not protocol.transport._transport.get_write_buffer_size():
            protocol.transport.write(b"x" * 1000)
            written += 1000
            world.settle(2)  # what the kernel does not take stays in the buffer
        protocol.transport.loseWriteConnection()
        world.settle()
        assert protocol.events == ["made"]
        assert len(world.read(peer)) == written
        world.wait(lambda: "write lost" in protocol.events)


class TestUvloopWriting(NativeWritingRules):
    make_reactor = native_uvloop


class TestAsyncioWriting(NativeWritingRules):
    make_reactor = native_asyncio
