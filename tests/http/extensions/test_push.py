"""Server push: ASGI, "HTTP/2 Server Push"; RFC 9113, 8.4. The client is h2's."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from typing import Any

import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import PushPromiseFrame

from daphne_like.exceptions import ApplicationError
from daphne_like.http.h2.stream import MAX_PROMISES
from tests.support import needed
from tests.support.applications import EXTENSIONS, Script, Trying, body, start
from tests.support.h2_frames import goaway, settings
from tests.support.h2_peer import H2Peer
from tests.support.http_clients import Fields, plain
from tests.support.memory import Memory

Serve = Callable[..., Memory]
PUSH = "http.response.push"
ENABLE_PUSH = 2
GET: Fields = [
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":path", b"/"),
    (b":authority", b"x:1"),
]


def push(path: Any = "/style.css", *headers: Any) -> dict[str, Any]:
    return {"type": PUSH, "path": path, "headers": list(headers)}


class Site(Trying):
    """An application: its page sends these messages, every other path its own name.

    Attributes:
        scopes: of all instances.
    """

    def __init__(self, *messages: Any) -> None:
        super().__init__(*messages)
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["path"] != "/":
            assert await receive() == {"type": "http.request", "body": b"", "more_body": False}
            await send(start())
            await send(body(scope["path"].encode()))
            return
        await super().__call__(scope, receive, send)


class Client:
    """A client of HTTP/2 with h2, which holds us to the rules of promises.

    Args:
        says: for ENABLE_PUSH; None says nothing.
        most: promised streams at the same time.
    """

    def __init__(self, memory: Memory, says: int | None = 1, most: int | None = None) -> None:
        self.memory = memory
        self.wire = memory.connect()
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        if says != 1:
            self.h2.local_settings[SettingCodes.ENABLE_PUSH] = says or 0
            self.h2.local_settings.acknowledge()
        if most is not None:
            self.h2.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = most
            self.h2.local_settings.acknowledge()
        self.promises: dict[int, tuple[int, Fields]] = {}
        self.heads: dict[int, Fields] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.resets: set[int] = set()
        self.order: list[Any] = []
        self.h2.initiate_connection()
        if says is None:  # h2 says it in any case
            octets = self.h2.data_to_send()
            assert octets.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            self.h2.local_settings[SettingCodes.ENABLE_PUSH] = 1
            self.h2.local_settings.acknowledge()
            self.wire.sends(octets[:24] + b"\0\0\0\4\0\0\0\0\0")
        self.look()

    def asks(self, number: int = 1, fields: Fields = GET, ends: bool = True) -> Client:
        self.h2.send_headers(number, fields, ends)
        return self.look()

    def look(self) -> Client:
        """Send what there is to be sent, let all happen, and read."""
        octets = self.h2.data_to_send()
        if octets:
            self.wire.sends(octets)
        self.memory.settle()
        while octets := self.wire.take():
            for event in self.h2.receive_data(octets):
                self._take(event)
            answer = self.h2.data_to_send()
            if answer:
                self.wire.sends(answer)
            self.memory.settle()
        return self

    def _take(self, event: Any) -> None:
        self.order.append(type(event))
        if isinstance(event, events.PushedStreamReceived):
            fields = plain(event.headers)
            self.promises[event.pushed_stream_id] = (event.parent_stream_id, fields)
        elif isinstance(event, events.ResponseReceived):
            self.heads[event.stream_id] = plain(event.headers)
        elif isinstance(event, events.DataReceived):
            number = event.stream_id
            self.bodies[number] = self.bodies.get(number, b"") + event.data
        elif isinstance(event, events.StreamEnded):
            self.ended.add(event.stream_id)
        elif isinstance(event, events.StreamReset):
            self.resets.add(event.stream_id)


class TestPromise:
    """X10, X11."""

    def test_answer(self, serve: Serve) -> None:
        """X11: promised on the request's stream, then served as if it had been asked for."""
        site = Site(start(), push("/style.css?v=1", (b"accept", b"text/css")), body(b"page"))
        client = Client(serve(site)).asks()
        assert site.errors == [None] * 3
        assert client.promises == {
            2: (
                1,
                [
                    (b":method", b"GET"),
                    (b":scheme", b"http"),
                    (b":authority", b"x:1"),
                    (b":path", b"/style.css?v=1"),
                    (b"accept", b"text/css"),
                ],
            )
        }
        assert client.bodies == {1: b"page", 2: b"/style.css"}
        assert client.heads[2][0] == (b":status", b"200")
        assert client.ended == {1, 2}

    def test_scope(self, serve: Serve) -> None:
        """X11: the scope of a request; early hints do not go on its stream, nor do promises."""
        site = Site(start(), push("/a%20b?c", (b"accept", b"*/*")), body())
        Client(serve(site)).asks()
        page, promised = site.scopes
        assert page["extensions"] == {**EXTENSIONS, PUSH: {}}
        extensions = dict(EXTENSIONS)
        del extensions["http.response.early_hint"]
        assert promised == {
            **page,
            "path": "/a b",
            "raw_path": b"/a%20b",
            "query_string": b"c",
            "headers": [(b"host", b"x:1"), (b"accept", b"*/*")],
            "extensions": extensions,
        }
        assert promised["state"] is not page["state"]

    def test_is_promised_before_what_refers_to_it(self, serve: Serve) -> None:
        """RFC 9113, 8.4.1: the promise comes before the page's body."""
        client = Client(serve(Site(start(), push(), body(b"page")))).asks()
        first = client.order.index(events.PushedStreamReceived)
        assert first < client.order.index(events.DataReceived)

    def test_between_parts(self, serve: Serve) -> None:
        """X10: any time after the start and before the end of the body."""
        site = Site(start(), body(b"a", True), push("/1"), push("/2"), body(b"b"))
        client = Client(serve(site)).asks()
        assert client.bodies == {1: b"ab", 2: b"/1", 4: b"/2"}

    def test_before_start(self, serve: Serve) -> None:
        """X10: as early hints are taken, and as Starlette sends it; then the page is answered."""
        pushed = push("/style.css", (b"accept", b"text/css"))
        messages = [pushed, start(), push("/b"), body(b"page")]
        site = Site(*messages)
        client = Client(serve(site)).asks()
        assert site.errors == [None] * 4
        assert client.bodies == {1: b"page", 2: b"/style.css", 4: b"/b"}
        assert client.ended == {1, 2, 4}
        promise = client.order.index(events.PushedStreamReceived)
        assert promise < client.order.index(events.ResponseReceived)

    def test_of_starlette(self, serve: Serve) -> None:
        """X10: `request.send_push_promise` before the response, as its documentation shows it."""
        applications = needed.module("starlette.applications")
        responses = needed.module("starlette.responses")
        routing = needed.module("starlette.routing")

        async def page(request: Any) -> Any:
            await request.send_push_promise("/static/style.css")
            return responses.PlainTextResponse("page")

        async def style(request: Any) -> Any:
            return responses.PlainTextResponse("style")

        routes = [routing.Route("/", page), routing.Route("/static/style.css", style)]
        fields = [*GET, (b"accept-language", b"eo")]
        client = Client(serve(applications.Starlette(routes=routes))).asks(fields=fields)
        assert client.bodies == {1: b"page", 2: b"style"}
        assert client.promises[2][1][-1] == (b"accept-language", b"eo")

    def test_between_body_and_trailers(self, serve: Serve) -> None:
        """X50: behind a whole body trailers follow, and nothing else."""
        trailers = {"type": "http.response.trailers", "headers": []}
        site = Site(start(trailers=True), body(b"page"), push(), trailers)
        client = Client(serve(site)).asks()
        assert [type(error) for error in site.errors] == [
            type(None), type(None), ApplicationError, type(None)
        ]  # fmt: skip
        assert (client.bodies, client.promises, client.ended) == ({1: b"page"}, {}, {1})

    def test_after_the_end(self, serve: Serve) -> None:
        """H26: behind the end it is ignored."""
        site = Site(start(), body(), push())
        client = Client(serve(site)).asks()
        assert (site.errors, client.promises) == ([None] * 3, {})

    def test_path_is_escaped(self, serve: Serve) -> None:
        """RFC 9113, 8.3.1: characters that a path cannot have are escaped, as UTF-8."""
        client = Client(serve(Site(start(), push("/é #\r\n%41?a=b"), body()))).asks()
        assert (b":path", b"/%C3%A9%20%23%0D%0A%41?a=b") in client.promises[2][1]

    def test_large(self, serve: Serve) -> None:
        """RFC 9113, 4.2: fields that all but fill the frame."""
        site = Site(start(), push("/a", (b"cookie", b"b" * 16_200)), body())
        client = Client(serve(site)).asks()
        assert client.promises[2][1][-1] == (b"cookie", b"b" * 16_200)
        assert client.bodies[2] == b"/a"

    def test_context(self, serve: Serve) -> None:
        """The two applications do not share a context."""
        variable = contextvars.ContextVar("variable", default="unset")
        seen = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            seen.append(variable.get())
            variable.set("set")
            await send(start())
            if scope["path"] == "/":
                await send(push())
            await send(body())

        Client(serve(application)).asks()
        assert seen == ["unset", "unset"]

    def test_early_hint_of_a_promise(self, serve: Serve) -> None:
        """X41: it is ignored, and the answer is whole."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] != "/":
                await send({"type": "http.response.early_hint", "links": [b"</a>"]})
            await send(start())
            if scope["path"] == "/":
                await send(push())
            await send(body(b"x"))

        client = Client(serve(application)).asks()
        assert client.bodies == {1: b"x", 2: b"x"}

    def test_promise_of_a_promise(self, serve: Serve) -> None:
        """RFC 9113, 6.6: promises are made on streams of the client alone."""
        errors = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            try:
                await send(push("/again"))
            except ApplicationError as error:
                errors.append(error)
            await send(body())

        client = Client(serve(application)).asks()
        assert len(errors) == 1
        assert client.ended == {1, 2}


class TestFaults:
    """C10: an invalid promise is the application's error, and nothing is sent."""

    @pytest.mark.parametrize(
        "path", ["a", "", b"/a", None, "http://x/a", "*", "/\ud800", "/" * 40_000]
    )
    def test_path(self, serve: Serve, path: Any) -> None:
        self.refused(serve, push(path))

    @pytest.mark.parametrize(
        "header",
        [
            (b"Accept", b"*/*"),
            (b":path", b"/b"),
            (b":method", b"POST"),
            (b"a", b"b\r\nc: d"),
            ("a", "b"),
            (b"a",),
            (b"a b", b"c"),
            (b"a", b" b"),
            (b"host", b"other"),
            (b"content-length", b"1"),
            (b"connection", b"close"),
            (b"transfer-encoding", b"chunked"),
            (b"te", b"gzip"),
            (b"a", b"b" * 25_000),
        ],
    )
    def test_headers(self, serve: Serve, header: Any) -> None:
        self.refused(serve, push("/a", header))

    @pytest.mark.parametrize("headers", [None, 1])
    def test_no_headers(self, serve: Serve, headers: Any) -> None:
        self.refused(serve, {"type": PUSH, "path": "/a", "headers": headers})

    def refused(self, serve: Serve, message: Any) -> None:
        site = Site(start(), message, push("/good"), body(b"page"))
        client = Client(serve(site)).asks()
        assert [type(error) for error in site.errors[:3]] == [
            type(None), ApplicationError, type(None)
        ]  # fmt: skip
        assert client.bodies == {1: b"page", 2: b"/good"}


