"""`https:` strings, and the factory behind them, without a reactor that runs."""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.interfaces import IStreamServerEndpoint, IStreamServerEndpointStringParser
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock, StringTransport
from zope.interface.verify import verifyObject

from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.https import IReloadable, SecureParser
from daphne_like.listening.parse import endpoints_from
from daphne_like.tls.certificates import Certificates, TLSSettings
from daphne_like.tls.factory import CHECK_INTERVAL_SECONDS, SecureFactory
from tests.support.certificates import Authority

AUTHORITY = Authority()
SITE = AUTHORITY.issue("localhost")
OTHER = AUTHORITY.issue("other.example")


class Counted(Factory):
    """Counts its starts."""

    noisy = False
    running = 0

    def startFactory(self) -> None:
        self.running += 1

    def stopFactory(self) -> None:
        self.running -= 1


class Lower(StringTransport):
    """A transport that knows how to abort, as StringTransport (26.10) says it does not."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


@pytest.fixture
def path(tmp_path: Path) -> str:
    return SITE.write_both(tmp_path / "site.pem")


@pytest.fixture
def reactor() -> Any:
    return MemoryReactorClock()


class TestStrings:
    """`https:ENDPOINT:certificate=FILE...`."""

    def test_interfaces(self, reactor: Any, path: str) -> None:
        """The parser is what Twisted looks for, its endpoint listens and can be reloaded."""
        assert verifyObject(IStreamServerEndpointStringParser, SecureParser())
        (endpoint,) = endpoints_from([f"https:tcp:8443:certificate={path}"], reactor)
        assert verifyObject(IStreamServerEndpoint, endpoint)
        assert verifyObject(IReloadable, endpoint)

    def test_the_rest_is_the_endpoint_below(self, reactor: Any, path: str) -> None:
        """What is not ours is given on, quoted again."""
        string = rf"https:tcp:8443:interface=\:\:1:backlog=7:certificate={path}:handshakeTimeout=3"
        (endpoint,) = endpoints_from([string], reactor)
        endpoint.listen(Counted())  # type: ignore[attr-defined]
        port, factory, backlog, interface = reactor.tcpServers[0]
        assert (port, backlog, interface) == (8443, 7, "::1")
        assert factory.handshake_timeout == 3

    def test_unix_path_with_a_colon(self, reactor: Any, path: str) -> None:
        """A colon in a positional argument, too."""
        (endpoint,) = endpoints_from([rf"https:unix:/a\:b:certificate={path}"], reactor)
        endpoint.listen(Counted())  # type: ignore[attr-defined]
        assert reactor.unixServers[0][0] == "/a:b"

    @pytest.mark.parametrize(
        ("rest", "sentence"),
        [
            (":certificate=SITE", "https: names no endpoint to listen on"),
            (":tcp:1", "certificate: a TLS listener needs one"),
            (":tcp:1:certificate=/nope", "certificate: /nope: No such file or directory"),
            (":tcp:1:certificate=SITE:handshakeTimeout=0", "handshakeTimeout: expected seconds"),
            (":tcp:1:certificate=SITE:clientVerify=optional", "clientVerify: nobody to verify"),
            (":nope:1:certificate=SITE", "Unknown endpoint type: 'nope'"),
        ],
    )
    def test_mistakes(self, reactor: Any, path: str, rest: str, sentence: str) -> None:
        """One sentence, before anything listens."""
        with pytest.raises(ConfigurationError) as refused:
            endpoints_from(["https" + rest.replace("SITE", path)], reactor)
        assert sentence in str(refused.value)

    def test_reload(self, reactor: Any, path: str, caplog: pytest.LogCaptureFixture) -> None:
        """IReloadable.reload takes the files anew at once."""
        caplog.set_level(logging.INFO)
        (endpoint,) = endpoints_from([f"https:tcp:1:certificate={path}"], reactor)
        endpoint.listen(Counted())  # type: ignore[attr-defined]
        certificates = reactor.tcpServers[0][1].certificates
        OTHER.write_both(Path(path))
        endpoint.reload()  # type: ignore[attr-defined]
        expected = ssl.PEM_cert_to_DER_cert(OTHER.chain.decode())
        assert certificates.context.certificate == expected
        assert "TLS certificates loaded" in caplog.text


class TestFactory:
    """What lives as long as a port listens."""

    @pytest.fixture
    def factory(self, reactor: Any, path: str) -> SecureFactory:
        return SecureFactory(Certificates(TLSSettings((path,))), Counted(), 10, reactor)

    def test_start_and_stop(self, factory: SecureFactory, reactor: Any, path: str) -> None:
        """The wrapped factory starts and stops with it, and so does the look at the files."""
        factory.doStart()
        factory.doStart()  # a second port
        assert factory.wrapped.running == 1
        before = factory.certificates.context
        OTHER.write_both(Path(path))
        os.utime(path, ns=(1, 1))
        reactor.pump([CHECK_INTERVAL_SECONDS] * 2)
        assert factory.certificates.context is not before
        factory.doStop()
        factory.doStop()
        assert factory.wrapped.running == 0
        assert reactor.getDelayedCalls() == []

    def test_deadline(self, factory: SecureFactory, reactor: Any) -> None:
        """S35: absolute, not moved by what trickles in, and kept to a second."""
        factory.doStart()
        connection, lower = factory.buildProtocol(None), Lower()
        connection.makeConnection(lower)
        for octet in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc":
            reactor.advance(1.1)
            connection.dataReceived(bytes([octet]))
        assert not lower.aborted
        for _ in range(2):
            reactor.advance(0.6)
        assert lower.aborted
        connection.connectionLost(None)
        assert not factory.handshaking
        factory.doStop()

    def test_handshakes_of_a_closed_port(self, factory: SecureFactory, reactor: Any) -> None:
        """They go on, until their deadline or until a stop waits for them no longer."""
        factory.doStart()
        connections = [factory.buildProtocol(None) for _ in range(2)]
        lowers = [Lower(), Lower()]
        for connection, lower in zip(connections, lowers, strict=True):
            connection.makeConnection(lower)
        factory.doStop()
        assert not lowers[0].aborted
        connections[0].connectionLost(None)
        assert reactor.getDelayedCalls() != []
        factory.abort_handshakes()
        assert lowers[1].aborted
        assert reactor.getDelayedCalls() == []

    def test_the_deadline_of_a_closed_port(self, factory: SecureFactory, reactor: Any) -> None:
        """S35: it holds there too, and the last one ends the look for it."""
        factory.doStart()
        connection, lower = factory.buildProtocol(None), Lower()
        connection.makeConnection(lower)
        factory.doStop()
        reactor.pump([CHECK_INTERVAL_SECONDS] * 11)
        assert lower.aborted
        assert reactor.getDelayedCalls() == []
