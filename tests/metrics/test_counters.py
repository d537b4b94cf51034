"""What a server counts, in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.metrics.counters import MAX_KEYS, Counters
from daphne_like.metrics.counts import MAX_ROWS, from_message, to_message
from daphne_like.metrics.one_process import count
from daphne_like.metrics.series import (
    ACTIVE_CONNECTIONS,
    ACTIVE_REQUESTS,
    ACTIVE_WEBSOCKETS,
    APPLICATIONS,
    BACKPRESSURE,
    CONNECTION_DURATION,
    CONNECTIONS,
    LOOP_DELAY,
    LOOP_STALLS,
    QUEUE_TIME,
    REFUSALS,
    REQUEST_BODY,
    REQUEST_DURATION,
    RESPONSE_BODY,
    WEBSOCKET_BYTES,
    WEBSOCKET_CLOSES,
    WEBSOCKET_MESSAGES,
    Series,
)
from daphne_like.runtime.timer_wheel import TICK_SECONDS
from tests.support.applications import GET, Script, body, post, sending, start
from tests.support.h2_peer import H2Peer
from tests.support.memory import Memory
from tests.support.websocket_frames import ACCEPTS, OPENING, text
from tests.support.websocket_peer import close

Serve = Callable[..., Memory]
hello = sending(start(), body(b"hello"))


class Counted:
    """A server in memory that counts."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.counters: Counters = count(memory.server)

    def row(self, series: Series, *labels: str) -> list[float]:
        """The values of one label set; they pass the check of a worker's message."""
        counts = from_message(to_message(self.counters.counts()))
        return counts[series.name][labels]

    def rows(self, series: Series) -> dict[tuple[str, ...], list[float]]:
        """All of a series."""
        return self.counters.counts().get(series.name, {})


class TestRequests:
    """Durations and sizes."""

    def test_a_request(self, serve: Serve) -> None:
        """One duration, one size each."""
        counted = Counted(serve(Script()))
        wire = counted.memory.connect().sends(post(b"abc"))
        script: Any = counted.memory.server.application
        counted.memory.now += 0.06
        counted.memory.loop.run_until_complete(script.send(start(201)))
        counted.memory.loop.run_until_complete(script.send(body(b"x" * 150)))
        assert b"201" in wire.written
        labels = ("POST", "201", "http", "1.1")
        duration, *buckets = counted.row(REQUEST_DURATION, *labels)
        assert round(duration, 6) == 0.06
        assert buckets == [0, 0, 0, 0, 1, *[0] * 10]
        assert counted.row(REQUEST_BODY, *labels) == [3, 0, 1, *[0] * 7]
        assert counted.row(RESPONSE_BODY, *labels) == [150, 0, 0, 1, *[0] * 6]

    def test_on_a_bound(self, serve: Serve) -> None:
        """A bucket includes its bound (le)."""
        counted = Counted(serve(Script()))
        counted.memory.connect().sends(GET)
        counted.memory.now += 10
        script: Any = counted.memory.server.application
        script.raises(RuntimeError())
        counted.memory.settle()
        assert counted.row(REQUEST_DURATION, "GET", "500", "http", "1.1")[-2:] == [1, 0]

    def test_http2(self, serve: Serve) -> None:
        """The version is a label."""
        counted = Counted(serve(hello))
        H2Peer(counted.memory).asks()
        assert sum(counted.row(REQUEST_DURATION, "GET", "200", "http", "2")[1:]) == 1

    def test_left(self, serve: Serve) -> None:
        """A client that leaves before the response: no status."""
        counted = Counted(serve(Script()))
        counted.memory.connect().sends(GET).vanishes()
        assert sum(counted.row(REQUEST_DURATION, "GET", "", "http", "1.1")[1:]) == 1

    @pytest.mark.parametrize("request_", [GET, OPENING], ids=["http", "websocket"])
    def test_queue_time(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch, request_: bytes
    ) -> None:
        """The time in a trusted proxy, of requests that have it."""
        monkeypatch.setattr("daphne_like.http.scope.time", lambda: 1_700_000_002.5)
        counted = Counted(serve(hello, proxy_headers=True, trusted_proxies="*"))
        field = b"\r\nX-Request-Start: t=%b\r\n"
        for stamp in (b"1700000002.25", b"1700000002250", b"never"):
            counted.memory.connect().sends(request_.replace(b"\r\n", field % stamp, 1))
        counted.memory.connect().sends(request_)
        seconds, *buckets = counted.row(QUEUE_TIME)
        assert (seconds, sum(buckets), buckets[6]) == (0.5, 2, 2)

    def test_unknown_methods(self, serve: Serve) -> None:
        """Methods are the client's to invent, so those that are not known are one label."""
        counted = Counted(serve(hello))
        wire = counted.memory.connect()
        for method in (b"BREW", b"WHEN", b"BREW"):
            wire.sends(GET.replace(b"GET", method))
        assert sum(counted.row(REQUEST_DURATION, "_OTHER", "200", "http", "1.1")[1:]) == 3

    def test_bounded(self, serve: Serve) -> None:
        """Neither the look-up nor the labels grow without a limit."""
        counted = Counted(serve(hello))

        class Ended:
            scheme, version = "http", "1.1"
            started = ended = 0.0
            received = body_octets_sent = 0

            def __init__(self, method: str, status: int) -> None:
                self.method, self.status = method, status

        for number in range(2 * MAX_KEYS):
            counted.counters.exchange_ended(Ended(f"M{number}", 200))
            counted.counters.exchange_ended(Ended("GET", number))
            counted.counters.tick()
        rows = counted.rows(REQUEST_DURATION)
        assert len(rows) == MAX_ROWS + 1
        assert len(counted.counters._exchanges) == MAX_KEYS
        assert sum(sum(row[1:]) for row in rows.values()) == 4 * MAX_KEYS

    def test_in_flight(self, serve: Serve) -> None:
        """Requests whose response is not complete."""
        counted = Counted(serve(Script()))
        wire = counted.memory.connect().sends(GET)
        assert counted.rows(ACTIVE_REQUESTS) == {("GET", "http"): [1]}
        wire.vanishes()
        assert counted.rows(ACTIVE_REQUESTS) == {}
        assert counted.row(APPLICATIONS, "leaving") == [1]
        assert counted.row(APPLICATIONS, "running") == [0]

    def test_refused(self, serve: Serve) -> None:
        """A refusal is counted by its reason."""
        counted = Counted(serve(hello))
        counted.memory.connect().sends(b"nonsense\r\n\r\n")
        assert counted.rows(REFUSALS) == {("invalid_request_line",): [1]}


