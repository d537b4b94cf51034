"""How a response goes out through twisted.web, and how an exchange ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.exceptions import ApplicationError, ConnectionClosed
from tests.support.applications import Script, Trying, body, sending, start
from tests.support.peers import get, never_answer, read_answers

Start = Callable[..., Any]
GET = get(b"/app")
HEAD = b"HEAD /app HTTP/1.1\r\nHost: x\r\n\r\n"
OLD_GET = b"GET /app HTTP/1.0\r\n\r\n"


def answers(memory: Any, *requests: bytes, methods: tuple[bytes, ...] = ()) -> list[Any]:
    return read_answers(memory.connect().sends(*requests).take(), methods)


def undated(answer: Any) -> Any:
    """An answer without the second that it was made in."""
    answer.fields.pop(b"date", None)
    return answer


class TestStart:
    """ASGI HTTP, "Response Start - send event"."""

    def test_whole(self, tree: Start) -> None:
        """H20: status and fields, and none that nobody asked for beside Server and Date."""
        headers = [(b"x-a", b"1"), (b"X-B", b"2")]
        (answer,) = answers(tree(sending(start(201, headers), body(b"abc"))), GET)
        assert answer.fields.pop(b"server").startswith(b"TwistedWeb/")
        assert b"GMT" in answer.fields.pop(b"date")
        expected = {b"x-a": b"1", b"x-b": b"2", b"content-length": b"3"}
        assert answer == (201, expected, b"abc", b"1.1")

    def test_own_server_and_date(self, tree: Start) -> None:
        """The application's own take their place."""
        headers = [(b"server", b"mine"), (b"date", b"now"), (b"content-type", b"a/b")]
        (answer,) = answers(tree(sending(start(headers=headers), body())), GET)
        assert [answer.fields[name] for name, _ in headers] == [b"mine", b"now", b"a/b"]

    def test_duplicates(self, tree: Start) -> None:
        """H16, H20: several fields of a name stay several, in their order."""
        headers = [(b"set-cookie", b"a=1"), (b"via", b"1"), (b"set-cookie", b"b=2"), (b"via", b"2")]
        octets = tree(sending(start(headers=headers), body())).connect().sends(GET).take()
        lines = [line for line in octets.split(b"\r\n") if line.startswith((b"Set-", b"Via"))]
        assert sorted(lines) == [b"Set-Cookie: a=1", b"Set-Cookie: b=2", b"Via: 1", b"Via: 2"]

    def test_cookies_of_others(self, tree: Start) -> None:
        """A session of twisted.web's on the way to the application does not replace its cookies."""
        memory = tree(sending(start(headers=[(b"set-cookie", b"a=1")]), body()))
        found = memory.root.getChildWithDefault

        def with_cookie(name: bytes, request: Any) -> Any:
            request.addCookie(b"t", b"1")
            return found(name, request)

        memory.root.getChildWithDefault = with_cookie
        octets = memory.connect().sends(GET).take()
        assert b"Set-Cookie: a=1" in octets
        assert b"Set-Cookie: t=1" in octets

    def test_hop_by_hop(self, tree: Start) -> None:
        """H22: framing and the connection are not the application's to say; `close` is heeded."""
        headers = [
            (b"transfer-encoding", b"gzip"),
            (b"keep-alive", b"1"),
            (b"connection", b"close"),
        ]
        wire = tree(sending(start(headers=headers), body(b"a"))).connect().sends(GET)
        (answer,) = read_answers(wire.take())
        assert answer.closes
        assert not {b"transfer-encoding", b"keep-alive"} & set(answer.fields)
        assert wire.lost

    @pytest.mark.parametrize(
        "headers", [[(b"a", b"b\r\nc: d")], [(b"a", b"b\nc")], [(b"a\r\n", b"b")], [("a", b"b")]]
    )
    def test_bad_header(self, tree: Start, headers: Any) -> None:
        """S05, S12: raised in the application; twisted.web would make a space of CRLF."""
        trying = Trying(start(headers=headers), start(), body(b"good"))
        (answer,) = answers(tree(trying), GET)
        assert isinstance(trying.errors[0], ApplicationError)
        assert trying.errors[1:] == [None, None]
        assert answer.body == b"good"

    def test_second_start(self, tree: Start) -> None:
        """C10: no octet of it reaches the wire."""
        trying = Trying(start(), start(500), body(b"a"))
        (answer,) = answers(tree(trying), GET)
        assert isinstance(trying.errors[1], ApplicationError)
        assert (answer.status, answer.body) == (200, b"a")


