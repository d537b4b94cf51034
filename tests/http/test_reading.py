"""Reading requests: in any pieces, and no faster than they are used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.memory import Memory
from tests.support.peers import Recorder, chunked, get, post, read_answers, respond

Serve = Callable[..., Memory]

UPGRADE = (b"Connection: Upgrade", b"Upgrade: example")
WEBSOCKET = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def upgrading(request: bytes, fields: tuple[bytes, ...] = UPGRADE) -> bytes:
    return request.replace(b"Host: x\r\n", b"\r\n".join((b"Host: x", *fields, b"")), 1)


# Each with the paths and bodies that the application sees.
CONVERSATIONS: dict[str, tuple[bytes, list[tuple[bytes, bytes]]]] = {
    "one": (get(b"/1"), [(b"/1", b"")]),
    "two": (get(b"/1") + get(b"/2"), [(b"/1", b""), (b"/2", b"")]),
    "empty lines": (b"\r\n" + get(b"/1") + b"\r\n\r\n" + get(b"/2"), [(b"/1", b""), (b"/2", b"")]),
    "body": (post(b"abc\r\n\r\nd") + get(b"/2"), [(b"/", b"abc\r\n\r\nd"), (b"/2", b"")]),
    "chunks": (
        chunked(b"abc", b"\r\n\r\n", b"0\r\n\r\n", trailers=b"X: y\r\n") + get(b"/2"),
        [(b"/", b"abc\r\n\r\n0\r\n\r\n"), (b"/2", b"")],
    ),
    "extensions": (
        chunked().replace(b"0\r\n", b'3;a="b;c"\r\nabc\r\n0;d\r\n') + get(b"/2"),
        [(b"/", b"abc"), (b"/2", b"")],
    ),
    "upgrade": (upgrading(get(b"/1")) + get(b"/2"), [(b"/1", b""), (b"/2", b"")]),
    "upgrade with a body": (
        upgrading(post(b"abc")) + upgrading(post(b"")) + get(b"/2"),
        [(b"/", b"abc"), (b"/", b""), (b"/2", b"")],
    ),
    "upgrade with chunks": (
        upgrading(chunked(b"abc", b"\r\n\r\n", trailers=b"X: y\r\n")) + get(b"/2"),
        [(b"/", b"abc\r\n\r\n"), (b"/2", b"")],
    ),
    "body like a request": (post(get(b"/3")) + get(b"/2"), [(b"/", get(b"/3")), (b"/2", b"")]),
    "heads again": (
        get(b"/1") * 3 + post(b"a") + get(b"/1"),
        [(b"/1", b"")] * 3 + [(b"/", b"a"), (b"/1", b"")],
    ),
    "HTTP/1.0": (
        b"GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 3 + b"GET /2 HTTP/1.0\r\n\r\n",
        [(b"/1", b"")] * 3 + [(b"/2", b"")],
    ),
}  # fmt: skip


def seen(application: Recorder) -> list[tuple[bytes, bytes]]:
    paths = [scope["raw_path"] for scope in application.scopes]
    return list(zip(paths, application.bodies, strict=True))


class TestCuts:
    """The result does not depend on how the octets were cut."""

    @pytest.mark.parametrize("name", CONVERSATIONS)
    def test_everywhere(self, serve: Serve, name: str) -> None:
        """H17, H18: whole, and cut in two at every place."""
        octets, expected = CONVERSATIONS[name]
        application = Recorder()
        memory = serve(application)
        scopes = []
        for cut in range(len(octets)):
            application.__init__()  # type: ignore[misc]
            wire = memory.connect()
            wire.gets(octets[:cut])
            wire.gets(octets[cut:])
            assert seen(application) == expected, cut
            assert len(read_answers(wire.written)) == len(expected)
            scopes.append(application.scopes)
        assert all(scope == scopes[0] for scope in scopes)

    @pytest.mark.parametrize("name", CONVERSATIONS)
    @pytest.mark.parametrize("size", [1, 2, 3, 5])
    def test_small_pieces(self, serve: Serve, name: str, size: int) -> None:
        """H17, H18: in pieces of few octets, with and without time between them."""
        octets, expected = CONVERSATIONS[name]
        pieces = [octets[i : i + size] for i in range(0, len(octets), size)]
        for feed in ("gets", "sends"):
            application = Recorder()
            wire = serve(application).connect()
            getattr(wire, feed)(*pieces)
            assert seen(application) == expected

    def test_large_body_behind_a_cut_head(self, serve: Serve) -> None:
        """A body is no part of its head, wherever the head was cut."""
        for make in (post, chunked):
            body = bytes(200_000)
            octets = make(body)
            end = octets.index(b"\r\n\r\n") + 4
            for cut in range(end - 4, end + 1):
                application = Recorder()
                serve(application).connect().gets(octets[:cut], octets[cut:])
                assert application.bodies == [body], cut


class TestStreaming:
    """H19: the application runs as soon as the head is complete."""

    def test_before_the_body(self, serve: Serve) -> None:
        """H19: it runs before the first octet of the body, and gets chunks as they come."""
        events: list[dict[str, Any]] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            events.append({"type": "run"})
            while True:
                events.append(await receive())
                if not events[-1].get("more_body"):
                    break
            await respond(send)

        wire = serve(application).connect().sends(post(b"", size=6))
        assert events == [{"type": "run"}]
        for part in (b"ab", b"cd", b"ef"):
            wire.sends(part)
            assert events[-1]["body"] == part
        assert [event.get("more_body") for event in events] == [None, True, True, False]


class Slow:
    """An application that reads when the test says so."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.receive: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.receive = receive
        await asyncio.get_running_loop().create_future()

    def reads(self, memory: Memory) -> int:
        event = memory.loop.run_until_complete(self.receive())
        self.events.append(event)
        return len(event["body"])


