"""Sockets that a supervisor binds and its workers adopt."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError

from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.inherited import InheritedReactor, RecordingReactor, ReservedPort


class Adopted:
    """A port in memory that has adopted a descriptor, as Twisted's ports do: a duplicate of it."""

    backlog = 0

    def __init__(self, descriptor: int) -> None:
        self.socket = socket.socket(fileno=os.dup(descriptor))

    def fileno(self) -> int:
        """Return its descriptor."""
        return self.socket.fileno()


class AdoptingReactor:
    """A reactor that adopts sockets and binds nothing by itself."""

    def __init__(self) -> None:
        self.adopted: list[Adopted] = []

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> Adopted:
        made = Adopted(descriptor)
        assert made.socket.family == family
        self.adopted.append(made)
        return made


@pytest.fixture
def reactor() -> Iterator[AdoptingReactor]:
    """Return a reactor; its ports are closed afterwards."""
    made = AdoptingReactor()
    yield made
    for port in made.adopted:
        port.socket.close()


def listening() -> tuple[int, tuple[str, int]]:
    """Return the descriptor and the address of a socket that listens."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        return os.dup(made.fileno()), made.getsockname()


class TestAdoption:
    """The n-th call adopts the n-th socket."""

    def test_order(self, reactor: AdoptingReactor) -> None:
        """Whatever a string says: the supervisor has read the same one."""
        (first, address), (second, other) = listening(), listening()
        inherited = InheritedReactor(reactor, [first, second])
        for string in ("tcp:80", "unix:/run/s"):
            serverFromString(inherited, string).listen(None)
        assert [port.socket.getsockname() for port in reactor.adopted] == [address, other]

    def test_descriptors(self, reactor: AdoptingReactor) -> None:
        """The inherited one is closed, so that the port's is the only one of this process."""
        descriptor, _ = listening()
        InheritedReactor(reactor, [descriptor]).adoptStreamPort(99, socket.AF_INET, None)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)

    def test_backlog(self, reactor: AdoptingReactor) -> None:
        """The string's, not the system's maximum; a socket of somebody else keeps its own."""
        (first, _), (second, _) = listening(), listening()
        inherited = InheritedReactor(reactor, [first, second])
        port = inherited.listenTCP(80, None, backlog=7)
        given = inherited.adoptStreamPort(3, socket.AF_INET, None)
        assert (port.backlog, given.backlog) == (7, 0)

    def test_too_few(self, reactor: AdoptingReactor) -> None:
        """An endpoint that listens more often in a worker than in the supervisor."""
        inherited = InheritedReactor(reactor, [])
        for call in (inherited.listenTCP, inherited.listenUNIX):
            with pytest.raises(ConfigurationError, match="fewer sockets"):
                call(80, None)


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="needs SO_REUSEPORT")
class TestReusePort:
    """--reuse-port: each worker binds a socket of its own."""

    def test_reserved_by_the_supervisor(self, reactor: AdoptingReactor) -> None:
        """The supervisor's socket does not listen, so that no connection goes there."""
        recording = RecordingReactor(reactor, reuse_port=True)
        port = recording.listenTCP(0, None, interface="127.0.0.1")
        try:
            host = port.getHost()
            assert recording.ports == [port]
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host.host, host.port), 1)
            worker = InheritedReactor(reactor, [os.dup(port.fileno())], reuse_port=True)
            worker.listenTCP(80, None, 7)
            with socket.create_connection((host.host, host.port), 1):
                pass
            assert reactor.adopted[0].backlog == 7
        finally:
            port.stopListening()

    def test_an_address_in_use(self) -> None:
        """Somebody else listens there: the error that every endpoint raises."""
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(CannotListenError):
            ReservedPort(taken.getsockname()[1], "127.0.0.1")

    def test_ipv6(self) -> None:
        """The address tells the family."""
        try:
            port = ReservedPort(0, "::1")
        except CannotListenError:
            pytest.skip("no IPv6 here")
        assert (port.getHost().host, port.getHost().port > 0) == ("::1", True)
        port.stopListening()
