"""The events that a server tells its observer; those of twisted.web are in tests/web."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.observe.observer import Observer, Observers, combine
from tests.support.applications import GET, Script, body, sending, start
from tests.support.h2_peer import H2Peer
from tests.support.h2_websocket import Echo, Opened
from tests.support.listener import Listener
from tests.support.memory import Memory
from tests.support.websocket_frames import ACCEPTS, OPENING, Socket, closes, text
from tests.support.websocket_peer import close

Serve = Callable[..., Memory]

hello = sending(start(), body(b"hello"))


async def never_answer(_scope: Any, receive: Any, _send: Any) -> None:
    while True:
        await receive()
        await asyncio.sleep(0)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def listened(serve: Serve, listener: Listener) -> Serve:
    """listened(application, **settings): a server in memory whose observer is the listener."""

    def start_server(application: Any, **settings: Any) -> Memory:
        memory = serve(application, **settings)
        memory.server.add_observer(listener)
        return memory

    return start_server


class TestCombination:
    """Several observers."""

    def test_none(self) -> None:
        """Nobody listens: the context has no observer."""
        assert combine([]) is None

    def test_one(self, listener: Listener) -> None:
        """One observer is called without a detour."""
        assert combine([listener]) is listener

    def test_several(self) -> None:
        """Each is told, in order; what nobody overrides does nothing."""

        class Refusals(Observer):
            def refused(self, reason: str) -> None:
                told.append((self, reason))

        told: list[Any] = []
        first, second = Refusals(), Refusals()
        both = combine([first, Observer(), second])
        assert isinstance(both, Observers)
        both.refused("why")
        both.handshake_ended(1.0)
        assert told == [(first, "why"), (second, "why")]

    def test_a_new_server(self, serve: Serve) -> None:
        """By default nobody listens."""
        assert serve(hello).server.context.observer is None


class TestHTTP1:
    """HTTP/1.1."""

    def test_an_exchange(self, listened: Serve, listener: Listener) -> None:
        """The connection, then the exchange within it."""
        wire = listened(hello).connect().sends(GET)
        wire.vanishes()
        assert listener.events == [
            ("connection_opened", "http/1.1"),
            ("exchange_opened",),
            ("exchange_ended",),
            ("connection_closed", "http/1.1"),
        ]

    def test_what_an_exchange_has(self, serve: Serve) -> None:
        """Its labels do not come from the scope, which the application may change."""
        seen: list[tuple[Any, ...]] = []

        class Ends(Observer):
            def exchange_ended(self, exchange: Any) -> None:
                times = exchange.ended - exchange.started
                seen.append((exchange.method, exchange.scheme, exchange.version, times))

        async def spoil(scope: Any, _receive: Any, send: Any) -> None:
            scope.update(method="X", scheme="X", http_version="X")
            memory.now += 3
            await send(start())
            await send(body(b""))

        memory = serve(spoil)
        memory.server.add_observer(Ends())
        memory.connect().sends(GET)
        assert seen == [("GET", "http", "1.1", 3)]

    def test_a_refusal(self, listened: Serve, listener: Listener) -> None:
        """A refused request is told by its reason and is no exchange."""
        listened(hello).connect().sends(GET.replace(b"1.1", b"2.0"))
        assert listener.events[1] == ("refused", "invalid_http_version")
        assert "exchange_opened" not in listener.names

    @pytest.mark.parametrize(
        ("octets", "reason"),
        [
            (b"nonsense\r\n\r\n", "invalid_request_line"),
            (b"\x16\x03\x01\x02\x00\x01\x00", "tls_not_supported"),
            (GET.replace(b"Host:", b"Most:"), "invalid_request_headers"),
            (GET.replace(b" / ", b" /" + b"a" * 99999 + b" "), "max_request_line_size_exceeded"),
            (GET.replace(b"\r\n\r\n", b"\r\na: b" * 999 + b"\r\n\r\n"),
             "max_request_header_count_exceeded"),
        ],
    )  # fmt: skip
    def test_reasons(self, listened: Serve, listener: Listener, octets: bytes, reason: str) -> None:
        """The reasons are a few words."""
        listened(hello).connect().sends(octets)
        assert ("refused", reason) in listener.events

    def test_too_slow(self, listened: Serve, listener: Listener) -> None:
        """A request head that does not come to its end."""
        memory = listened(hello, header_timeout=5)
        memory.connect().sends(GET[:-2])
        memory.passes(6)
        assert ("refused", "request_headers_timeout") in listener.events

    def test_too_many_connections(self, listened: Serve, listener: Listener) -> None:
        """A connection over the limit is told, its refusal too, and that it does not count."""
        memory = listened(never_answer, max_connections=1)
        memory.connect()
        del listener.events[:]
        memory.connect().vanishes()
        assert listener.events == [
            ("connection_opened", "http/1.1"),
            ("refused", "max_concurrent_connections_exceeded"),
            ("connection_closed", "http/1.1"),
        ]

    def test_pauses(self, listened: Serve, listener: Listener) -> None:
        """Each pause has its end, if the connection is lost too."""
        wire = listened(never_answer).connect().sends(GET)
        wire.protocol.pauseProducing()
        wire.protocol.pauseProducing()
        wire.protocol.resumeProducing()
        wire.protocol.pauseProducing()
        wire.vanishes()
        paused = [name for name in listener.names if name.startswith("sending")]
        assert paused == ["sending_paused", "sending_resumed"] * 2

    def test_upgrade_to_http2(self, listened: Serve, listener: Listener) -> None:
        """A connection that begins with the preface of HTTP/2 is one connection."""
        peer = H2Peer(listened(hello))
        peer.asks()
        peer.wire.vanishes()
        assert listener.events[:2] == [
            ("connection_opened", "http/1.1"),
            ("connection_switched", "http/1.1", "http/2"),
        ]
        assert listener.events[-1] == ("connection_closed", "http/2")
        assert listener.names.count("exchange_ended") == 1


class TestApplications:
    """Instances whose peers have gone."""

    def test_ends_in_time(self, listened: Serve, listener: Listener) -> None:
        """Leaving, and left after its seconds."""
        script = Script()
        memory = listened(script)
        wire = memory.connect().sends(GET)
        wire.vanishes()
        assert "application_leaving" in listener.names
        assert "application_left" not in listener.names
        memory.now += 2
        script.returns()
        memory.settle()
        assert listener.events[-1] == ("application_left", 2)

    def test_is_cancelled(self, listened: Serve, listener: Listener) -> None:
        """Cancelled at the end of its grace."""
        memory = listened(never_answer, application_close_timeout=4)
        memory.connect().sends(GET).vanishes()
        memory.passes(5)
        assert listener.events[-2:] == [("application_cancelled",), ("application_left", 5)]


class TestWebSocket:
    """WebSockets over HTTP/1.1."""

    def test_a_life(self, listened: Serve, listener: Listener) -> None:
        """Opening, open, messages, close."""

        async def echo(_scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPTS)
            await receive()
            await send({"type": "websocket.send", "text": "\xfc"})
            await receive()

        wire = listened(echo).connect().sends(OPENING)
        wire.sends(text("\xe4\xe4\xe4"))
        wire.sends(close(4001))
        wire.vanishes()
        assert listener.events == [
            ("connection_opened", "http/1.1"),
            ("exchange_opened",),
            ("session_opening",),
            ("session_opened",),
            ("connection_switched", "http/1.1", "websocket"),
            ("message_received", 6),
            ("message_sent", 2),
            ("session_closed", 4001, "peer"),
            ("application_leaving",),
            ("connection_closed", "websocket"),
            ("application_left", 0),
        ]

    def test_rejected(self, listened: Serve, listener: Listener) -> None:
        """A WebSocket that was never open ends as an exchange."""
        socket = Socket(listened, accept=None)
        socket.sends({"type": "websocket.close"})
        assert listener.names[-1] == "exchange_ended"
        assert "session_closed" not in listener.names

    def test_closed_by_the_application(self, listened: Serve, listener: Listener) -> None:
        """The application closes."""
        Socket(listened).sends(closes(3000))
        assert ("session_closed", 3000, "application") in listener.events

    def test_closed_by_the_server(self, listened: Serve, listener: Listener) -> None:
        """The server fails the connection, because the peer breaks a rule."""
        Socket(listened).wire.sends(b"\xff\xff")
        assert ("session_closed", 1002, "server") in listener.events

    def test_lost(self, listened: Serve, listener: Listener) -> None:
        """Lost without a close frame."""
        Socket(listened).wire.vanishes()
        assert ("session_closed", 1006, "lost") in listener.events


class TestHTTP2:
    """HTTP/2."""

    def test_a_malformed_request(self, listened: Serve, listener: Listener) -> None:
        """A stream that is refused has the name of its error code."""
        H2Peer(listened(hello)).asks((b"Upper", b"case"))
        assert ("refused", "protocol_error") in listener.events

    def test_websocket(self, listened: Serve, listener: Listener) -> None:
        """A WebSocket on a stream is a session, and no connection of its own."""
        Opened(H2Peer(listened(Echo())))
        assert "session_opened" in listener.names
        assert listener.names.count("connection_opened") == 1