class TestConnections:
    """Connections and WebSockets."""

    def test_a_websocket(self, serve: Serve) -> None:
        """Messages, closes, and the connection under both of its protocols."""

        async def echo(_scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPTS)
            await receive()
            await send({"type": "websocket.send", "bytes": b"12345"})
            await receive()

        counted = Counted(serve(echo))
        wire = counted.memory.connect().sends(OPENING).sends(text("abc"))
        assert counted.row(ACTIVE_WEBSOCKETS) == [1]
        assert counted.rows(ACTIVE_CONNECTIONS) == {("websocket",): [1]}
        counted.memory.now += 3
        wire.sends(close(4123)).vanishes()
        assert counted.row(ACTIVE_WEBSOCKETS) == [0]
        assert counted.rows(ACTIVE_CONNECTIONS) == {}
        assert counted.rows(CONNECTIONS) == {("http/1.1",): [1], ("websocket",): [1]}
        assert counted.row(CONNECTION_DURATION, "websocket")[0] == 3
        assert counted.rows(WEBSOCKET_CLOSES) == {("4xxx", "peer"): [1]}
        assert counted.row(WEBSOCKET_MESSAGES, "received") == [1]
        assert counted.row(WEBSOCKET_BYTES, "received") == [3]
        assert counted.row(WEBSOCKET_MESSAGES, "sent") == [1]
        assert counted.row(WEBSOCKET_BYTES, "sent") == [5]

    def test_back_pressure(self, serve: Serve) -> None:
        """A pause counts while it lasts, and its end changes nothing."""
        counted = Counted(serve(Script()))
        wire = counted.memory.connect().sends(GET)
        wire.protocol.pauseProducing()
        counted.memory.now += 2
        assert counted.row(BACKPRESSURE, "http/1.1") == [2]
        counted.memory.now += 1
        wire.vanishes()
        counted.memory.now += 7
        assert counted.row(BACKPRESSURE, "http/1.1") == [3]


class TestEventLoop:
    """The delay of the event loop."""

    def test_late(self, serve: Serve) -> None:
        """How late each tick is; a very late one is a stall."""
        counted = Counted(serve(hello))
        counted.counters.tick()
        for delay in (0, 0.02, 6):
            counted.memory.now += TICK_SECONDS + delay
            counted.counters.tick()
        total, *buckets = counted.row(LOOP_DELAY)
        assert round(total, 6) == 6.02
        assert sum(buckets) == 3
        assert counted.row(LOOP_STALLS) == [1]
