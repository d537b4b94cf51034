"""An ASGI application among twisted.web resources: its place, its life, its scope."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISSLTransport
from twisted.web.resource import EncodingResourceWrapper, IResource, Resource
from twisted.web.server import GzipEncoderFactory
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from daphne_like.asgi import lifespan
from daphne_like.exceptions import ConfigurationError
from daphne_like.observe import refusals
from daphne_like.web import ASGIResource
from tests.support.applications import GET, Script, body, sending, start
from tests.support.log_lines import unlabelled
from tests.support.peers import (
    Recorder,
    answer_at_once,
    get,
    never_answer,
    post,
    read_answers,
    respond,
)

Start = Callable[..., Any]


class Living:
    """Takes part in the lifespan; answers with its name."""

    def __init__(self, name: bytes = b"x") -> None:
        self.name = name
        self.told: list[str] = []
        self.startup: asyncio.Future[dict[str, Any]] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                event = await receive()
                self.told.append(event["type"])
                if event["type"] == "lifespan.shutdown":
                    await send({"type": "lifespan.shutdown.complete"})
                    return
                scope["state"]["name"] = self.name
                self.startup = asyncio.get_running_loop().create_future()
                answer = await self.startup
                await send(answer)
                if answer["type"] == "lifespan.startup.failed":
                    return
        self.told.append("request")
        await respond(send, self.name + scope["state"]["name"])

    def starts(self, answer: str = "complete") -> None:
        assert self.startup is not None
        self.startup.set_result({"type": f"lifespan.startup.{answer}"})


class TestResource:
    """IResource."""

    def test_it_is_one(self, stock: Start) -> None:
        """A leaf: what is below is the application's."""
        resource = stock(Script()).resource
        assert verifyObject(IResource, resource)
        with pytest.raises(RuntimeError, match="Cannot put"):
            resource.putChild(b"a", Resource())
        with pytest.raises(RuntimeError, match="Cannot get"):
            resource.getChildWithDefault(b"a", None)

    def test_another_reactor(self) -> None:
        """A reactor on no asyncio event loop is refused with a sentence."""
        with pytest.raises(ConfigurationError, match="does not run on an asyncio event loop"):
            ASGIResource(Script(), reactor=object())

    def test_next_to_others(self, tree: Start) -> None:
        """Other resources, and other applications, answer at their own places."""
        memory = tree(answer_at_once)
        memory.add(b"other", sending(start(), body(b"other")))
        memory.run()
        octets = (
            memory.connect()
            .sends(get(b"/app/x"), get(b"/other"), get(b"/nothing"), post(b"a", path=b"/n"))
            .take()
        )
        statuses = [(answer.status, answer.body[:6]) for answer in read_answers(octets)]
        assert statuses[:2] == [(200, b"/app/x"), (200, b"other")]
        assert [status for status, _ in statuses[2:]] == [404, 404]

    def test_wrapped(self, tree: Start) -> None:
        """A gzip wrapper of twisted.web around it: Content-Length gives way, nothing is lost."""
        memory = tree(sending(start(headers=[(b"content-length", b"3")]), body(b"abc")))
        wrapper = EncodingResourceWrapper(memory.resource, [GzipEncoderFactory()])
        memory.root.putChild(b"zip", wrapper)
        request = post(b"hello", b"Accept-Encoding: gzip", path=b"/zip")
        (answer,) = read_answers(memory.connect().sends(request).take())
        assert answer.fields[b"content-encoding"] == b"gzip"
        assert answer.body.startswith(b"\x1f\x8b")


