"""What ISendfileTransport promises, kept by the native transport on both event loops."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from daphne_like.reactor.tls import SecuredTransport
from daphne_like.transport_interfaces import ISendfileTransport
from tests.reactor.writing_rules import LARGE
from tests.support.reactor_carriers import (
    Carried,
    RecordingProtocol,
    World,
    native_asyncio,
    native_uvloop,
    reset,
)

pytestmark = pytest.mark.skipif(not hasattr(os, "sendfile"), reason="there is no os.sendfile")


@implementer(IPushProducer)
class Sending(RecordingProtocol):
    """Writes, sends a file, and writes, as far as it is let."""

    file = -1
    before = b"before"
    behind = b"behind"
    step = 1 << 18

    def on_made(self) -> None:
        self.descriptors = descriptors()
        self.offset = 0
        self.paused = False
        self.calls: list[str] = []
        self.transport.registerProducer(self, True)
        self.transport.write(self.before)
        self.go_on()

    def go_on(self) -> None:
        while not self.paused:
            sent = self.transport.send_file(self.file, self.offset, self.step)
            if sent is None:
                assert self.paused
            elif sent:
                self.offset += sent
            else:
                self.transport.write(self.behind)
                self.transport.unregisterProducer()
                self.transport.loseConnection()
                return

    def pauseProducing(self) -> None:
        self.paused = True
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.paused = False
        self.calls.append("resume")
        self.go_on()

    def stopProducing(self) -> None:
        self.calls.append("stop")


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


class FileRules(Carried):
    """daphne_like.transport_interfaces.ISendfileTransport."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Iterator[int]:
        path = tmp_path / "file"
        path.write_bytes(LARGE)
        descriptor = os.open(path, os.O_RDONLY)
        yield descriptor
        os.close(descriptor)

    def connect(self, world: World, file: int, **how: Any) -> tuple[Any, Any]:
        return world.pair(type("Ours", (Sending,), {"file": file, **how}))

    def test_in_its_place(self, world: World, file: int) -> None:
        """Behind what was written, before what is; the file's own position is not touched."""
        protocol, peer = self.connect(world, file)
        assert world.read(peer) == b"before" + LARGE + b"behind"
        world.wait(lambda: protocol.reason)
        assert os.lseek(file, 0, os.SEEK_CUR) == 0
        assert "pause" in protocol.calls  # ten megabytes are more than a socket holds
        assert protocol.calls[-1] == "resume"
        assert descriptors() < protocol.descriptors

    def test_behind_what_the_transport_holds(self, world: World, file: int) -> None:
        """Order: nothing of the file goes out while the loop has octets in its buffer."""
        protocol, peer = self.connect(world, file, before=LARGE)
        world.settle()
        assert protocol.offset == 0
        assert world.read(peer) == LARGE + LARGE + b"behind"

    def test_little_that_the_transport_holds(self, world: World, file: int) -> None:
        """Order, also below the mark from which the loop says that it holds anything."""
        protocol, peer = self.connect(world, file)
        world.settle()
        transport, offset = protocol.transport, protocol.offset
        transport._unwatch()  # the socket is full
        transport.write(b"little")
        del protocol.calls[:]
        assert transport.send_file(file, offset, 1) is None
        assert protocol.calls == ["pause"]
        assert (
            world.read(peer) == b"before" + LARGE[:offset] + b"little" + LARGE[offset:] + b"behind"
        )
        assert not transport._drains  # from now on it tells of its high-water mark again

    def test_full_socket(self, world: World, file: int) -> None:
        """The producer is paused as long as the peer does not read, and the file waits."""
        protocol, peer = self.connect(world, file)
        world.settle()
        offset = protocol.offset
        assert protocol.calls == ["pause"]
        assert 0 < offset < len(LARGE)
        world.settle()
        assert protocol.offset == offset
        assert protocol.transport.send_file(file, 0, 1) is None
        assert protocol.calls == ["pause"]
        world.read(peer)

    def test_reading_goes_on(self, world: World, file: int) -> None:
        """What the peer sends meanwhile arrives: the loop reads the same socket."""
        protocol, peer = self.connect(world, file)
        world.settle()
        peer.send(b"hello")
        world.wait(lambda: protocol.received == b"hello")
        assert world.read(peer) == b"before" + LARGE + b"behind"

    @pytest.mark.parametrize("how", ["reset", "abort"])
    def test_lost(self, world: World, file: int, how: str) -> None:
        """However it ends: connectionLost comes, and the duplicate is closed."""
        protocol, peer = self.connect(world, file)
        world.settle()
        assert protocol.calls == ["pause"]
        before = descriptors()
        if how == "reset":
            reset(peer)
        else:
            protocol.transport.abortConnection()
        world.wait(lambda: protocol.events[-1] == "lost")
        expected = ConnectionLost if how == "reset" else ConnectionAborted
        assert protocol.reason.check(expected)
        world.settle()
        # The connection itself, its duplicate, and the peer that was reset.
        assert descriptors() == before - (3 if how == "reset" else 2)

    def test_error_of_the_socket(self, world: World, file: int) -> None:
        """A connection that os.sendfile finds gone is lost, as by a failed write."""
        protocol, _ = self.connect(world, file)
        world.settle()
        transport = protocol.transport
        transport._unwatch()
        with socket.socket(fileno=os.dup(transport._socket().fileno())) as same:
            same.shutdown(socket.SHUT_WR)
        assert transport.send_file(file, 0, 1) is None
        world.wait(lambda: protocol.events[-1] == "lost")
        assert protocol.reason.check(ConnectionLost)

    def test_error_of_the_file(self, world: World, file: int) -> None:
        """It is the caller's, and the connection is as before."""

        class Ours(RecordingProtocol):
            def on_made(self) -> None:
                with pytest.raises(OSError, match="Bad file descriptor"):
                    self.transport.send_file(999_999, 0, 1)
                self.transport.write(b"as before")
                self.transport.loseConnection()

        _, peer = world.pair(Ours)
        assert world.read(peer) == b"as before"

    def test_offset_and_count(self, world: World, file: int) -> None:
        """No more than asked for; 0 at the end of the file and behind it."""
        sent = []

        class Ours(RecordingProtocol):
            def on_made(self) -> None:
                for offset in (10, len(LARGE), len(LARGE) + 1):
                    sent.append(self.transport.send_file(file, offset, 5))
                self.transport.loseConnection()

        _, peer = world.pair(Ours)
        assert world.read(peer) == LARGE[10:15]
        assert sent == [5, 0, 0]

    def test_closed(self, world: World, file: int) -> None:
        """Nothing is sent after loseConnection, as nothing is written."""
        protocol, peer = world.pair(RecordingProtocol)
        protocol.transport.loseConnection()
        assert protocol.transport.send_file(file, 0, 5) is None
        assert world.read(peer) == b""


class TestUVLoop(FileRules):
    make_reactor = staticmethod(native_uvloop)


class TestAsyncio(FileRules):
    make_reactor = staticmethod(native_asyncio)


class TestTLS:
    """A file must not go past the TLS layer."""

    def test_secured(self) -> None:
        """After startTLS a file is refused, by an error that lets it be read instead."""
        with pytest.raises(OSError, match="TLS"):
            SecuredTransport.send_file(object.__new__(SecuredTransport), 0, 0, 1)

    def test_wrappers(self) -> None:
        """What only claims what the transport below it provides is not asked."""
        assert not ISendfileTransport.implementedBy(TLSMemoryBIOProtocol)
        assert not ISendfileTransport.implementedBy(ProtocolWrapper)