class TestBody:
    """ASGI HTTP, "Response Body - send event"."""

    def test_streamed(self, tree: Start) -> None:
        """H23, H25: chunked, each part at once."""
        script = Script()
        memory = tree(script)
        wire = memory.connect().sends(GET)
        memory.loop.run_until_complete(script.send(start()))
        assert wire.take() == b""
        memory.loop.run_until_complete(script.send(body(b"one", True)))
        assert wire.take().endswith(b"\r\n\r\n3\r\none\r\n")
        memory.loop.run_until_complete(script.send(body(b"", True)))
        assert wire.take() == b""
        memory.loop.run_until_complete(script.send(body(b"two")))
        assert wire.take() == b"3\r\ntwo\r\n0\r\n\r\n"

    def test_to_http_10(self, tree: Start) -> None:
        """H23: no chunks for HTTP/1.0; the end of the connection ends the body."""
        wire = tree(sending(start(), body(b"one", True), body(b"two"))).connect().sends(OLD_GET)
        head, _, octets = wire.take().partition(b"\r\n\r\n")
        assert (octets, wire.lost) == (b"onetwo", True)
        assert b"chunked" not in head

    def test_several_megabytes(self, tree: Start) -> None:
        """One large body comes whole; it is written in pieces."""
        octets = bytes(range(256)) * 8192
        memory = tree(sending(start(), body(octets)))
        wire = memory.connect().sends(GET)
        (answer,) = read_answers(wire.take())
        assert answer.body == octets
        assert max(map(len, wire.writes)) <= 131072

    @pytest.mark.parametrize("parts", [1, 2])
    def test_head(self, tree: Start, parts: int) -> None:
        """H32: no octet of body; GET's Content-Length where it is known."""
        messages = [body(b"abc", True)] * (parts - 1) + [body(b"abc")]
        memory = tree(sending(start(), *messages))
        first, second = answers(memory, HEAD, HEAD, methods=(b"HEAD", b"HEAD"))
        assert undated(first) == undated(second)
        assert first.fields.get(b"content-length") == (b"3" if parts == 1 else None)

    @pytest.mark.parametrize("status", [204, 304])
    def test_bodiless(self, tree: Start, status: int) -> None:
        """H32."""
        memory = tree(sending(start(status, [(b"content-length", b"3")]), body(b"abc")))
        first, second = answers(memory, GET, GET)
        assert undated(first) == undated(second)
        assert first.fields.get(b"content-length") == (None if status == 204 else b"3")
        assert b"content-type" not in first.fields

    def test_too_long(self, tree: Start) -> None:
        """H33: more than Content-Length says is the application's error, and not on the wire."""
        trying = Trying(start(headers=[(b"content-length", b"3")]), body(b"abcd"), body(b"abc"))
        (answer,) = answers(tree(trying), GET)
        assert isinstance(trying.errors[1], ApplicationError)
        assert answer.body == b"abc"

    def test_too_short(self, tree: Start) -> None:
        """H33: less cuts the connection."""
        trying = Trying(start(headers=[(b"content-length", b"3")]), body(b"a", True), body(b"b"))
        wire = tree(trying).connect().sends(GET)
        assert wire.aborted
        assert isinstance(trying.errors[2], ApplicationError)

    def test_after_the_end(self, tree: Start) -> None:
        """H26: what follows is ignored; H28: `receive` says that it is over."""
        script = Script()
        memory = tree(script)
        wire = memory.connect().sends(GET)
        for message in (start(), body(b"a"), body(b"b"), start()):
            memory.loop.run_until_complete(script.send(message))
        assert memory.loop.run_until_complete(script.receive()) == {"type": "http.disconnect"}
        assert read_answers(wire.take())[0].body == b"a"