class TestScope:
    """ASGI HTTP, "HTTP Connection Scope"."""

    def test_whole(self, tree: Start) -> None:
        """C03-C05, H01-H14: root_path is the place, path begins with it."""
        script = Script()
        memory = tree(script)
        memory.connect().sends(get(b"/app/a%20b/%C3%A9?q=%20", b"X-Id: 1", b"A_B: 1", b"X-Id: 2"))
        assert script.scope == {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/app/a b/\u00e9",
            "raw_path": b"/app/a%20b/%C3%A9",
            "query_string": b"q=%20",
            "root_path": "/app",
            "headers": [(b"host", b"x"), (b"x-id", b"1"), (b"x-id", b"2")],
            "client": ["192.0.2.1", 50000],
            "server": ["192.0.2.2", 80],
            "state": {},
            "extensions": {},
        }

    @pytest.mark.parametrize(
        ("target", "path"),
        [
            (b"/app", "/app"),
            (b"/app/", "/app/"),
            (b"/app//a%2Fb", "/app//a/b"),
            (b"/%61pp/", "/app/"),
        ],
    )
    def test_path(self, tree: Start, target: bytes, path: str) -> None:
        """H05, H06, H08: the path is decoded as a whole, raw_path is as received."""
        script = Script()
        tree(script).connect().sends(get(target))
        scope = script.scope
        assert (scope["path"], scope["root_path"], scope["raw_path"]) == (path, "/app", target)

    def test_root_path_option(self, tree: Start) -> None:
        """H08: in front stands what a proxy has cut off the path."""
        script = Script()
        tree(script, root_path="/site").connect().sends(get(b"/app/x"))
        assert (script.scope["root_path"], script.scope["path"]) == ("/site/app", "/site/app/x")

    def test_everything_else(self, tree: Start) -> None:
        """A resource that hands all unknown names on is the root of them."""
        script = Script()
        memory = tree(script)

        class Fallback(Resource):
            def getChild(self, path: bytes, request: Any) -> Any:
                request.postpath.insert(0, request.prepath.pop())
                return memory.resource

        memory.site.resource = Fallback()
        memory.connect().sends(get(b"/a/b?c"))
        scope = script.scope
        assert (scope["root_path"], scope["path"], scope["query_string"]) == ("", "/a/b", b"c")

    def test_index(self, tree: Start) -> None:
        """The child b"" of a resource has that one's place."""
        script = Script()
        memory = tree(script)
        memory.root.putChild(b"", memory.resource)
        memory.connect().sends(get(b"/"))
        assert (script.scope["root_path"], script.scope["path"]) == ("", "/")

    def test_absolute_form(self, tree: Start) -> None:
        """RFC 9112, 3.2.2: the authority is the host."""
        script = Script()
        memory = tree(script)
        memory.site.resource = memory.resource
        memory.connect().sends(get(b"http://example.org/a?b"))
        scope = script.scope
        assert (scope["path"], scope["headers"]) == ("/a", [(b"host", b"example.org")])

    def test_https(self, tree: Start) -> None:
        """H04: the scheme of a TLS connection."""
        script = Script()
        wire = tree(script).connect()
        directlyProvides(wire, ISSLTransport)
        wire.sends(get(b"/app"))
        assert script.scope["scheme"] == "https"

    def test_underscores(self, tree: Start) -> None:
        """The option keeps them."""
        script = Script()
        tree(script, keep_underscores=True).connect().sends(get(b"/app", b"A_B: 1"))
        assert (b"a_b", b"1") in script.scope["headers"]

    @pytest.mark.parametrize("version", [b"1.0", b"1.1"])
    def test_version(self, tree: Start, version: bytes) -> None:
        """H02."""
        script = Script()
        tree(script).connect().sends(b"GET /app HTTP/%b\r\nHost: x\r\n\r\n" % version)
        assert script.scope["http_version"] == version.decode()

    def test_proxy_headers(self, tree: Start) -> None:
        """The client is whom a trusted proxy names."""
        script = Script()
        options = {"proxy_headers": True, "trusted_proxies": "192.0.2.1"}
        tree(script, **options).connect().sends(get(b"/app", b"X-Forwarded-For: 203.0.113.9"))
        assert script.scope["client"] == ["203.0.113.9", 0]

    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            (b"get /app HTTP/1.1\r\nHost: x\r\n\r\n", 501),
            (b"GET /app/#a HTTP/1.1\r\nHost: x\r\n\r\n", 400),
            (b"GET /app/\x85 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
            (b"GET /app HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
            (b"GET /app HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
            (b"GET /app HTTP/1.1\r\nHost: x\r\nA: \x85\r\n\r\n", 400),
            (b"GET /app/" + 200 * b"a" + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
            (get(b"/app", *(4 * [b"A: " + 100 * b"b"])), 431),
        ],
    )
    def test_refused(self, tree: Start, request_: bytes, status: int) -> None:
        """What twisted.web lets through and the server does not: no application sees it."""
        script = Script()
        memory = tree(script, max_request_line=128, max_field_section=256)
        wire = memory.connect().sends(request_)
        (answer,) = read_answers(wire.take())
        assert (answer.status, answer.closes, script.scope) == (status, True, None)
        assert wire.lost
        assert not memory.server.connections


class TestLife:
    """ASGI lifespan, from the reactor's start to its end."""

    def test_requests_wait(self, tree: Start) -> None:
        """L05, L06, L11: requests that come before startup is complete wait, and have its state."""
        living = Living()
        memory = tree(living, run=False, lifespan="on")
        wire = memory.connect().sends(get(b"/app"))
        assert living.told == []
        memory.run()
        assert (living.told, wire.take()) == (["lifespan.startup"], b"")
        living.starts()
        memory.settle()
        assert read_answers(wire.take())[0].body == b"xx"

    def test_gone_while_it_starts(self, tree: Start) -> None:
        """One whose peer has gone meanwhile is forgotten."""
        living = Living()
        memory = tree(living, lifespan="on")
        memory.connect().sends(get(b"/app")).vanishes()
        living.starts()
        memory.settle()
        assert living.told == ["lifespan.startup"]
        assert not memory.server.connections

    @pytest.mark.parametrize("early", [True, False])
    def test_failed_startup(
        self, tree: Start, early: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        """L07: told in the log, and 503 for every request."""
        living = Living()
        memory = tree(living, lifespan="on")
        wire = memory.connect()
        if early:
            wire.sends(get(b"/app"))
        living.starts("failed")
        memory.settle()
        if not early:
            wire.sends(get(b"/app"))
        assert read_answers(wire.take())[0].status == 503
        (record,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
        assert "Application startup failed" in record.getMessage()
        assert not memory.server.connections
        assert memory.server.lifecycle._next is None

    def test_each_its_own(self, tree: Start) -> None:
        """L02, L11: several applications in one tree, each with its lifespan and state."""
        first, second = Living(b"1"), Living(b"2")
        memory = tree(first, run=False, lifespan="on")
        memory.add(b"second", second, lifespan="on")
        memory.run()
        first.starts()
        second.starts()
        memory.settle()
        octets = memory.connect().sends(get(b"/app"), get(b"/second")).take()
        assert [answer.body for answer in read_answers(octets)] == [b"11", b"22"]

    def test_two_sites_share_one(self, tree: Start) -> None:
        """One resource in two sites is one application."""
        living = Living()
        memory, other = tree(living, lifespan="on"), tree(Script())
        living.starts()
        memory.settle()
        other.site.resource = memory.root
        wires = [memory.connect().sends(get(b"/app")), other.connect()]
        wires[1].memory = memory
        wires[1].sends(get(b"/app"))
        assert [read_answers(wire.take())[0].body for wire in wires] == [b"xx", b"xx"]
        assert living.told.count("lifespan.startup") == 1

    def test_stop(self, tree: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        """L08: requests in flight are finished, then comes shutdown; what comes then gets 503."""
        script, living = Script(), Living()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await (living if scope["type"] == "lifespan" else script)(scope, receive, send)

        memory = tree(application, lifespan="on")
        living.starts()
        memory.settle()
        wire = memory.connect().sends(get(b"/app"))
        (stopped,) = memory.stops()
        assert isinstance(stopped, Deferred)
        memory.settle()
        late = memory.connect().sends(get(b"/app"))
        assert read_answers(late.take())[0].status == 503
        assert living.told == ["lifespan.startup"]
        memory.loop.run_until_complete(script.send(start()))
        memory.loop.run_until_complete(script.send(body(b"done")))
        script.returns()
        memory.loop.run_until_complete(stopped.asFuture(memory.loop))
        (answer,) = read_answers(wire.take())
        assert (answer.body, answer.closes, wire.lost) == (b"done", True, True)
        assert living.told == ["lifespan.startup", "lifespan.shutdown"]

    def test_stop_is_bounded(self, tree: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        """What does not end in time is told, then cancelled."""
        monkeypatch.setattr(lifespan, "LEAVE_SECONDS", 0.05)
        script = Script()
        memory = tree(script, graceful_timeout=0)
        wire = memory.connect().sends(get(b"/app"))
        (stopped,) = memory.stops()
        ended: list[Any] = []
        stopped.addCallback(ended.append)
        memory.server.drainer.check_interval = 0
        for _ in range(10):
            memory.passes(1)
        assert ended
        assert isinstance(script.ended, asyncio.CancelledError)
        assert read_answers(wire.take())[0].status == 500

    def test_stop_while_it_starts(self, tree: Start) -> None:
        """The reactor does not wait for a startup that goes on."""
        living = Living()
        memory = tree(living, lifespan="on")
        wire = memory.connect().sends(get(b"/app"))
        (stopped,) = memory.stops()
        memory.loop.run_until_complete(asyncio.wait_for(stopped.asFuture(memory.loop), 10))
        assert read_answers(wire.take())[0].status == 503

    def test_most_requests(self, tree: Start) -> None:
        """max_connections counts requests in flight."""
        memory = tree(Script(), max_connections=1)
        memory.connect().sends(get(b"/app"))
        (answer,) = read_answers(memory.connect().sends(get(b"/app")).take())
        assert (answer.status, answer.fields[b"retry-after"]) == (503, b"1")

    def test_requests_that_wait(self, tree: Start) -> None:
        """max_concurrent_requests: one request waits, and one more is refused."""
        memory = tree(Script(), max_concurrent_requests=1, max_queued_requests=1)
        memory.connect().sends(get(b"/app"))
        waits = memory.connect().sends(get(b"/app"))
        (answer,) = read_answers(memory.connect().sends(get(b"/app")).take())
        assert (answer.status, answer.fields[b"retry-after"]) == (503, b"1")
        memory.passes(11)
        (answer,) = read_answers(waits.take())
        assert answer.status == 503


def test_recorder_sees_every_request(tree: Start) -> None:
    """Keep-alive and pipelining are twisted.web's."""
    recorder = Recorder()
    wire = tree(recorder).connect()
    wire.gets(get(b"/app/1") + post(b"two", path=b"/app/2") + get(b"/app/3"))
    wire.sends(GET)
    bodies = [answer.body for answer in read_answers(wire.take())]
    assert bodies[:3] == [b"/app/1", b"/app/2", b"/app/3"]
    assert recorder.bodies == [b"", b"two", b""]


class TestRefusals:
    """What the server refuses has a line in its log, as on its own connections."""

    def test_body_too_large(self, tree: Start, caplog: pytest.LogCaptureFixture) -> None:
        """413, with client, status and reason."""
        caplog.set_level(logging.INFO, "daphne_like.refused")
        refusals.limit.sum_up(at_once=True)
        caplog.clear()
        wire = tree(never_answer, max_body_size=2).connect()
        wire.sends(post(b"abc", path=b"/app/"))
        lines = [unlabelled(record.getMessage()) for record in caplog.records]
        assert lines == ["Refused with 413: The body is too large."]
