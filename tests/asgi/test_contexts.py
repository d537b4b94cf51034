"""Context variables (PEP 567) of the server, its program and its applications."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest

from tests.support.applications import body, start
from tests.support.h2_peer import H2Peer
from tests.support.memory import Memory, Wire
from tests.support.peers import chunked, get, post, read_answers
from tests.support.web_tree import Tree
from tests.support.websocket_frames import OPENING

Serve = Callable[..., Memory]

ENABLE_PUSH = 2

seen: ContextVar[str] = ContextVar("seen", default="default")


class Marking:
    """An application that marks its context, and tells which mark it found there.

    Attributes:
        found: the mark that each instance found, by path, in the order of their starts.
    """

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            seen.set("lifespan")
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            return
        self.found.append((scope["path"], seen.get()))
        seen.set(scope["path"])
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if "http.response.push" in scope["extensions"] and scope["path"] == "/":
            await send({"type": "http.response.push", "path": "/pushed", "headers": []})
        event = await receive()
        while event.get("more_body"):
            event = await receive()
        await send(start())
        await send(body(b"x"))


class LoopWire(Wire):
    """A wire that reads in the context in which reading was resumed, as asyncio's selector does."""

    context: Context | None = None

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self.context = copy_context()

    def sends(self, *data: bytes) -> Wire:
        for part in data:
            (self.context or copy_context()).run(self.protocol.dataReceived, part)
            self.memory.settle()
        return self


class TestRequests:
    """An instance starts in a copy of the server's own context, never in another's."""

    def test_pipelined(self, serve: Serve) -> None:
        """HTTP/1.1: a request that was pipelined sees nothing of the requests before it."""
        application = Marking()
        serve(application).connect().sends(get(b"/a") + get(b"/b") + get(b"/c"))
        assert application.found == [("/a", "default"), ("/b", "default"), ("/c", "default")]

    @pytest.mark.parametrize(
        "first",
        [
            [chunked(b"x" * 100_000, path=b"/a")],
            [post(b"x" * 100_000, path=b"/a")],
            [post(b"", b"Expect: 100-continue", path=b"/a", size=3), b"abc"],
            [chunked(b"x" * 70_000, path=b"/a", end=False), b"0\r\n\r\n"],
        ],
        ids=["chunked", "large", "expect", "paused"],
    )
    def test_behind_a_body(self, serve: Serve, first: list[bytes]) -> None:
        """HTTP/1.1: nor does one that follows a body, whoever resumed reading."""
        application = Marking()
        wire = LoopWire(serve(application))
        wire.sends(*first)
        wire.sends(get(b"/b"))
        wire.sends(get(b"/c"), get(b"/d") + OPENING)
        assert application.found == [
            ("/a", "default"),
            ("/b", "default"),
            ("/c", "default"),
            ("/d", "default"),
            ("/chat", "default"),
        ]

    def test_http_2(self, serve: Serve) -> None:
        """HTTP/2: neither streams nor promised pushes see anything of other requests."""
        application = Marking()
        peer = H2Peer(serve(application), {ENABLE_PUSH: 1})
        peer.asks()
        peer.asks(b"GET", b"/b")
        paths = [path for path, _ in application.found]
        assert sorted(paths) == ["/", "/b", "/pushed"]
        assert {mark for _, mark in application.found} == {"default"}

    def test_twisted_web(self) -> None:
        """twisted.web: a pipelined request sees nothing of the requests before it."""
        application = Marking()
        tree = Tree(application)
        try:
            tree.connect().sends(get(b"/app/a") + get(b"/app/b"), get(b"/app/c"))
        finally:
            tree.close()
        assert [mark for _, mark in application.found] == ["default"] * 3

    def test_by_hand(self, serve: Serve) -> None:
        """A connection that an application's task feeds sees nothing of that task's context."""
        application = Marking()
        memory = serve(application)
        wire = memory.connect()

        async def feed() -> None:
            seen.set("feeder")
            wire.protocol.dataReceived(get(b"/a"))

        memory.loop.run_until_complete(feed())
        memory.settle()
        assert application.found == [("/a", "default")]

    def test_task_factory(self, serve: Serve) -> None:
        """A task factory of the program's, which need not know of contexts, changes nothing."""
        application = Marking()
        memory = serve(application)
        made: list[Any] = []

        def factory(loop: Any, coroutine: Any) -> Any:
            made.append(coroutine)
            return asyncio.Task(coroutine, loop=loop)

        memory.loop.set_task_factory(factory)
        memory.server.use_loop(memory.loop, memory.server.clock)
        memory.connect().sends(get(b"/a") + get(b"/b"))
        assert application.found == [("/a", "default"), ("/b", "default")]
        assert {coroutine.__name__ for coroutine in made} >= {"run_instance"}


class TestProgram:
    """What the program sets before it starts a server, applications see."""

    def test_before_startup(self, serve: Serve) -> None:
        """A variable set before startup is seen by every request; one set later is not."""
        application = Marking()
        memory = serve(application, stall_warning=None)

        async def begin() -> None:
            seen.set("program")
            await memory.server.startup()
            seen.set("later")

        memory.loop.run_until_complete(begin())
        wire = memory.connect().sends(get(b"/a") + get(b"/b"))
        assert application.found == [("/a", "program"), ("/b", "program")]
        assert len(read_answers(wire.written)) == 2
