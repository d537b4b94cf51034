"""The ids of requests: where they come from and where they go."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.observe.request_identity import (
    RequestIdFilter,
    are_wanted,
    current,
    parse_traceparent,
)
from daphne_like.options import Options
from daphne_like.runtime.request_ids import with_field
from tests.support.applications import GET, body, sending, start
from tests.support.h2_peer import H2Peer
from tests.support.memory import Memory
from tests.support.websocket_frames import ACCEPTS, opening

Serve = Callable[..., Memory]

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01".encode()
MADE = re.compile("[0-9a-f]{32}")


def asking(*lines: bytes) -> bytes:
    return GET.replace(b"\r\n\r\n", b"\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n")


class Noting:
    """Answers, and notes the id in its scope and in its context."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self.contexts: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope["state"].get("request_id"))
        self.contexts.append(current.get())
        await sending(start(), body(b"hello"))(scope, receive, send)


class TestRequestId:
    """X-Request-ID of trusted peers, or an id that is made."""

    @pytest.mark.parametrize(
        ("value", "is_taken"),
        [
            (b"a.B_9-", True),
            (b"x" * 128, True),
            (b"x" * 129, False),
            (b"", False),
            (b"a b", False),
            (b"a/b", False),
            (b"\xe9", False),
        ],
    )
    def test_of_a_trusted_peer(self, serve: Serve, value: bytes, is_taken: bool) -> None:
        """It is taken if it is 1 to 128 letters, digits, dots, dashes and underscores."""
        application = Noting()
        memory = serve(application, request_id="on", trusted_proxies="192.0.2.1")
        memory.connect().sends(asking(b"X-Request-ID: " + value))
        (found,) = application.scopes
        if is_taken:
            assert found == value.decode()
        else:
            assert MADE.fullmatch(found)

    def test_of_a_stranger(self, serve: Serve) -> None:
        """It is not taken: a stranger could choose the id of another request."""
        application = Noting()
        serve(application, request_id="on").connect().sends(asking(b"X-Request-ID: mine"))
        assert MADE.fullmatch(application.scopes[0])

    def test_context(self, serve: Serve) -> None:
        """Each instance has its own id in its own context."""
        application = Noting()
        wire = serve(application, request_id="on").connect()
        wire.sends(asking(b"traceparent: " + TRACEPARENT)).sends(GET)
        first, second = application.contexts
        assert (first.request_id, second.request_id) == tuple(application.scopes)
        assert first.request_id != second.request_id
        assert first[1:] == (TRACE, SPAN)
        assert second[1:] == ("", "")
        assert current.get() is None

    def test_off(self, serve: Serve) -> None:
        """By default there is none, and nothing stands before the start of an application."""
        application = Noting()
        memory = serve(application)
        memory.connect().sends(GET)
        assert (application.scopes, application.contexts) == ([None], [None])
        assert memory.server.context.create_application == memory.server.applications.create

    @pytest.mark.parametrize(
        ("options", "wanted"),
        [
            ({}, False),
            ({"log_format": "json"}, True),
            ({"log_format": "json", "request_id": "off"}, False),
            ({"request_id": "on"}, True),
            ({"request_id": "response"}, True),
            ({"log_fmt": "%(request_id)s %(message)s"}, True),
            ({"log_fmt": "%(span_id)s %(message)s"}, True),
            ({"access_log_format": "%(h)s %(request_id)s"}, True),
            ({"access_log_format": "combined"}, False),
        ],
    )
    def test_when(self, options: dict[str, Any], wanted: bool) -> None:
        """auto: if the format of a log shows one of the ids."""
        assert are_wanted(Options(**options)) is wanted


