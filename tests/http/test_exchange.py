"""One HTTP/1.1 request as its application sees it: what test_rules.py does not hold for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.exceptions import ConnectionClosed
from tests.support.applications import GET, Script, body, head, post, sending, start
from tests.support.memory import Memory, Wire

Serve = Callable[..., Memory]

LAST = {"type": "http.disconnect"}
CHUNKED_POST = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
EXPECTING = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"


pytestmark = pytest.mark.usefixtures("fixed_date")


def event(octets: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": octets, "more_body": more}


class Reading:
    """Receives `number` events, then answers."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.events: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for _ in range(self.number):
            self.events.append(await receive())
        await send(start())
        await send(body(b"done"))


class TestScope:
    """ASGI HTTP, "HTTP Connection Scope"."""

    def test_called_once_for_each_request(self, serve: Serve) -> None:
        """C01: one call, one request."""
        paths: list[str] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            paths.append(scope["path"])
            await send(start())
            await send(body())

        serve(application).connect().sends(GET, GET.replace(b"/", b"/2", 1) * 2)
        assert paths == ["/", "/2", "/2"]


class TestRequest:
    """ASGI HTTP, "Request - receive event"."""

    def test_chunked_body(self, serve: Serve) -> None:
        """H18: without its chunks."""
        reading = Reading(2)
        wire = serve(reading).connect()
        wire.sends(CHUNKED_POST + b"1\r\na\r\n2\r\nbc\r\n", b"0\r\n\r\n")
        assert reading.events == [event(b"abc", True), event(b"")]


class TestContinue:
    """RFC 9110, 10.1.1: Expect."""

    def test_not_without_asking(self, serve: Serve) -> None:
        """A final answer without reading the body: no 100, and the connection closes."""
        wire = serve(sending(start(), body(b"x"))).connect().sends(EXPECTING)
        assert wire.take() == head(b"200 OK", b"Content-Length: 1", b"Connection: close") + b"x"

    def test_not_behind_the_final_status(self, serve: Serve) -> None:
        """RFC 9110, 15.2: once the final head is out, asking for the body writes nothing."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(EXPECTING)
        memory.loop.run_until_complete(script.send(start()))
        memory.loop.run_until_complete(script.send(body(b"a", more=True)))
        memory.loop.create_task(script.receive())
        memory.settle()
        assert wire.take() == head(b"200 OK", b"Transfer-Encoding: chunked") + b"1\r\na\r\n"


class TestDisconnect:
    """ASGI HTTP, "Disconnect - receive event"."""

    @pytest.mark.parametrize("request_", [GET, post(b"", length=3), post(b"abc")])
    def test_after_the_response(self, serve: Serve, request_: bytes) -> None:
        """H28: `receive` after the response gives http.disconnect, whatever was left unread."""
        events: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            await send(body())
            events.append(await receive())
            events.append(await receive())

        serve(application).connect().sends(request_)
        assert events == [LAST, LAST]

    def test_while_another_task_waits(self, serve: Serve) -> None:
        """H28: one that waits in `receive` while the response is sent learns of its end."""
        events: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            waiting = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            await send(start())
            await send(body())
            events.append(await waiting)

        serve(application).connect().sends(GET)
        assert events == [LAST]

    @pytest.mark.parametrize("end", [Wire.fin, Wire.vanishes])
    def test_while_waiting(self, serve: Serve, end: Callable[[Wire], None]) -> None:
        """H28: an application that only waits in `receive` learns of FIN and loss at once."""
        reading = Reading(3)
        wire = serve(reading).connect().sends(GET)
        assert reading.events == [event(b"")]
        end(wire)
        assert reading.events == [event(b""), LAST, LAST]

    def test_fin_leaves_the_body_readable(self, serve: Serve) -> None:
        """The peer's FIN behind a whole request: the body, then the disconnect."""
        script = Script()
        memory = serve(script)
        memory.connect().sends(post(b"abc")).fin()
        got = [memory.loop.run_until_complete(script.receive()) for _ in range(2)]
        assert got == [event(b"abc"), LAST]

    def test_answer_after_fin(self, serve: Serve) -> None:
        """A peer that has closed its sending side alone still has its answer."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(GET)
        wire.fin()
        memory.loop.run_until_complete(script.send(start()))
        memory.loop.run_until_complete(script.send(body(b"x")))
        assert wire.take().endswith(b"\r\n\r\nx")

    def test_fin_behind_pipelined_requests(self, serve: Serve) -> None:
        """H28: the application of a request that came before the FIN learns of it too."""
        events: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            while not events or events[-1] != LAST:
                events.append(await receive())
            await asyncio.sleep(0)
            await send(start())
            await send(body(b"x"))
            events.append(scope["path"])

        wire = serve(application).connect().sends(GET + GET.replace(b"/", b"/2", 1))
        wire.fin()
        assert events == [event(b""), LAST, "/", event(b""), LAST, "/2"]
        assert wire.written.count(b"\r\n\r\nx") == 2

    def test_body_cut_short(self, serve: Serve) -> None:
        """A FIN within the body: the request will never be whole, and its connection closes."""
        reading = Reading(2)
        wire = serve(reading).connect().sends(post(b"ab", length=5))
        wire.fin()
        assert reading.events[0] == event(b"ab", True)
        assert wire.closing


class TestSendingToNobody:
    """ASGI HTTP, "Disconnect - receive event"."""

    def test_raises(self, serve: Serve) -> None:
        """H30, H29: `send` on a closed connection raises our OSError, each time."""
        script = Script()
        memory = serve(script, application_close_timeout=0)
        memory.connect().sends(GET).vanishes()
        for message in (start(), body(), start()):
            with pytest.raises(ConnectionClosed) as caught:
                memory.loop.run_until_complete(script.send(message))
            assert isinstance(caught.value, OSError)

    def test_raises_within_a_stream(self, serve: Serve) -> None:
        """H30: also when the head is out already."""
        script = Script()
        memory = serve(script, application_close_timeout=0)
        wire = memory.connect().sends(GET)
        memory.loop.run_until_complete(script.send(start()))
        memory.loop.run_until_complete(script.send(body(b"a", more=True)))
        wire.vanishes()
        with pytest.raises(ConnectionClosed):
            memory.loop.run_until_complete(script.send(body(b"b")))

    def test_ignored_after_the_response(self, serve: Serve) -> None:
        """H26, C13: what follows a whole response is ignored, connection or none."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(GET)
        for message in (start(), body(b"x")):
            memory.loop.run_until_complete(script.send(message))
        answer = wire.take()
        for _ in range(2):
            for message in (start(), body(b"x"), {"type": "other"}):
                memory.loop.run_until_complete(script.send(message))
            wire.vanishes()
        assert (answer[-5:], wire.take()) == (b"\r\n\r\nx", b"")