class TestPeers:
    """Peers that accept promises, and the limits."""

    def test_disabled(self, serve: Serve) -> None:
        """RFC 9113, 6.5.2: ENABLE_PUSH=0: not advertised, and refused."""
        site = Site(start(), push(), body())
        client = Client(serve(site), 0).asks()
        assert site.scopes[0]["extensions"] == EXTENSIONS
        assert isinstance(site.errors[1], ApplicationError)
        assert (client.promises, client.ended) == ({}, {1})

    def test_unsaid(self, serve: Serve) -> None:
        """RFC 9113, 6.5.2: enabled at first; but most that say nothing do not mean it."""
        site = Site(start(), push(), body())
        client = Client(serve(site), None).asks()
        assert site.scopes[0]["extensions"] == EXTENSIONS
        assert site.errors == [None] * 3
        assert client.bodies[2] == b"/style.css"

    @pytest.mark.parametrize("last", [settings({ENABLE_PUSH: 0}), goaway()])
    def test_no_more(self, serve: Serve, last: bytes) -> None:
        """RFC 9113, 6.5.2 and 6.8: push was advertised, so a late promise is ignored."""
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory, {ENABLE_PUSH: 1})
        peer.asks()
        assert PUSH in script.scope["extensions"]
        send = script.send
        memory.loop.run_until_complete(send(start()))
        peer.sends(last)
        for message in (push(), body(b"page")):
            memory.loop.run_until_complete(send(message))
        memory.settle()
        peer.read()
        assert (peer.answer(1).body, peer.answer(1).ended) == (b"page", True)
        assert not any(isinstance(frame, PushPromiseFrame) for frame in peer.frames)

    @pytest.mark.parametrize("most", [0, 2])
    def test_most_at_once(self, serve: Serve, most: int) -> None:
        """RFC 9113, 5.1.2: no more than the client's MAX_CONCURRENT_STREAMS; others are ignored."""
        errors = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] != "/":
                await receive()
                await receive()  # the end
                return
            await send(start())
            for number in range(5):
                try:
                    await send(push(f"/{number}"))
                except Exception as error:
                    errors.append(error)
            await send(body(b"page"))

        client = Client(serve(application), most=most).asks()
        assert (len(client.promises), errors, client.bodies) == (most, [], {1: b"page"})

    def test_most_of_one_request(self, serve: Serve) -> None:
        """An application's endless loop is not the client's."""
        pushes = [push(f"/{number}") for number in range(MAX_PROMISES + 5)]
        site = Site(start(), *pushes, body(b"a"))
        client = Client(serve(site)).asks()
        assert len(client.promises) == MAX_PROMISES
        assert set(site.errors) == {None}

    def test_client_streams_are_not_fewer(self, serve: Serve) -> None:
        """5.1.2: what we promise takes no room from what the client may ask for."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            if scope["path"] == "/":
                await send(push("/1"))
                await send(push("/2"))
                await send(body(b"page"))
            else:
                await receive()
                await receive()  # the end

        client = Client(serve(application, h2_max_streams=2)).asks().asks(3, ends=False)
        assert len(client.promises) == 2
        client.asks(5)
        assert client.resets == set()

    def test_reset(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """RFC 9113, 8.4.2: a client that does not want it resets it; that instance ends."""
        told: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/":
                await send(start())
                await send(push())
                await send(body(b"page"))
            else:
                await receive()
                told.append(await receive())

        caplog.set_level(logging.INFO)
        client = Client(serve(application)).asks()
        assert (client.bodies, told) == ({1: b"page"}, [])
        client.h2.reset_stream(2, ErrorCodes.CANCEL)
        client.look()
        assert told == [{"type": "http.disconnect"}]
        client.asks(3)
        assert client.bodies[3] == b"page"
        assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []

    def test_reset_of_what_was_not_promised(self, serve: Serve) -> None:
        """RFC 9113, 5.1: a frame on an idle stream is a connection error."""
        client = Client(serve(Site(start(), push(), body()))).asks()
        octets = client.wire.sends(b"\0\0\4\3\0\0\0\0\4" + bytes(4)).take()
        assert octets[3:4] == b"\7"

    def test_priority_update(self, serve: Serve) -> None:
        """RFC 9218, 7.1: it may name a promised stream."""
        client = Client(serve(Site(start(), push(), body()))).asks()
        client.wire.sends(b"\0\0\7\x10\0\0\0\0\0" + b"\0\0\0\2u=1")
        assert client.look().asks(3).ended == {1, 2, 3, 4}
        octets = client.wire.sends(b"\0\0\7\x10\0\0\0\0\0" + b"\0\0\0\6u=1").take()
        assert octets[3:4] == b"\7"

    def test_http_1(self, serve: Serve) -> None:
        """HTTP/1.1 has no promises."""
        site = Site(start(), push(), body())
        serve(site).connect().sends(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").take()
        assert PUSH not in site.scopes[0]["extensions"]
        assert isinstance(site.errors[1], ApplicationError)
