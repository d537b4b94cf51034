"""The life of a Server: bind, startup, accept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IPushProducer
from twisted.internet.testing import MemoryReactor
from zope.interface import implementer

from daphne_like.exceptions import ConfigurationError
from daphne_like.http.h1.connection import HTTP1Connection
from daphne_like.listening import ports as subject
from daphne_like.listening.reactor_proxy import ReactorProxy
from tests.support.peers import answer_at_once

ADDRESS = IPv4Address("TCP", "192.0.2.2", 80)


class Port:
    """One of a third party, which cannot be told to wait."""

    def __init__(self, factory: Any) -> None:
        self.factory = factory
        self.stopped = False

    def getHost(self) -> Any:
        return ADDRESS

    def stopListening(self) -> None:
        self.stopped = True


@implementer(IPushProducer)
class PatientPort(Port):
    """One as Twisted's and ours are."""

    paused = False

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def stopProducing(self) -> None:
        raise NotImplementedError


class Adopting(ReactorProxy):
    """A reactor that has the ports before they are asked for, as a worker process does."""

    def __init__(self) -> None:
        super().__init__(MemoryReactor())
        self.ports: list[tuple[int, PatientPort]] = []

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        self.ports.append((port, PatientPort(factory)))
        return self.ports[-1][1]


class Endpoint:
    """Listens by making a port of a kind, or fails."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def listen(self, factory: Any) -> Deferred[Any]:
        self.port = self.kind(factory)
        return succeed(self.port)


def taken(factory: Any) -> Any:
    raise CannotListenError(None, 80, OSError(98, "Address already in use"))


@pytest.fixture
def listening(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Any, list[Any]]]:
    """listening(*kinds): a server with an endpoint of each kind, and the endpoints."""

    def make(*kinds: Any) -> tuple[Any, list[Any]]:
        endpoints = [Endpoint(kind) for kind in kinds]
        monkeypatch.setattr(subject, "endpoints_from", lambda *_, **__: endpoints)
        memory = serve(answer_at_once, endpoints=["one"] * len(kinds))
        return memory.server, endpoints

    return make


class TestBinding:
    """Bind, start the application, then accept (ASGI L05, L06)."""

    def test_a_redirect_that_cannot_listen(
        self, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The ports of the application are given back, and no address is left."""
        served, redirecting = Endpoint(Port), Endpoint(taken)
        kinds = {"one": [served], "two": [redirecting]}
        monkeypatch.setattr(subject, "endpoints_from", lambda strings, *_, **__: kinds[strings[0]])
        server = serve(answer_at_once, endpoints=["one"], https_redirect=("two",)).server
        failures: list[Any] = []
        server.bind().addErrback(failures.append)
        assert [failure.type for failure in failures] == [ConfigurationError]
        assert served.port.stopped
        assert (server.listeners, server.listening_addresses) == ([], [])

    def test_a_reactor_that_adopts(self, serve: Callable[..., Any]) -> None:
        """Endpoints that are parsed before `bind` listen through the reactor of the parser."""
        adopting, other = Adopting(), Adopting()
        server = serve(answer_at_once, endpoints=["tcp:1"], https_redirect=("tcp:2",)).server
        server.ports.parse(adopting)
        server.reactor = other
        server.bind()
        assert [number for number, _ in adopting.ports] == [1, 2]
        assert other.ports == []
        assert server.listeners == [adopting.ports[0][1]]
        assert all(port.paused for _, port in adopting.ports)
        server.accept()
        assert not any(port.paused for _, port in adopting.ports)

    def test_ports_wait(self, listening: Callable[..., Any]) -> None:
        """A port that can wait does not accept before the application has started."""
        server, (endpoint,) = listening(PatientPort)
        server.bind()
        assert endpoint.port.paused
        server.accept()
        assert not endpoint.port.paused

    def test_a_port_that_cannot_wait(self, listening: Callable[..., Any]) -> None:
        """It gets no protocol until then, which drops the connection."""
        server, (endpoint,) = listening(Port)
        server.bind()
        assert endpoint.port.factory.buildProtocol(ADDRESS) is None
        server.accept()
        assert isinstance(endpoint.port.factory.buildProtocol(ADDRESS), HTTP1Connection)

    def test_one_that_cannot_be_had(self, listening: Callable[..., Any]) -> None:
        """The others are given back, and the error says which and why."""
        server, (endpoint, _) = listening(PatientPort, taken)
        failures: list[Any] = []
        server.bind().addErrback(failures.append)
        failures[0].trap(ConfigurationError)
        assert str(failures[0].value) == "Cannot listen on one: Address already in use"
        assert endpoint.port.stopped
        assert server.listening_addresses == []
