"""The listening sockets of a supervisor."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError

from daphne_like.exceptions import ConfigurationError
from daphne_like.options import Options
from daphne_like.process.bound_sockets import BoundSockets, NeverAccepts
from daphne_like.process.spawning import Inheritance


class Port:
    """A port in memory."""

    def __init__(self, number: int, descriptor: int) -> None:
        self.number = number
        self.descriptor = descriptor
        self.listening = True

    def fileno(self) -> int:
        """Return its descriptor."""
        return self.descriptor

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", self.number)

    def stopListening(self) -> None:
        self.listening = False


class PortReactor:
    """A reactor whose ports are in memory; a port number is taken once, 0 is a free one."""

    def __init__(self) -> None:
        self.ports: list[Port] = []

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Port:
        assert factory.buildProtocol(None) is None
        if port in [each.number for each in self.ports if each.listening]:
            raise CannotListenError(interface, port, OSError(98, "Address already in use"))
        made = Port(port or 40000 + len(self.ports), 100 + len(self.ports))
        self.ports.append(made)
        return made

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> Port:
        made = Port(descriptor, descriptor)
        self.ports.append(made)
        return made

    @property
    def listening(self) -> list[int]:
        """Numbers of the ports that listen."""
        return [port.number for port in self.ports if port.listening]


@pytest.fixture
def reactor() -> PortReactor:
    """Return a reactor."""
    return PortReactor()


@pytest.fixture
def sockets(reactor: PortReactor) -> BoundSockets:
    """Return sockets of which none is bound."""
    return BoundSockets(reactor)


def bind(sockets: BoundSockets, *strings: str) -> None:
    """Bind endpoint strings, or raise what the Deferred fails with."""
    failures: list[Any] = []
    sockets.bind(strings, Options()).addErrback(failures.append)
    for failure in failures:
        failure.raiseException()


class TestBind:
    """Endpoint strings become listening sockets."""

    def test_in_order(self, sockets: BoundSockets) -> None:
        """A worker gets the sockets in the order in which it listens."""
        bind(sockets, "tcp:81", "tcp:80")
        assert sockets.inheritance(["tcp:81", "tcp:80"]) == Inheritance([100, 101], {})
        assert sockets.inheritance(["tcp:80"]) == Inheritance([101], {})
        assert sockets.addresses(["tcp:80"]) == [("127.0.0.1", 80)]

    def test_equal_strings(self, sockets: BoundSockets, reactor: PortReactor) -> None:
        """Two free ports are two sockets, as without workers."""
        strings = ["tcp:0", "tcp:0"]
        bind(sockets, *strings)
        assert sockets.inheritance(strings).sockets == [100, 101]
        assert [port for _, port in sockets.addresses(strings)] == [40000, 40001]
        sockets.close(keep=["tcp:0"])
        assert reactor.listening == [40000]

    def test_the_same_port_twice(self, sockets: BoundSockets, reactor: PortReactor) -> None:
        """It is in use, as without workers; what was bound by this call is closed."""
        bind(sockets, "tcp:79")
        with pytest.raises(ConfigurationError, match="in use"):
            bind(sockets, "tcp:79", "tcp:80", "tcp:80")
        assert reactor.listening == [79]
        bind(sockets, "tcp:79", "tcp:80")
        assert reactor.listening == [79, 80]

    def test_an_unknown_string(self, sockets: BoundSockets, reactor: PortReactor) -> None:
        """Nothing of a wrong configuration stays bound."""
        with pytest.raises(ConfigurationError, match="nothing"):
            bind(sockets, "tcp:80", "nothing:80")
        assert reactor.listening == []


class TestChange:
    """A restart with other endpoint strings."""

    def test_new_ones_first(self, sockets: BoundSockets, reactor: PortReactor) -> None:
        """Those that stay are not bound again; those that are gone close at the end."""
        bind(sockets, "tcp:80", "tcp:81")
        bind(sockets, "tcp:81", "tcp:82")
        assert reactor.listening == [80, 81, 82]
        assert sockets.inheritance(["tcp:81", "tcp:82"]).sockets == [101, 102]
        sockets.close(keep=["tcp:81", "tcp:82"])
        assert reactor.listening == [81, 82]
        sockets.close()
        assert reactor.listening == []

    def test_validation_binds_nothing(self, sockets: BoundSockets, reactor: PortReactor) -> None:
        """A wrong string is found before anything is changed."""
        sockets.validate(["tcp:80"], Options())
        with pytest.raises(ConfigurationError):
            sockets.validate(["tcp:80", "tcp:x"], Options())
        assert reactor.ports == []


def test_nothing_is_accepted() -> None:
    """If a connection came in spite of all, the supervisor would not keep it."""
    assert NeverAccepts().buildProtocol(None) is None