class TestBackPressure:
    """K4: reading stops at the high-water mark and resumes below the low one."""

    @pytest.mark.parametrize("make", [lambda: post(b"", size=10**6), lambda: chunked(end=False)])
    def test_marks(self, serve: Serve, make: Callable[[], bytes]) -> None:
        """It stops at 64 KiB unread and goes on at 16 KiB."""
        application = Slow()
        memory = serve(application)
        request = make()
        wire = memory.connect().sends(request)

        def part(size: int) -> bytes:
            return bytes(size) if b"Length" in request else b"%x\r\n%b\r\n" % (size, bytes(size))

        wire.sends(part(65535))
        assert not wire.paused
        wire.sends(part(1))
        assert wire.paused
        assert application.reads(memory) == 65535
        assert not wire.paused
        for _ in range(4):
            wire.sends(part(16384))
        assert wire.paused
        for paused in (True, True, True, False):  # 65537, then 49152, 32768, 16384 are unread
            application.reads(memory)
            assert wire.paused == paused

    def test_ahead(self, serve: Serve) -> None:
        """The body of a request that waits for its turn is bounded, too."""
        application = Slow()
        memory = serve(application)
        wire = memory.connect().sends(get() + post(b"", size=10**6))
        wire.sends(bytes(65535))
        assert not wire.paused
        wire.sends(bytes(1))
        assert wire.paused


class TestUpgrade:
    """RFC 9110, 7.8: an upgrade that is not taken is a plain request."""

    @pytest.mark.parametrize("fields", [UPGRADE, WEBSOCKET, (*UPGRADE[:1], b"Upgrade: h2c")])
    @pytest.mark.parametrize("make", [post, chunked])
    def test_with_a_body(
        self, serve: Serve, fields: tuple[bytes, ...], make: Callable[[bytes], bytes]
    ) -> None:
        """The answer is HTTP/1.1, the body is read right, and so is what follows."""
        application = Recorder()
        memory = serve(application)
        wire = memory.connect()
        wire.sends(upgrading(make(b"abc\r\n\r\n"), fields) + get(b"/2"))
        wire.sends(upgrading(get(b"/3")), get(b"/4"))
        answers = read_answers(wire.written)
        assert all(answer.status in (200, 400, 405, 426) for answer in answers)
        if fields is not WEBSOCKET:
            paths = [(b"/", b"abc\r\n\r\n"), (b"/2", b""), (b"/3", b""), (b"/4", b"")]
            assert seen(application) == paths
            assert len(answers) == 4

    @pytest.mark.parametrize("make", [post, chunked])
    def test_body_with_an_error(self, serve: Serve, make: Callable[[bytes], bytes]) -> None:
        """An error after the body is refused as always."""
        octets = upgrading(make(b"abc"))[:-1] + b"\x00\x00\x00\r\n"
        wire = serve(Recorder()).connect().sends(octets)
        assert read_answers(wire.written)[-1].status in (400, 501)
        assert wire.half_closed

    def test_body_over_the_limit(self, serve: Serve) -> None:
        """Its limits hold."""
        memory = serve(Recorder(), max_body_size=2)
        for make in (post, chunked):
            wire = memory.connect().sends(upgrading(make(b"abc")))
            assert [answer.status for answer in read_answers(wire.written)] == [413]

    def test_nobody_reads_it(self, serve: Serve) -> None:
        """An application that answers at once: what is left is discarded."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await respond(send, scope["raw_path"])

        wire = serve(application).connect().sends(upgrading(post(b"a", size=3)), b"bc" + get(b"/2"))
        assert [answer.body for answer in read_answers(wire.written)] == [b"/", b"/2"]