class TestPeerThatDoesNotRead:
    """C09: `send` returns once there is room."""

    def test_send_waits(self, tree: Start) -> None:
        """While the transport is full it waits."""
        script = Script()
        memory = tree(script)
        wire = memory.connect().sends(GET)
        memory.loop.run_until_complete(script.send(start()))
        wire.stops_reading()
        task = memory.loop.create_task(script.send(body(b"a", True)))
        memory.settle()
        assert not task.done()
        wire.reads_on()
        assert task.done()

    def test_last_part_waits(self, tree: Start) -> None:
        """The last one, too; the connection's next request then has its turn."""
        script = Script()
        memory = tree(script)
        wire = memory.connect().sends(GET)
        memory.loop.run_until_complete(script.send(start()))
        wire.stops_reading()
        task = memory.loop.create_task(script.send(body(b"a")))
        memory.settle()
        assert not task.done()
        wire.reads_on()
        assert task.done()
        assert read_answers(wire.take())[0].body == b"a"
        first = script.send
        wire.sends(GET)
        assert script.send is not first

    def test_large_part_waits(self, tree: Start) -> None:
        """A large part is no further written than the peer reads."""
        script = Script()
        memory = tree(script)
        wire = memory.connect().sends(GET)
        memory.loop.run_until_complete(script.send(start()))
        wire.stops_reading()
        task = memory.loop.create_task(script.send(body(bytes(1_000_000))))
        memory.settle()
        assert len(wire.take()) < 150_000
        wire.reads_on()
        memory.settle()
        assert task.done()

    def test_full_from_the_start(self, tree: Start) -> None:
        """Behind an answer of another resource that the peer does not read."""
        script = Script()
        memory = tree(script)
        wire = memory.connect()
        wire.stops_reading()
        wire.sends(GET)
        memory.loop.run_until_complete(script.send(start()))
        task = memory.loop.create_task(script.send(body(b"a", True)))
        memory.settle()
        assert not task.done()

    @pytest.mark.parametrize("last", [True, False])
    def test_has_a_deadline(self, tree: Start, last: bool) -> None:
        """write_timeout cuts the connection, and whoever waits is released."""
        script = Script()
        memory = tree(script, write_timeout=5)
        wire = memory.connect().sends(GET)
        memory.loop.run_until_complete(script.send(start()))
        wire.stops_reading()
        task = memory.loop.create_task(script.send(body(b"a", not last)))
        memory.passes(4)
        assert not wire.aborted
        memory.passes(2)
        assert wire.aborted
        assert task.done()
        assert not memory.server.connections

    def test_many_small_parts(self, tree: Start) -> None:
        """An application that never waits lets the event loop come round."""

        async def flood(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            while True:
                await send(body(1000 * b"x", True))

        wire = tree(flood).connect().sends(GET)
        wire.vanishes()
        assert wire.lost


class TestEnds:
    """How the application ends, and how the peer does."""

    def test_raises_before(self, tree: Start, caplog: pytest.LogCaptureFixture) -> None:
        """C12: 500, and the text of the exception is in the log alone."""
        script = Script()
        memory = tree(script)
        wire = memory.connect().sends(GET)
        memory.loop.run_until_complete(script.send(start(headers=[(b"x-a", b"1")])))
        script.raises(ValueError("secret"))
        memory.settle()
        (answer,) = read_answers(wire.take())
        assert (answer.status, answer.body) == (500, b"Internal Server Error\n")
        assert b"x-a" not in answer.fields
        assert "secret" in caplog.text

    def test_raises_after(self, tree: Start) -> None:
        """C12: the connection is cut, no last chunk goes out."""
        script = Script()
        memory = tree(script)
        wire = memory.connect().sends(GET)
        for message in (start(), body(b"a", True)):
            memory.loop.run_until_complete(script.send(message))
        script.raises(ValueError())
        memory.settle()
        assert wire.aborted
        assert not wire.take().endswith(b"0\r\n\r\n")
        assert not memory.server.connections

    def test_returns_early(self, tree: Start) -> None:
        """C12: without an answer it is 500."""
        (answer,) = answers(tree(sending()), GET)
        assert answer.status == 500

    def test_too_slow(self, tree: Start) -> None:
        """http_timeout: 503, and the application is told and cancelled."""
        script = Script()
        memory = tree(script, http_timeout=5, application_close_timeout=3)
        wire = memory.connect().sends(GET)
        memory.passes(6)
        assert read_answers(wire.take())[0].status == 503
        assert memory.loop.run_until_complete(script.receive()) == {"type": "http.disconnect"}
        memory.passes(4)
        assert isinstance(script.ended, asyncio.CancelledError)

    def test_disconnect(self, tree: Start) -> None:
        """H28, H30: `receive` tells it, and `send` raises; without that it has 16 messages."""
        script = Script()
        memory = tree(script)
        memory.connect().sends(GET).vanishes()
        assert memory.loop.run_until_complete(script.receive()) == {"type": "http.disconnect"}
        memory.settle()
        with pytest.raises(ConnectionClosed):
            memory.loop.run_until_complete(script.send(start()))
        memory.connect().sends(GET).vanishes()
        for message in [start(), *[body(b"a", True)] * 15]:
            memory.loop.run_until_complete(script.send(message))
        with pytest.raises(ConnectionClosed):
            memory.loop.run_until_complete(script.send(body(b"a", True)))
        assert not memory.server.connections

    def test_half_closed(self, tree: Start) -> None:
        """An exchange that knows of a FIN (no channel tells today) ends without an answer."""
        script = Script()
        memory = tree(script)
        wire = memory.connect().sends(GET)
        (exchange,) = script.send.args
        exchange.end_input(peer_half_closed=True)
        script.returns()
        memory.settle()
        assert (wire.take(), wire.aborted) == (b"", True)
        assert not memory.server.connections

    def test_application_close_timeout(self, tree: Start) -> None:
        """One that does not listen is cancelled."""
        script = Script()
        memory = tree(script, application_close_timeout=3)
        memory.connect().sends(GET).vanishes()
        memory.passes(2)
        assert script.ended is None
        memory.passes(2)
        assert isinstance(script.ended, asyncio.CancelledError)

    def test_nothing_is_kept(self, tree: Start) -> None:
        """One that listens ends by itself."""
        memory = tree(never_answer)
        memory.connect().sends(GET).vanishes()
        assert not memory.server.instances
