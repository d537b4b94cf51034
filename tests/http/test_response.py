"""The messages of a response, and what is wrong with some."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest

from daphne_like.exceptions import ApplicationError
from tests.support.applications import (
    DATE,
    ERROR_500,
    GET,
    SERVER,
    Trying,
    body,
    head,
    sending,
    start,
)
from tests.support.memory import Memory

Serve = Callable[..., Memory]

TYPE = "http.response.start"
BODY = "http.response.body"


pytestmark = pytest.mark.usefixtures("fixed_date")


class Octets(bytes):
    """A subclass of bytes."""


class TestDefaults:
    """Date and Server fields; the application's own take their place."""

    def test_both(self, serve: Serve) -> None:
        """A small answer: one write with these octets."""
        wire = serve(sending(start(headers=[(b"X-Id", b"1")]), body(b"Hi"))).connect().sends(GET)
        assert wire.writes == [
            b"HTTP/1.1 200 OK\r\n" + DATE + SERVER
            + b"X-Id: 1\r\nContent-Length: 2\r\n\r\nHi"
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("name", "line"), [("mine", b"Server: mine\r\n"), (None, b""), ("", b"")]
    )
    def test_server_name(self, serve: Serve, name: str | None, line: bytes) -> None:
        """`-s` and `--no-server-name`."""
        wire = serve(sending(start(), body()), server_name=name).connect().sends(GET)
        assert wire.take() == (b"HTTP/1.1 200 OK\r\n" + DATE + line + b"Content-Length: 0\r\n\r\n")

    @pytest.mark.parametrize(
        ("own", "left"),
        [
            ([(b"date", b"D")], SERVER),
            ([(b"SERVER", b"S")], DATE),
            ([(b"Server", b"S"), (b"Date", b"D")], b""),
        ],
    )
    def test_own(self, serve: Serve, own: Any, left: bytes) -> None:
        """The application's own fields replace the default fields."""
        wire = serve(sending(start(headers=own), body())).connect().sends(GET)
        lines = b"".join(b"%b: %b\r\n" % pair for pair in own)
        assert wire.take() == (b"HTTP/1.1 200 OK\r\n" + left + lines + b"Content-Length: 0\r\n\r\n")

    def test_date_is_made_by_the_checker(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Date is cached: a request formats none."""
        memory = serve(sending(start(), body()))
        monkeypatch.setattr(
            "daphne_like.runtime.default_fields.date_line", lambda seconds: b"Date: later\r\n"
        )
        assert DATE in memory.connect().sends(GET).take()
        memory.server.default_fields.refresh()
        assert b"Date: later\r\n" in memory.connect().sends(GET).take()


class TestStart:
    """ASGI HTTP, "Response Start - send event"."""

    @pytest.mark.parametrize(
        ("status", "line"),
        [
            (200, b"200 OK"),
            (404, b"404 Not Found"),
            (HTTPStatus.CREATED, b"201 Created"),
            (299, b"299 "),
            (999, b"999 "),
        ],
    )
    def test_status(self, serve: Serve, status: int, line: bytes) -> None:
        """H20: any final status; one that is not registered has no reason phrase."""
        wire = serve(sending(start(status), body())).connect().sends(GET)
        assert wire.take() == head(line, b"Content-Length: 0")

    @pytest.mark.parametrize(
        "status", [None, "200", 200.0, True, 0, -1, 100, 101, 199, 1000, b"200", 10**30]
    )
    def test_no_status(self, serve: Serve, status: Any) -> None:
        """C10: anything else is an error at the `send`, and the peer has a 500."""
        trying = Trying(start(status))
        assert serve(trying).connect().sends(GET).take() == ERROR_500
        assert [str(error) for error in trying.errors] == [
            f"{TYPE}: expected an int from 200 to 999 as status, got {status!r}"
        ]

    def test_status_missing(self, serve: Serve) -> None:
        """C10: `status` must be there."""
        trying = Trying({"type": TYPE})
        assert serve(trying).connect().sends(GET).take() == ERROR_500
        assert isinstance(trying.errors[0], ApplicationError)

    @pytest.mark.parametrize(
        "headers",
        [
            [(b"A", b"1"), (b"b", b"2"), (b"A", b"3")],
            ((b"A", b"1"), (b"b", b"2"), (b"A", b"3")),
            [[b"A", b"1"], [b"b", b"2"], [b"A", b"3"]],
        ],
    )
    def test_headers(self, serve: Serve, headers: Any) -> None:
        """H20, H16: order, repetition and spelling stay; lists do as well as tuples."""
        wire = serve(sending(start(headers=headers), body())).connect().sends(GET, GET)
        assert wire.take() == 2 * head(b"200 OK", b"A: 1", b"b: 2", b"A: 3", b"Content-Length: 0")

    def test_generator(self, serve: Serve) -> None:
        """H20: any iterable."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start(headers=((name, b"1") for name in (b"a", b"b"))))
            await send(body())

        wire = serve(application).connect().sends(GET)
        assert wire.take() == head(b"200 OK", b"a: 1", b"b: 1", b"Content-Length: 0")

    def test_no_headers(self, serve: Serve) -> None:
        """H20: `headers` may be missing; C11: other keys may be there."""
        wire = serve(sending({"type": TYPE, "status": 200, "x": 1}, {"type": BODY, "x": 1}))
        assert wire.connect().sends(GET).take() == head(b"200 OK", b"Content-Length: 0")

    def test_error_in_a_generator(self, serve: Serve) -> None:
        """A TypeError of the application's own generator is not called ours."""
        trying = Trying(start(headers=(1 + "x" for _ in range(1))))  # type: ignore[operator]
        assert serve(trying).connect().sends(GET).take() == ERROR_500
        assert type(trying.errors[0]) is TypeError

    @pytest.mark.parametrize("headers", [None, 1])
    def test_headers_that_are_none(self, serve: Serve, headers: Any) -> None:
        """C10: `headers` is an iterable."""
        trying = Trying(start(headers=headers))
        assert serve(trying).connect().sends(GET).take() == ERROR_500
        assert str(trying.errors[0]) == f"{TYPE}: expected an iterable of headers, got {headers!r}"

    @pytest.mark.parametrize(
        ("pair", "said"),
        [
            (("X-Id", b"1"), "expected bytes as name of header 1, got str 'X-Id'"),
            ((b"X-Id", "1"), "expected bytes as value of header 1, got str '1'"),
            ((b"X-Id", 1), "expected bytes as value of header 1, got int 1"),
            ((b"X-Id", bytearray(b"1")), ("expected bytes as value of header 1, got bytearray "
             "bytearray(b'1')")),
            ((Octets(b"X-Id"), b"1"), "expected bytes as name of header 1, got Octets b'X-Id'"),
            ((b"a\r\nb", b"1"), ("expected a token (RFC 9110, 5.6.2) as name of header 1, "
             "got b'a\\r\\nb'")),
            ((b"a", b"1\r\nb: 2"),
             "control character in the value of header 1 b'a': b'1\\r\\nb: 2'"),
            ((b"a", b"1\n"), "control character in the value of header 1 b'a': b'1\\n'"),
            ((b"a", b"\x00"), "control character in the value of header 1 b'a': b'\\x00'"),
            ((b":status", b"200"), ("expected a token (RFC 9110, 5.6.2) as name of header 1, "
             "got b':status'")),
            ((b"a",), "expected a pair of byte strings as header 1, got (b'a',)"),
        ],
    )  # fmt: skip
    def test_bad_header(self, serve: Serve, pair: Any, said: str) -> None:
        """C10, C16, H24, S05, S12: an error at the `send`, and no octet of it reaches the wire."""
        trying = Trying(start(headers=[(b"a", b"1"), pair]))
        assert serve(trying).connect().sends(GET).take() == ERROR_500
        assert [str(error) for error in trying.errors] == [f"{TYPE}: {said}"]

    @pytest.mark.parametrize("kind", [Octets, memoryview])
    def test_wrong_type_misses_the_cache(self, serve: Serve, kind: Any) -> None:
        """C16: what equals a line that went out before is refused for its type all the same."""
        memory = serve(sending(start(headers=[(b"x-id", b"1")]), body()))
        assert b"x-id: 1" in memory.connect().sends(GET).take()
        for pair in ((kind(b"x-id"), b"1"), (b"x-id", kind(b"1"))):
            trying = Trying(start(headers=[pair]))
            memory = serve(trying)
            assert memory.connect().sends(GET).take() == ERROR_500
            assert f"got {kind.__name__}" in str(trying.errors[0])

    def test_second_start(self, serve: Serve) -> None:
        """C10: a second start is the application's error, and no octet of it reaches the wire."""
        trying = Trying(start(), start(404), body())
        wire = serve(trying).connect().sends(GET)
        assert str(trying.errors[1]) == f"{TYPE}: expected once, got a second one"
        assert wire.take() == head(b"200 OK", b"Content-Length: 0")

    def test_after_an_error_another_start(self, serve: Serve) -> None:
        """C10: an application that catches the error may start again, rightly."""
        trying = Trying(start(headers=[("a", b"b")]), start(404), body())
        assert serve(trying).connect().sends(GET).take() == head(b"404 Not Found",
                                                                 b"Content-Length: 0")  # fmt: skip


class TestTheError:
    """Style: errors that a stranger understands at three in the morning."""

    def test_it_does_not_tell_how_we_looked(self, serve: Serve) -> None:
        """The traceback of a wrong header has nothing of our look-up table in it."""
        caught: list[BaseException] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            try:
                raise LookupError("the application's own")
            except LookupError:
                try:
                    await send(start(headers=[("a", b"b")]))
                except ApplicationError as error:
                    caught.append(error)

        serve(application).connect().sends(GET)
        assert [type(error.__context__) for error in caught] == [LookupError]


class TestBody:
    """ASGI HTTP, "Response Body - send event"."""

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ("x", "str 'x'"),
            (None, "NoneType None"),
            (bytearray(b"x"), "bytearray bytearray(b'x')"),
            (Octets(b"x"), "Octets b'x'"),
            (1, "int 1"),
        ],
    )
    def test_type(self, serve: Serve, value: Any, said: str) -> None:
        """C10, C16: `body` is bytes."""
        trying = Trying(start(), body(value))
        assert serve(trying).connect().sends(GET).take() == ERROR_500
        assert str(trying.errors[1]) == f"{BODY}: expected bytes as body, got {said}"

    def test_memoryview(self, serve: Serve) -> None:
        """C16: and no memoryview."""
        trying = Trying(start(), body(memoryview(b"x")))
        assert serve(trying).connect().sends(GET).take() == ERROR_500
        assert isinstance(trying.errors[1], ApplicationError)

    def test_before_start(self, serve: Serve) -> None:
        """C10: not before start."""
        trying = Trying(body(b"x"))
        assert serve(trying).connect().sends(GET).take() == ERROR_500
        assert str(trying.errors[0]) == f"{BODY}: expected {TYPE} first"

    def test_missing(self, serve: Serve) -> None:
        """H25: `body` may be missing."""
        wire = serve(sending(start(), {"type": BODY})).connect().sends(GET)
        assert wire.take() == head(b"200 OK", b"Content-Length: 0")


class TestOtherMessages:
    """ASGI, "Events"."""

    @pytest.mark.parametrize(
        ("message", "said"),
        [
            ({"type": "x"}, f"send: expected {TYPE} or {BODY}, got 'x'"),
            ({"type": None}, f"send: expected {TYPE} or {BODY}, got None"),
            ({"type": "websocket.send"}, f"send: expected {TYPE} or {BODY}, got 'websocket.send'"),
            ({}, "send: expected a dict with 'type', got {}"),
            (None, "send: expected a dict with 'type', got None"),
            ("x", "send: expected a dict with 'type', got 'x'"),
            ([], "send: expected a dict with 'type', got []"),
        ],
    )
    def test_is_refused(self, serve: Serve, message: Any, said: str) -> None:
        """C06, C10: unknown types and things that are no message."""
        trying = Trying(message)
        assert serve(trying).connect().sends(GET).take() == ERROR_500
        assert [str(error) for error in trying.errors] == [said]
        assert isinstance(trying.errors[0], ApplicationError)
