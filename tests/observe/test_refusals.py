"""What the log says of requests and connections that are refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from daphne_like.observe import refusals
from daphne_like.observe.refusals import MAX_LOGGED_REFUSALS, PERIOD_SECONDS, Limit
from tests.support.applications import Script
from tests.support.h2_blocks import asking
from tests.support.h2_frames import data, raw
from tests.support.h2_peer import H2Peer
from tests.support.log_lines import unlabelled
from tests.support.memory import Memory
from tests.support.peers import chunked, get, never_answer, post
from tests.support.websocket_frames import opening

Serve = Callable[..., Memory]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """told(): the lines about refusals so far, without what they begin with."""
    caplog.set_level(logging.INFO, refusals.log.name)
    refusals.limit.sum_up(at_once=True)
    caplog.clear()
    yield lambda: [
        unlabelled(record.getMessage())
        for record in caplog.records
        if record.name == refusals.log.name
    ]
    refusals.limit.sum_up(at_once=True)


Told = Callable[[], list[str]]

HTTP1: dict[str, tuple[bytes, int, dict[str, Any]]] = {
    "nonsense": (b"nonsense\r\n\r\n", 400, {}),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400, {}),
    "body too large": (post(b"abc"), 413, {"max_body_size": 2}),
    "body too large, chunked": (chunked(b"abc"), 413, {"max_body_size": 2}),
    "target too long": (get(b"/" + b"a" * 200), 414, {"max_request_line": 128}),
    "expectation": (post(b"a", b"Expect: 200-ok"), 417, {}),
    "too many fields": (get(b"/", *[b"A: b"] * 9), 431, {"max_fields": 5}),
    "transfer coding": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501, {},
    ),
    "version": (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, {}),
    "origin": (
        opening(b"Origin: https://evil.example"), 403,
        {"websocket_origins": ("https://example.org",)},
    ),
    "handshake": (opening(sec_websocket_key=b"short"), 400, {}),
    "version of WebSocket": (opening(sec_websocket_version=b"12"), 426, {}),
    "method of WebSocket": (opening(line=b"POST / HTTP/1.1"), 405, {}),
}  # fmt: skip


class TestHTTP1:
    """Each refusal is one line, with client, status and reason."""

    @pytest.mark.parametrize("name", HTTP1)
    def test_request(self, serve: Serve, told: Told, name: str) -> None:
        """What never reaches the application."""
        request, status, settings = HTTP1[name]
        wire = serve(never_answer, **settings).connect().sends(request)
        (line,) = told()
        assert line.startswith(f"Refused with {status}: ")
        assert wire.written.partition(b"\r\n\r\n")[2].decode().strip() == line.partition(": ")[2]

    def test_slow_head(self, serve: Serve, told: Told) -> None:
        """408."""
        memory = serve(never_answer)
        memory.connect().sends(b"GET / HT")
        memory.passes(11)
        assert told() == ["Refused with 408: The request head took too long."]

    def test_too_many_connections(self, serve: Serve, told: Told) -> None:
        """503 of --max-connections."""
        memory = serve(never_answer, max_connections=1)
        memory.connect()
        memory.connect()
        assert told() == ["Refused with 503: Too many connections; try again."]

    def test_slow_body_of_a_running_application(self, serve: Serve, told: Told) -> None:
        """408 in the application's place; its line in the access log is another one."""
        memory = serve(never_answer, action_logger=lambda *entry: None)
        memory.connect().sends(post(b"a", size=9))
        memory.passes(31)
        assert told() == ["Refused with 408: The request body came too slowly."]

    def test_the_applications_own_answers(self, serve: Serve, told: Told) -> None:
        """What the application answers, or fails to, is no refusal of the server's."""
        memory = serve(never_answer, http_timeout=1)
        memory.connect().sends(get())
        memory.passes(2)
        script = Script()
        serve(script).connect().sends(opening())
        script.returns()
        assert told() == []


