"""The parts of autobahn that daphne_like relies on; changes are noticed here."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket import protocol as autobahn
from twisted.internet.testing import MemoryReactorClock, StringTransport

from daphne_like.asgi.queue import MessageQueue
from daphne_like.runtime.send_pacing import SendPacing
from daphne_like.websocket.factory import WebSocketFactory
from daphne_like.websocket.protocol import WebSocketProtocol
from tests.support.applications import Script
from tests.support.memory import Memory
from tests.support.websocket_frames import OPENING, Socket, text
from tests.support.websocket_opcodes import PING
from tests.support.websocket_peer import close, frame

Serve = Callable[..., Memory]

# What only autobahn's own handshake needs: the request as it has parsed it, and its answer.
HANDSHAKES_OWN = {
    "http_headers", "http_request_data", "http_request_host", "http_request_params",
    "http_request_path", "http_request_uri", "http_response_data", "http_status_line", "_wskey",
    "is_open", "_transport_details", "websocket_extensions", "websocket_extensions_in_use",
    "websocket_origin", "websocket_protocol_in_use", "websocket_protocols",
}  # fmt: skip
# Objects that the connections of one server share; nothing that runs here changes them.
SHARED = {"allowedOrigins", "allowedOriginsPatterns", "send_queue", "trafficStats", "versions"}


class Opened(WebSocketServerProtocol):
    """autobahn's own server side, as it is without daphne_like."""


def attributes_of_autobahn() -> set[str]:
    """Return the attributes of one of autobahn's connections after its handshake."""
    reactor = MemoryReactorClock()
    factory = WebSocketServerFactory("ws://x", reactor=reactor)
    factory.protocol = Opened
    protocol = factory.buildProtocol(None)
    transport = StringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(OPENING)
    reactor.advance(1)
    assert transport.value().startswith(b"HTTP/1.1 101 ")
    assert protocol.state == autobahn.WebSocketProtocol.STATE_OPEN
    return set(vars(protocol))


class TestPrepared:
    """factory.prepared: attributes that autobahn would set for each connection."""

    def test_has_every_attribute(self, serve: Serve) -> None:
        """The class has every attribute that autobahn sets."""
        prepared = serve(Script()).server.ws_factory.protocol
        missing = {name for name in attributes_of_autobahn() if not hasattr(prepared, name)}
        assert missing == HANDSHAKES_OWN

    def test_is_open(self, serve: Serve) -> None:
        """It stands where autobahn's own handshake would have left it."""
        prepared = serve(Script()).server.ws_factory.protocol
        assert prepared.state == autobahn.WebSocketProtocol.STATE_OPEN
        assert prepared.websocket_version == 13
        assert prepared.inside_message is False
        assert prepared.current_frame is None

    def test_what_is_shared(self, serve: Serve) -> None:
        """Connections have in common what none of them changes, and nothing else."""
        prepared = serve(Script()).server.ws_factory.protocol
        plain = (type(None), bool, int, float, str, bytes, tuple)
        objects = {
            name
            for name, value in vars(prepared).items()
            if not name.startswith("__") and not isinstance(value, plain) and not callable(value)
        }
        assert objects == SHARED

    def test_shared_objects_stay_as_they_are(self, serve: Serve) -> None:
        """Nothing goes through the queue for chopped writes."""
        socket = Socket(serve)
        protocol = socket.wire.protocol.upgraded_to
        socket.wire.sends(text("a") * 3 + frame(PING, b"p"), close())
        assert list(protocol.send_queue) == []
        assert protocol.triggered is False

    def test_own_validator(self, serve: Serve) -> None:
        """Each connection has one validator of text, and its own."""
        memory = serve(Script())
        one, two = (
            memory.server.ws_factory.protocol.__new__(memory.server.ws_factory.protocol)
            for _ in range(2)
        )
        assert one.utf8validator is one.utf8validator
        assert one.utf8validator is not two.utf8validator

    def test_options_reach_it(self, serve: Serve) -> None:
        """The options are the factory's, not autobahn's defaults."""
        memory = serve(
            Script(),
            ping_interval=7,
            ping_timeout=8,
            websocket_max_message_size=9,
            websocket_max_frame_size=10,
        )
        prepared = memory.server.ws_factory.protocol
        assert (prepared.autoPingInterval, prepared.autoPingTimeout) == (7, 8)
        assert (prepared.maxMessagePayloadSize, prepared.maxFramePayloadSize) == (9, 10)
        assert prepared.failByDrop is False
        assert prepared.utf8validateIncoming is True
        assert prepared.requireMaskedClientFrames is True
        assert prepared.maskServerFrames is False


class TestFactory:
    """autobahn's classes are where a user of autobahn expects them."""

    def test_bases(self, serve: Serve) -> None:
        """The factory is autobahn's, and so is each protocol."""
        factory = serve(Script()).server.ws_factory
        assert isinstance(factory, WebSocketFactory)
        assert isinstance(factory, WebSocketServerFactory)
        assert issubclass(factory.protocol, WebSocketProtocol)
        assert issubclass(factory.protocol, WebSocketServerProtocol)
        assert issubclass(factory.protocol, SendPacing)
        assert factory.isServer is True

    def test_each_server_has_its_own(self, serve: Serve) -> None:
        """Two servers of one process do not share options."""
        one, two = (serve(Script(), ping_interval=seconds).server for seconds in (1, 2))
        assert one.ws_factory.protocol.autoPingInterval == 1
        assert two.ws_factory.protocol.autoPingInterval == 2

    def test_random_numbers_are_the_applications(self, serve: Serve) -> None:
        """autobahn seeds the process's random numbers; whoever has seeded them finds his again."""
        random.seed(1)
        expected = random.Random(1).random()
        serve(Script())
        assert random.random() == expected

    def test_queue(self, serve: Serve) -> None:
        """The application's input is an asyncio.Queue that counts messages."""
        socket = Socket(serve)
        assert type(socket.script.receive.__self__) is MessageQueue


IMPORTS = """
import sys
import daphne_like.websocket.factory
from daphne_like.server import Server
Server(lambda *a: None)
assert "twisted.internet.reactor" not in sys.modules
assert "autobahn.asyncio" not in sys.modules
print("none")
"""


@pytest.mark.real
def test_no_reactor_is_installed() -> None:
    """An import does not install a reactor: which one runs is the program's choice."""
    found = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=60, check=False
    )
    assert (found.stdout, found.stderr, found.returncode) == ("none\n", "", 0)


@pytest.mark.parametrize(
    "name",
    [
        "_connectionMade", "_connectionLost", "_fail_connection", "_sendAutoPing", "_onClose",
        "_cancelAutoPingTimeoutCall", "_invalid_payload", "consumeData", "processControlFrame",
        "onMessageFrameData", "onMessageEnd", "onCloseFrame", "onAutoPingTimeout",
        "dropConnection", "sendCloseFrame", "sendPong", "onPing",
    ],
)  # fmt: skip
def test_what_is_called_or_overridden(name: str) -> None:
    """autobahn has each method that daphne_like calls or overrides."""
    method: Any = getattr(WebSocketServerProtocol, name)
    assert callable(method)
