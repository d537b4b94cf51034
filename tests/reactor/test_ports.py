"""What IReactorTCP, IReactorUNIX and IReactorSocket promise, kept by Twisted's and ours."""

from __future__ import annotations

import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import CannotListenError, UnsupportedAddressFamily
from twisted.internet.interfaces import (
    IConsumer,
    IListeningPort,
    IPushProducer,
    ISystemHandle,
    ITCPTransport,
    ITLSTransport,
)
from zope.interface.verify import verifyObject

from daphne_like.reactor.transport import NativeTransport
from tests.support.reactor_carriers import (
    Carried,
    Recorders,
    RecordingProtocol,
    World,
    native_asyncio,
    native_uvloop,
    reset,
    stock,
)


def echoes(world: World, factory: Recorders, peer: socket.socket) -> Any:
    """The protocol of a new connection, which works in both directions."""
    world.wait(lambda: factory.made)
    protocol = factory.made[-1]
    peer.send(b"question")
    world.wait(lambda: protocol.received == b"question")
    protocol.transport.write(b"answer")
    assert world.read(peer, 6) == b"answer"
    return protocol


class PortRules(Carried):
    """twisted.internet.interfaces.IListeningPort and the calls that give one."""

    def test_interfaces(self, world: World) -> None:
        """Ports and transports are what they claim to be."""
        protocol, _ = world.pair(RecordingProtocol)
        assert verifyObject(IListeningPort, world.ports[0])
        for interface in (ITCPTransport, ITLSTransport, IConsumer, IPushProducer, ISystemHandle):
            assert verifyObject(interface, protocol.transport)

    def test_ipv4_addresses(self, world: World) -> None:
        """ITransport.getPeer, getHost: IPv4Address; the factory is told the peer's."""
        protocol, peer = world.pair(RecordingProtocol)
        host = IPv4Address("TCP", *peer.getpeername())
        assert world.ports[0].getHost() == protocol.transport.getHost() == host
        there = IPv4Address("TCP", *peer.getsockname())
        assert protocol.transport.getPeer() == there
        assert protocol.factory.addresses == [there]

    def test_ipv6_addresses(self, world: World) -> None:
        """ITransport.getPeer, getHost: IPv6Address where the port's interface is one."""
        factory = world.factory(RecordingProtocol)
        port = world.listen(factory, interface="::1")
        peer = world.dial(socket.AF_INET6, ("::1", port.getHost().port))
        transport = echoes(world, factory, peer).transport
        assert port.getHost() == transport.getHost() == IPv6Address("TCP", *peer.getpeername())
        there = IPv6Address("TCP", *peer.getsockname())
        assert transport.getPeer() == there
        assert factory.addresses == [there]

    def test_peer_is_known_after_the_end(self, world: World) -> None:
        """ITransport.getPeer: in connectionLost and later, too."""
        protocol, peer = world.pair(RecordingProtocol)
        there = IPv4Address("TCP", *peer.getsockname())
        reset(peer)  # the kernel does not know it any more
        world.wait(lambda: protocol.reason)
        world.settle()
        assert protocol.transport.getPeer() == there

    def test_socket_options(self, world: World) -> None:
        """ITCPTransport.set/getTcpNoDelay, set/getTcpKeepAlive: the socket's own."""
        transport = world.pair(RecordingProtocol)[0].transport
        handle = transport.getHandle()
        assert handle.fileno() > 0
        for value in (True, False, True):
            transport.setTcpNoDelay(value)
            transport.setTcpKeepAlive(value)
            assert transport.getTcpNoDelay() is value
            assert transport.getTcpKeepAlive() is value
            assert bool(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is value
            assert bool(handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is value

    # Before 26.10 Twisted leaves the socket that it could not bind to the collector.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_taken_port_fails_at_once(self, world: World) -> None:
        """IReactorTCP.listenTCP: CannotListenError, raised by the call itself."""
        port = world.listen(world.factory(RecordingProtocol)).getHost().port
        refused = world.factory(RecordingProtocol)
        with pytest.raises(CannotListenError):
            world.reactor.listenTCP(port, refused, interface="127.0.0.1")
        assert refused.starts == 0

    def test_listens_when_the_call_returns(self, world: World) -> None:
        """IReactorTCP.listenTCP: the kernel takes connections before the reactor runs."""
        factory = world.factory(RecordingProtocol)
        port = world.listen(factory)
        peer = world.dial(socket.AF_INET, ("127.0.0.1", port.getHost().port))
        echoes(world, factory, peer)

    def test_stop_listening(self, world: World) -> None:
        """IListeningPort.stopListening: its Deferred means that the port is free; others live."""
        factory = world.factory(RecordingProtocol)
        port = world.listen(factory)
        address = port.getHost()
        peer = world.dial(socket.AF_INET, (address.host, address.port))
        world.wait(lambda: factory.made)
        world.stop(port)
        with pytest.raises(ConnectionRefusedError):
            world.dial(socket.AF_INET, (address.host, address.port))
        echoes(world, factory, peer)
        again = world.factory(RecordingProtocol)
        assert world.listen(again, port=address.port).getHost() == address
        echoes(world, again, world.dial(socket.AF_INET, (address.host, address.port)))

    def test_factory_is_told(self, world: World) -> None:
        """IProtocolFactory.doStart, doStop: when listening begins, when it is over."""
        factory = world.factory(RecordingProtocol)
        port = world.listen(factory)
        assert (factory.starts, factory.stops) == (1, 0)
        world.stop(port)
        assert (factory.starts, factory.stops) == (1, 1)

    def test_many_at_once(self, world: World) -> None:
        """Every connection in the queue is accepted."""
        factory = world.factory(RecordingProtocol)
        address = "127.0.0.1", world.listen(factory).getHost().port
        peers = [world.dial(socket.AF_INET, address) for _ in range(40)]
        world.wait(lambda: len(factory.made) == len(peers))

    @pytest.mark.parametrize("interface", ["127.0.0.1", "::1"])
    def test_adopt_tcp(self, world: World, interface: str) -> None:
        """IReactorSocket.adoptStreamPort: takes over a listening socket; the caller's stays his."""
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        listening = world.new_socket(family)
        listening.bind((interface, 0))
        listening.listen(5)
        factory = world.factory(RecordingProtocol)
        port = world.adopt(listening, factory)
        kind = IPv6Address if ":" in interface else IPv4Address
        assert port.getHost() == kind("TCP", *listening.getsockname())
        peer = world.dial(family, listening.getsockname())
        transport = echoes(world, factory, peer).transport
        assert transport.getPeer() == kind("TCP", *peer.getsockname())
        world.stop(port)
        assert listening.getsockname()

    def test_adopt_unix(self, world: World, tmp_path: Path) -> None:
        """IReactorSocket.adoptStreamPort: of AF_UNIX."""
        listening = world.new_socket(socket.AF_UNIX)
        listening.bind(str(tmp_path / "socket"))
        listening.listen(5)
        factory = world.factory(RecordingProtocol)
        port = world.adopt(listening, factory)
        assert port.getHost() == UNIXAddress(os.fsencode(tmp_path / "socket"))
        echoes(world, factory, world.dial(socket.AF_UNIX, listening.getsockname()))

    def test_adopt_other_families(self, world: World) -> None:
        """IReactorSocket.adoptStreamPort: UnsupportedAddressFamily for what is no stream's."""
        with pytest.raises(UnsupportedAddressFamily):
            world.reactor.adoptStreamPort(0, 4711, world.factory(RecordingProtocol))

    def test_unix(self, world: World, tmp_path: Path) -> None:
        """IReactorUNIX.listenUNIX: mode, addresses, no-ops of TCP; the path goes with the port."""
        path = tmp_path / "socket"
        factory = world.factory(RecordingProtocol)
        port = world.listen_unix(factory, path, mode=0o620)
        assert stat.S_IMODE(path.stat().st_mode) == 0o620
        transport = echoes(world, factory, world.dial(socket.AF_UNIX, str(path))).transport
        address = UNIXAddress(os.fsencode(path))
        assert port.getHost() == transport.getHost() == address
        assert transport.getPeer() == UNIXAddress(None)
        transport.setTcpNoDelay(True)
        assert not transport.getTcpNoDelay()
        world.stop(port)
        assert not path.exists()

    def test_unix_peer_with_a_name(self, world: World, tmp_path: Path) -> None:
        """ITransport.getPeer: the path a peer has bound."""
        factory = world.factory(RecordingProtocol)
        world.listen_unix(factory, tmp_path / "socket")
        peer = world.new_socket(socket.AF_UNIX)
        peer.bind(str(tmp_path / "peer"))
        peer.connect(str(tmp_path / "socket"))
        peer.setblocking(False)
        transport = echoes(world, factory, peer).transport
        assert transport.getPeer() == UNIXAddress(os.fsencode(tmp_path / "peer"))

    # Twisted does not close the socket it could not bind (26.10).
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_unix_path_that_is_taken(self, world: World, tmp_path: Path) -> None:
        """IReactorUNIX.listenUNIX: without the lock, any file in the way is CannotListenError."""
        world.listen_unix(world.factory(RecordingProtocol), tmp_path / "socket")
        with pytest.raises(CannotListenError):
            world.reactor.listenUNIX(str(tmp_path / "socket"), world.factory(RecordingProtocol))

    def test_unix_lock(self, world: World, tmp_path: Path) -> None:
        """IReactorUNIX.listenUNIX, wantPID: a lock beside the path; a second one is refused."""
        path, lock = tmp_path / "socket", tmp_path / "socket.lock"
        port = world.listen_unix(world.factory(RecordingProtocol), path, wantPID=True)
        assert lock.is_symlink()
        with pytest.raises(CannotListenError):
            world.reactor.listenUNIX(str(path), world.factory(RecordingProtocol), wantPID=True)
        world.stop(port)
        assert not lock.is_symlink()

    def test_unix_stale_socket(self, world: World, tmp_path: Path) -> None:
        """IReactorUNIX.listenUNIX, wantPID: what a dead process left behind is cleared away."""
        path = tmp_path / "socket"
        world.new_socket(socket.AF_UNIX).bind(str(path))
        dead = 2**22 + 1  # above the kernel's largest process id
        (tmp_path / "socket.lock").symlink_to(str(dead))
        factory = world.factory(RecordingProtocol)
        world.listen_unix(factory, path, wantPID=True)
        echoes(world, factory, world.dial(socket.AF_UNIX, str(path)))

    @pytest.mark.skipif(sys.platform != "linux", reason="abstract names exist on Linux only")
    def test_unix_abstract_name(self, world: World, tmp_path: Path) -> None:
        """IReactorUNIX.listenUNIX: a name that begins with NUL is no file."""
        name = f"\0{tmp_path}"
        factory = world.factory(RecordingProtocol)
        port = world.listen_unix(factory, name)
        transport = echoes(world, factory, world.dial(socket.AF_UNIX, name)).transport
        assert port.getHost() == transport.getHost() == UNIXAddress(os.fsencode(name))


class TestStockPorts(PortRules):
    make_reactor = stock


class NativePortRules(PortRules):
    """Where ours differs."""

    @pytest.mark.parametrize("interface", ["127.0.0.1", "::1"])
    def test_no_delay_is_on_by_default(self, world: World, interface: str) -> None:
        """TCP_NODELAY is on for every accepted connection; with Twisted's it is off."""
        factory = world.factory(RecordingProtocol)
        port = world.listen(factory, interface=interface)
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        peer = world.dial(family, (interface, port.getHost().port))
        assert echoes(world, factory, peer).transport.getTcpNoDelay()

    def test_no_protocol_once_the_port_is_closed(self, world: World) -> None:
        """A connection that the loop accepted late is dropped, not built: doStop was called."""
        factory = world.factory(RecordingProtocol)
        port = world.listen(factory)
        world.stop(port)
        ours, peer = socket.socketpair()
        world.sockets.append(peer)
        peer.setblocking(False)
        late: Any = NativeTransport(port)
        world.run(world.loop.connect_accepted_socket(lambda: late, ours))
        assert world.read(peer) == b""
        assert factory.made == []

    def test_unnamed_unix_peer_has_one_address(self, world: World, tmp_path: Path) -> None:
        """The factory is told what getPeer says: UNIXAddress(None); Twisted's tells it b""."""
        factory = world.factory(RecordingProtocol)
        world.listen_unix(factory, tmp_path / "socket")
        peer = world.dial(socket.AF_UNIX, str(tmp_path / "socket"))
        transport = echoes(world, factory, peer).transport
        assert factory.addresses == [UNIXAddress(None)] == [transport.getPeer()]


class TestUvloopPorts(NativePortRules):
    make_reactor = native_uvloop


class TestAsyncioPorts(NativePortRules):
    make_reactor = native_asyncio