class TestHTTP2:
    """The same on streams; a connection has the code and what is wrong."""

    def test_stream(self, serve: Serve, told: Told) -> None:
        """413."""
        peer = H2Peer(serve(never_answer, max_body_size=2))
        peer.asks(b"POST", body=b"abc")
        assert told() == ["Refused with 413: The body is too large."]

    def test_malformed_stream(self, serve: Serve, told: Told) -> None:
        """A reset with PROTOCOL_ERROR."""
        peer = H2Peer(serve(never_answer))
        peer.sends(raw(1, 5, 1, peer.encoder.encode(asking(b"GET", b"/", (b"X", b"y")))))
        (line,) = told()
        assert line.startswith("Refused with PROTOCOL_ERROR: the stream is malformed: ")

    def test_connection(self, serve: Serve, told: Told) -> None:
        """DATA on a stream that was never opened ends the connection."""
        H2Peer(serve(never_answer)).sends(data(7, b"abc"))
        (line,) = told()
        assert line.startswith("Refused with PROTOCOL_ERROR: ")

    def test_origin(self, serve: Serve, told: Told) -> None:
        """403 of --websocket-origin (RFC 8441)."""
        peer = H2Peer(serve(never_answer, websocket_origins=("https://example.org",)))
        fields = [
            (b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http"),
            (b":authority", b"x"), (b":path", b"/"), (b"sec-websocket-version", b"13"),
            (b"origin", b"https://evil.example"),
        ]  # fmt: skip
        peer.sends(raw(1, 4, 1, peer.encoder.encode(fields)))
        assert told() == ["Refused with 403: This origin is not served."]


class TestWebSocket:
    """Handshakes that the server refuses on its own."""

    def test_while_it_stops(self, serve: Serve, told: Told) -> None:
        """503."""
        memory = serve(never_answer)
        wire = memory.connect().sends(opening())
        memory.stops()
        assert wire.half_closed
        assert told() == ["Refused with 503: The server is stopping; try again."]


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestLimit:
    """A flood of refusals is no flood of lines."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def written(self) -> list[str]:
        return []

    @pytest.fixture
    def logger(self, clock: Clock, written: list[str]) -> logging.Logger:
        logger = logging.Logger("test", logging.INFO)
        handler = logging.Handler()
        handler.emit = lambda record: written.append(record.getMessage())  # type: ignore[method-assign]
        logger.addHandler(handler)
        logger.addFilter(Limit(clock, logger))
        return logger

    def test_lines(self, logger: logging.Logger, written: list[str]) -> None:
        """The first ones of a period are written, and no more."""
        for number in range(3 * MAX_LOGGED_REFUSALS):
            logger.info("Refused %s with %d: %s", f"1.2.3.4:{number}", 400, "no")
        assert len(written) == MAX_LOGGED_REFUSALS
        assert written[0] == "Refused 1.2.3.4:0 with 400: no"

    def test_summary(self, clock: Clock, logger: logging.Logger, written: list[str]) -> None:
        """When the period is over one line says how many were left out, by what they got."""
        for number in range(MAX_LOGGED_REFUSALS + 3):
            logger.info("Refused %s with %d: %s", "a", 431 if number % 2 else 400, "no")
        limit = logger.filters[0]
        assert isinstance(limit, Limit)
        limit.sum_up()
        assert len(written) == MAX_LOGGED_REFUSALS
        clock.now += PERIOD_SECONDS
        limit.sum_up()
        limit.sum_up()
        assert written[MAX_LOGGED_REFUSALS:] == [
            "Refused 3 more within 10 seconds (400: 2, 431: 1)"
        ]

    def test_another_kind(self, logger: logging.Logger, written: list[str]) -> None:
        """The first of another kind has its line, however many there were of the one."""
        for status in [400] * (MAX_LOGGED_REFUSALS + 1) + [431, 431]:
            logger.info("Refused %s with %d: %s", "a", status, "no")
        assert written[MAX_LOGGED_REFUSALS:] == ["Refused a with 431: no"]

    def test_next_period(self, clock: Clock, logger: logging.Logger, written: list[str]) -> None:
        """A refusal after it has its line again, behind that of those left out."""
        for _ in range(MAX_LOGGED_REFUSALS + 1):
            logger.info("Refused %s with %d: %s", "a", 400, "no")
        clock.now += PERIOD_SECONDS
        logger.info("Refused %s with %d: %s", "b", 400, "no")
        assert written[MAX_LOGGED_REFUSALS:] == [
            "Refused 1 more within 10 seconds (400: 1)",
            "Refused b with 400: no",
        ]

    def test_none_left_out(self, clock: Clock, logger: logging.Logger, written: list[str]) -> None:
        """Nothing is said when there was a line for each."""
        logger.info("Refused %s with %d: %s", "a", 400, "no")
        clock.now += 2 * PERIOD_SECONDS
        logger.info("Refused %s with %d: %s", "b", 400, "no")
        assert len(written) == 2

    def test_escaped(self, logger: logging.Logger, written: list[str]) -> None:
        """S06: whatever a handler's formatter does, no octet of the peer's is a control."""
        logger.info("Refused %s for its %s: %s", "a", "PROXY header", "\x1b[2J\nRefused b")
        assert written == [r"Refused a for its PROXY header: \x1b[2J\nRefused b"]