class TestResponse:
    """--request-id response."""

    def test_http1(self, serve: Serve) -> None:
        """The response has the id."""
        application = Noting()
        wire = serve(application, request_id="response").connect().sends(GET)
        assert f"x-request-id: {application.scopes[0]}\r\n".encode() in wire.take()

    def test_on_is_not_response(self, serve: Serve) -> None:
        """Not unless it is wanted."""
        wire = serve(Noting(), request_id="on").connect().sends(GET)
        assert b"request-id" not in wire.take().lower()

    def test_http2(self, serve: Serve) -> None:
        """Likewise on HTTP/2."""
        application = Noting()
        peer = H2Peer(serve(application, request_id="response"))
        number = peer.asks()
        assert (b"x-request-id", application.scopes[0].encode()) in peer.answer(number).fields

    @pytest.mark.parametrize("peer_class", ["h1", "h2"])
    def test_error_of_the_server(self, serve: Serve, caplog: Any, peer_class: str) -> None:
        """The 500 for an application that fails has it, and so has the line in the log."""

        async def fail(_scope: Any, _receive: Any, _send: Any) -> None:
            raise ValueError

        memory = serve(fail, request_id="response")
        if peer_class == "h1":
            found = re.search(b"X-Request-ID: (.*)\r\n", memory.connect().sends(GET).take())
            assert found is not None
            request_id = found[1].decode()
        else:
            peer = H2Peer(memory)
            number = peer.asks()
            request_id = dict(peer.answer(number).fields)[b"x-request-id"].decode()
        assert MADE.fullmatch(request_id)
        assert caplog.messages[0].endswith(
            f"Application for GET '/' (request {request_id}) raised ValueError "
            "before its response began"
        )

    def test_websocket(self, serve: Serve) -> None:
        """The response to a handshake has it, too."""
        wire = serve(sending(ACCEPTS), request_id="response").connect().sends(opening())
        assert re.search(b"\r\nx-request-id: [0-9a-f]{32}\r\n", wire.take())

    @pytest.mark.parametrize("name", [b"x-request-id", b"X-Request-ID"])
    def test_of_the_application(self, name: bytes) -> None:
        """An application that sets it knows why."""
        message = start(200, [(name, b"own")])
        assert with_field(message, "ours")["headers"] == [(name, b"own")]

    def test_wrong_headers(self) -> None:
        """What is no list of headers is refused as without the option."""
        message = start(200, 5)
        assert with_field(message, "ours") is message
        assert with_field(start(200, [7]), "x")["headers"] == [7, (b"x-request-id", b"x")]


class TestTraceparent:
    """W3C Trace Context, 3.2."""

    @pytest.mark.parametrize(
        ("value", "is_valid"),
        [
            (TRACEPARENT, True),
            (TRACEPARENT.upper(), False),
            (TRACEPARENT + b"-more", False),
            (b"01" + TRACEPARENT[2:], True),
            (b"01" + TRACEPARENT[2:] + b"-more", True),
            (b"01" + TRACEPARENT[2:] + b"more", False),
            (b"ff" + TRACEPARENT[2:], False),
            (TRACEPARENT.replace(TRACE.encode(), b"0" * 32), False),
            (TRACEPARENT.replace(SPAN.encode(), b"0" * 16), False),
            (TRACEPARENT[:-1], False),
            (b"", False),
        ],
    )
    def test_value(self, value: bytes, is_valid: bool) -> None:
        """Lower-case hexadecimal digits, no zeros, version ff never, more only after version 00."""
        assert parse_traceparent(value) == ((TRACE, SPAN) if is_valid else None)


class TestRecords:
    """The ids in records of the server and of the application."""

    def test_filter(self, serve: Serve) -> None:
        """Records within a request have its ids, others a dash; an own value stays."""
        records: list[logging.LogRecord] = []
        logger = logging.Logger("shop")
        handler = logging.Handler()
        handler.emit = records.append  # type: ignore[assignment,method-assign]
        handler.addFilter(RequestIdFilter())
        logger.addHandler(handler)

        async def application(scope: Any, _receive: Any, _send: Any) -> None:
            logger.info("within")
            logger.info("own", extra={"request_id": "theirs"})

        memory = serve(application, request_id="on", trusted_proxies="*")
        memory.connect().sends(asking(b"X-Request-ID: r1", b"traceparent: " + TRACEPARENT))
        logger.info("outside")
        assert [(vars(one)["request_id"], vars(one)["trace_id"]) for one in records] == [
            ("r1", TRACE), ("theirs", TRACE), ("-", "-")
        ]  # fmt: skip

    def test_lines_of_the_server_about_a_request(self, serve: Serve) -> None:
        """A line that the event loop writes about a request has the ids of that request."""
        seen: list[str] = []

        async def wait(_scope: Any, receive: Any, _send: Any) -> None:
            while True:
                await receive()

        memory = serve(wait, request_id="on", trusted_proxies="*", http_timeout=3)
        handler = logging.Handler()
        handler.addFilter(RequestIdFilter())
        handler.emit = lambda record: seen.append(  # type: ignore[method-assign]
            vars(record)["request_id"]
        )
        log = logging.getLogger("daphne_like.server")
        log.addHandler(handler)
        try:
            memory.connect().sends(asking(b"X-Request-ID: r2"))
            memory.passes(4)
            memory.passes(20)
        finally:
            log.removeHandler(handler)
        assert len(seen) >= 2
        assert set(seen) == {"r2"}
