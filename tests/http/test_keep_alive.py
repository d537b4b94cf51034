"""Which connections stay open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.http.request_body import MAX_DISCARDED_BODY
from tests.support.memory import Memory
from tests.support.peers import answer_at_once, chunked, get, post, read_answers, respond

Serve = Callable[..., Memory]

GET_10 = b"GET / HTTP/1.0\r\n\r\n"
KEEP_10 = b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"


async def streams(scope: Any, receive: Any, send: Any) -> None:
    """Sends a body in two parts, without a Content-Length."""
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"ab", "more_body": True})
    await send({"type": "http.response.body", "body": b"cd"})


class TestHTTP10:
    """RFC 9112, 9.3 and appendix C; RFC 9112, 6.1: no transfer coding to HTTP/1.0."""

    def test_closes(self, serve: Serve) -> None:
        """HTTP/1.0 closes without keep-alive."""
        wire = serve(answer_at_once).connect().sends(GET_10)
        (answer,) = read_answers(wire.written)
        assert (answer.body, answer.closes, wire.lost) == (b"/", True, True)

    def test_keeps_alive(self, serve: Serve) -> None:
        """With keep-alive it stays open, and the answer says so."""
        wire = serve(answer_at_once).connect().sends(KEEP_10, KEEP_10 + KEEP_10, KEEP_10)
        answers = read_answers(wire.written)
        assert [answer.fields[b"connection"] for answer in answers] == [b"keep-alive"] * 4
        assert not wire.closing

    @pytest.mark.parametrize("request_", [GET_10, KEEP_10])
    def test_no_chunks(self, serve: Serve, request_: bytes) -> None:
        """A body without a length ends with the connection."""
        wire = serve(streams).connect().sends(request_)
        head, _, body = wire.written.partition(b"\r\n\r\n")
        assert body == b"abcd"
        assert b"Transfer-Encoding" not in head
        assert b"Connection: close" in head
        assert wire.closing

    def test_keeps_alive_with_a_body(self, serve: Serve) -> None:
        """Keep-alive of HTTP/1.0 goes with a request body, too."""
        request = post(b"abc", b"Connection: keep-alive").replace(b"1.1", b"1.0")
        wire = serve(answer_at_once).connect().sends(request, request)
        assert len(read_answers(wire.written)) == 2


class TestBodiless:
    """RFC 9110, 9.3.2, 15.3.5, 15.4.5; K2."""

    @pytest.mark.parametrize("parts", [[b"abc"], [b"abc", b"def"], [b"", b"abc", b""]])
    @pytest.mark.parametrize("status", [200, 204, 304, 404])
    @pytest.mark.parametrize("method", [b"HEAD", b"GET"])
    def test_no_octet_of_a_body(
        self, serve: Serve, parts: list[bytes], status: int, method: bytes
    ) -> None:
        """K2, S32: not for HEAD, 204 or 304, whatever the application sends; also pipelined."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": status})
            for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body"})

        request = get().replace(b"GET", method)
        wire = serve(application).connect().sends(request + request, request)
        answers = read_answers(wire.written, (method,) * 3)
        has_body = method == b"GET" and status not in (204, 304)
        assert [answer.body for answer in answers] == [b"".join(parts) * has_body] * 3


class TestUnreadBody:
    """The rest of an unread body is discarded up to a limit; beyond it the connection closes."""

    @pytest.mark.parametrize("make", [post, chunked])
    def test_whole_already(self, serve: Serve, make: Any) -> None:
        """A body that is there already is dropped."""
        wire = serve(answer_at_once).connect().sends(make(bytes(1000)), get(b"/2"))
        assert [answer.body for answer in read_answers(wire.written)] == [b"/", b"/2"]

    @pytest.mark.parametrize(
        ("size", "kept"), [(MAX_DISCARDED_BODY, True), (MAX_DISCARDED_BODY + 1, False)]
    )
    def test_bound(self, serve: Serve, size: int, kept: bool) -> None:
        """A short rest of the body is read and discarded; otherwise the response says close."""
        wire = serve(answer_at_once).connect().sends(post(b"", size=size))
        assert [answer.closes for answer in read_answers(wire.written)] == [not kept]
        assert wire.half_closed != kept
        for _ in range(size // 65536):
            wire.gets(bytes(65536))
        wire.gets(bytes(size % 65536) + get(b"/2"))
        assert len(read_answers(wire.written)) == 1 + kept

    def test_chunked_to_come(self, serve: Serve) -> None:
        """Nobody knows how long a chunked body is: close."""
        wire = serve(answer_at_once).connect().sends(chunked(b"abc", end=False))
        assert [answer.closes for answer in read_answers(wire.written)] == [True]
        assert wire.half_closed

    @pytest.mark.parametrize("more", [0, 1])
    def test_chunked_behind_a_head_that_is_out(self, serve: Serve, more: int) -> None:
        """If the head has not said close, a chunked body is discarded up to the limit."""
        wire = serve(streams).connect().sends(chunked(b"abc", end=False))
        assert [answer.closes for answer in read_answers(wire.written)] == [False]
        for _ in range(4):
            wire.gets(b"10000\r\n" + bytes(65536) + b"\r\n")
        assert not wire.half_closed
        if more:
            wire.gets(b"1\r\na\r\n")
            assert wire.half_closed
            assert wire.protocol.deadline < 2000
        else:
            wire.gets(b"0\r\n\r\n" + get(b"/2"))
            assert len(read_answers(wire.written)) == 2

    def test_framing_is_looked_at(self, serve: Serve) -> None:
        """An error in a discarded body closes the connection without a second response."""
        wire = serve(streams).connect().sends(chunked(b"abc", end=False), b"zz\r\n")
        assert len(read_answers(wire.written)) == 1
        assert wire.half_closed

    def test_reading_goes_on(self, serve: Serve) -> None:
        """A body that stopped the reading, answered unread, is discarded all the same."""
        wire = serve(answer_at_once).connect().gets(post(bytes(70000), size=100_000))
        assert not wire.paused
        assert wire.protocol.deadline < 2000
        wire.gets(bytes(30000), get(b"/2"))
        assert [answer.body for answer in read_answers(wire.written)] == [b"/", b"/2"]

    def test_reading_goes_on_after_the_last_octet(self, serve: Serve) -> None:
        """A transport that gives one more piece after it was paused leaves nothing paused."""
        memory = serve(answer_at_once)
        wire = memory.connect()
        wire.gets(post(bytes(70000), size=100_000)[:-1], bytes(30001))
        assert not wire.paused
        wire.gets(get(b"/2"))
        assert len(read_answers(wire.written)) == 2


class TestHow:
    """The end of a connection."""

    def test_the_application_closes(self, serve: Serve) -> None:
        """RFC 9112, 9.6: the peer may be sending: the connection lingers."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await respond(send, b"", 200, (b"Connection", b"close"))

        wire = serve(application).connect().sends(get())
        assert wire.half_closed
        assert not wire.lost
        wire.sends(get())
        wire.fin()
        assert wire.lost
        assert len(read_answers(wire.written)) == 1
