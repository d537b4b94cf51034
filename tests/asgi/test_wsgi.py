"""WSGI applications as ASGI 3 ones."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from daphne_like.asgi import wsgi
from daphne_like.asgi.interface import WSGI_THREADS, as_asgi3
from daphne_like.asgi.wsgi import MAX_BUFFERED
from daphne_like.exceptions import ConfigurationError, ConnectionClosed
from tests.support import needed
from tests.support.memory import Loop

needed.module("a2wsgi")

SECONDS = 20
START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
DISCONNECT = {"type": "http.disconnect"}


def scope(**changes: Any) -> dict[str, Any]:
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.5"}, "http_version": "1.1",
        "method": "GET", "scheme": "http", "path": "/", "raw_path": b"/", "query_string": b"",
        "root_path": "", "headers": [(b"host", b"example.com")], "client": ["192.0.2.1", 50000],
        "server": ["192.0.2.2", 80], **changes,
    }  # fmt: skip


def uploads(length: int | None = None) -> dict[str, Any]:
    """The scope of a request with a body."""
    field = (b"content-length", b"%d" % length) if length else (b"transfer-encoding", b"chunked")
    return scope(method="POST", headers=[field])


def part(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


class Peer:
    """What receive and send are bound to.

    Attributes:
        sent: messages of the application.
        gone: `send` raises ConnectionClosed from now on.
        reads: unset, `send` waits.
    """

    def __init__(self, *events: dict[str, Any]) -> None:
        self.sent: list[dict[str, Any]] = []
        self.gone = False
        self.reads = asyncio.Event()
        self.reads.set()
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for event in events or (part(b"", False),):
            self.events.put_nowait(event)

    async def receive(self) -> dict[str, Any]:
        return await self.events.get()

    async def send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        if self.gone:
            raise ConnectionClosed("gone")
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def play(story: Coroutine[Any, Any, Any]) -> Any:
    loop = Loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(story, SECONDS))
    finally:
        loop.close()


def serve(
    application: Callable[..., Any], request: dict[str, Any] | None = None, *events: dict[str, Any]
) -> Peer:
    """One request from beginning to end."""

    async def story() -> Peer:
        peer = Peer(*events)
        await as_asgi3(application, "wsgi")(request or scope(), peer.receive, peer.send)
        return peer

    peer: Peer = play(story())
    return peer


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"Hello"]


def reading(read: Callable[[Any], Any]) -> tuple[Callable[..., Any], list[Any]]:
    """An application that reads its input in some way, and what it has read."""
    results: list[Any] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        results.append(read(environ["wsgi.input"]))
        start_response("200 OK", [])
        return []

    return application, results


def environ_of(request: dict[str, Any]) -> dict[str, Any]:
    seen: list[dict[str, Any]] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", [])
        return []

    serve(application, request)
    return seen[0]


class TestEnviron:
    """ASGI, "WSGI Compatibility"; PEP 3333, "environ Variables"."""

    def test_variables(self) -> None:
        """G02: every variable comes from its place in the scope."""
        environ = environ_of(
            scope(
                method="PUT", scheme="https", path="/site/caf\u00e9/x", root_path="/site",
                query_string=b"a=%C3%A9&b", server=["example.com", 443],
                headers=[
                    (b"host", b"example.com"), (b"content-type", b"text/plain"),
                    (b"content-length", b"0"), (b"x-own", b"one"), (b"x-own", b"t\xe9"),
                ],
            )
        )  # fmt: skip
        own = {
            name: value
            for name, value in environ.items()
            if not name.startswith(("wsgi.", "asgi."))
        }
        assert own == {
            "REQUEST_METHOD": "PUT",
            "SCRIPT_NAME": "/site",
            "PATH_INFO": "/caf\xc3\xa9/x",
            "QUERY_STRING": "a=%C3%A9&b",
            "CONTENT_TYPE": "text/plain",
            "CONTENT_LENGTH": "0",
            "SERVER_NAME": "example.com",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "192.0.2.1",
            "REMOTE_PORT": "50000",
            "HTTP_HOST": "example.com",
            "HTTP_X_OWN": "one,t\xe9",
        }
        assert environ["wsgi.url_scheme"] == "https"
        assert environ["wsgi.version"] == (1, 0)
        assert environ["wsgi.multithread"] is True
        assert environ["wsgi.run_once"] is False
        assert environ["wsgi.errors"] is sys.stderr
        assert environ["wsgi.input_terminated"] is True

    @pytest.mark.parametrize(
        ("root_path", "path", "expected"),
        [
            ("", "/a", ("", "/a")),
            ("/a", "/a/b", ("/a", "/b")),
            ("/a", "/a", ("/a", "")),
            ("/a/", "/a/b", ("/a", "/b")),
            ("/a", "/ab", ("/a", "/ab")),
            ("/\u00e9", "/\u00e9/\u4e2d", ("/\xc3\xa9", "/\xe4\xb8\xad")),
        ],
    )
    def test_mounted(self, root_path: str, path: str, expected: tuple[str, str]) -> None:
        """G02, G03: PATH_INFO is the path below root_path, its octets as latin-1."""
        environ = environ_of(scope(root_path=root_path, path=path))
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == expected

    def test_proxy(self) -> None:
        """S38 (CVE-2016-5385): a field Proxy does not become the variable HTTP_PROXY."""
        assert "HTTP_PROXY" not in environ_of(scope(headers=[(b"proxy", b"http://evil/")]))

    def test_cookies(self) -> None:
        """RFC 9113, 8.2.3: several Cookie lines are one, joined with a semicolon."""
        environ = environ_of(scope(headers=[(b"cookie", b"a=1"), (b"cookie", b"b=2")]))
        assert environ["HTTP_COOKIE"] == "a=1; b=2"


class TestInput:
    """PEP 3333, "Input and Error Streams"."""

    @pytest.mark.parametrize(
        ("read", "expected"),
        [
            (lambda body: body.read(), b"one\ntwo\nthree"),
            (lambda body: [body.read(5), body.read(5), body.read(9), body.read(9)],
             [b"one\nt", b"wo\nth", b"ree", b""]),
            (lambda body: [body.readline(), body.readline(2), body.readline(), body.readline()],
             [b"one\n", b"tw", b"o\n", b"three"]),
            (lambda body: body.readlines(), [b"one\n", b"two\n", b"three"]),
            (list, [b"one\n", b"two\n", b"three"]),
        ],
        ids=["read", "read(size)", "readline", "readlines", "iteration"],
    )  # fmt: skip
    @pytest.mark.parametrize("length", [None, 13])
    def test_reading(self, read: Any, expected: Any, length: int | None) -> None:
        """G02: every way to read gives the body, however it came in, and then its end."""
        application, results = reading(read)
        serve(application, uploads(length), part(b"on"), part(b""), part(b"e\ntw"),
              part(b"o\nthree"), part(b"", False))  # fmt: skip
        assert results == [expected]

    def test_no_body(self) -> None:
        """The end at once, without waiting for anybody."""
        application, results = reading(lambda body: (body.read(), body.readline(), list(body)))
        serve(application)
        assert results == [(b"", b"", [])]

    def test_what_is_there(self) -> None:
        """`read1` waits for nothing but the next part: bodies stream in."""
        application, results = reading(lambda body: [body.read1(100) for _ in range(3)])
        serve(application, uploads(), part(b"a"), part(b"b"), part(b"", False))
        assert results == [[b"a", b"b", b""]]

    def test_nothing_is_read_ahead(self) -> None:
        """H19: who does not read asks for nothing, so no 100 goes out and no memory is taken."""

        async def story() -> None:
            peer = Peer(part(b"a"))
            await as_asgi3(hello)(uploads(), peer.receive, peer.send)
            assert peer.events.qsize() == 1

        play(story())

    def test_disconnect(self) -> None:
        """H28: a peer that leaves within its body is an OSError where the application reads."""
        application, results = reading(lambda body: body.read())
        with pytest.raises(ConnectionClosed):
            serve(application, uploads(), part(b"a"), DISCONNECT)
        assert results == []


class TestResponse:
    """PEP 3333, "The start_response() Callable"."""

    @pytest.mark.parametrize("status", ["404 Not Found", "404 ", "404"])
    def test_reason_phrase(self, status: str) -> None:
        """G04: the reason phrase is dropped."""

        def application(environ: Any, start_response: Any) -> Iterator[bytes]:
            start_response(status, [("X-Own", "\xe9")])
            yield b"no"

        assert serve(application).sent[0] == {
            "type": "http.response.start",
            "status": 404,
            "headers": [(b"x-own", b"\xe9")],
        }

    def test_chunks(self) -> None:
        """G04: each chunk is a message; an empty one is none."""

        def application(environ: Any, start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            yield from (b"a", b"", b"b")

        assert serve(application).sent == [
            START,
            {"type": "http.response.body", "body": b"a", "more_body": True},
            {"type": "http.response.body", "body": b"b", "more_body": True},
            {"type": "http.response.body", "body": b""},
        ]

    @pytest.mark.parametrize(
        ("chunks", "headers"),
        [
            ([b"Hello"], [(b"content-length", b"5")]),
            ([b""], [(b"content-length", b"0")]),
            ([b"a", b"b"], []),
        ],
    )
    def test_content_length(self, chunks: list[bytes], headers: Any) -> None:
        """PEP 3333: one chunk alone tells the length."""

        def application(environ: Any, start_response: Any) -> list[bytes]:
            start_response("200 OK", [])
            return chunks

        assert serve(application).sent[0]["headers"] == headers

    def test_write(self) -> None:
        """PEP 3333: what is written goes out before what is returned."""

        def application(environ: Any, start_response: Any) -> list[bytes]:
            write = start_response("200 OK", [])
            write(b"a")
            write(b"")
            return [b"b"]

        peer = serve(application)
        assert (peer.sent[0], peer.body) == (START, b"ab")

    def test_late_start(self) -> None:
        """PEP 3333: it may be called as late as with the first chunk."""

        def application(environ: Any, start_response: Any) -> Iterator[bytes]:
            yield b""
            start_response("200 OK", [])
            yield b"a"

        assert serve(application).body == b"a"

    def test_error_page(self) -> None:
        """PEP 3333: with exc_info another head takes the place of the first, while none is out."""

        def application(environ: Any, start_response: Any) -> list[bytes]:
            start_response("200 OK", [("X-Own", "1")])
            try:
                raise ValueError("on purpose")
            except ValueError:
                start_response("503 Later", [], sys.exc_info())
            return [b"a", b"b"]

        peer = serve(application)
        assert peer.sent[0] == {**START, "status": 503}
        assert peer.body == b"ab"

    def test_error_after_the_head(self) -> None:
        """PEP 3333: with exc_info, and the head out, the error is raised; C12: nothing follows."""

        def application(environ: Any, start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            yield b"a"
            try:
                raise ValueError("on purpose")
            except ValueError:
                start_response("500 Oh", [], sys.exc_info())
            yield b"b"

        sent = failing(application, ValueError)
        assert [message.get("body") for message in sent] == [None, b"a"]

    @pytest.mark.parametrize("times", [0, 2])
    def test_started_once(self, times: int) -> None:
        """PEP 3333: start_response is called once."""

        def application(environ: Any, start_response: Any) -> list[bytes]:
            for _ in range(times):
                start_response("200 OK", [])
            return [b"a"]

        assert failing(application, AssertionError) == []

    def test_text(self) -> None:
        """PEP 3333: chunks are bytes."""

        def application(environ: Any, start_response: Any) -> list[Any]:
            start_response("200 OK", [])
            return ["a"]

        assert failing(application, TypeError) == []


def failing(application: Callable[..., Any], error: type[BaseException]) -> list[dict[str, Any]]:
    """What goes out of an application that raises."""

    async def story() -> list[dict[str, Any]]:
        peer = Peer()
        with pytest.raises(error):
            await as_asgi3(application)(scope(), peer.receive, peer.send)
        return peer.sent

    sent: list[dict[str, Any]] = play(story())
    return sent


class Closing:
    """An iterable that tells of its close()."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks = chunks
        self.closed = threading.Event()
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self.taken += 1
            yield chunk

    def close(self) -> None:
        self.closed.set()

    def __call__(self, environ: Any, start_response: Any) -> Closing:
        """The application that returns this iterable."""
        start_response("200 OK", [])
        return self


def endless() -> Iterator[bytes]:
    while True:
        yield b"x" * 1000


class TestEnds:
    """However it ends, `close()` is called, and the thread comes back."""

    def test_whole_response(self) -> None:
        """PEP 3333: close() comes after the last octet."""

        async def story() -> None:
            peer = Peer()
            said: list[Any] = []
            chunks = Closing(iter([b"a"]))
            chunks.close = lambda: said.append(peer.sent[-1])  # type: ignore[method-assign]
            await as_asgi3(chunks, "wsgi")(scope(), peer.receive, peer.send)
            assert said == [{"type": "http.response.body", "body": b""}]

        play(story())

    def test_failing_iteration(self) -> None:
        """PEP 3333: close() is called when the iteration has raised."""

        def chunks() -> Iterator[bytes]:
            yield b"a"
            raise ValueError("on purpose")

        application = Closing(chunks())
        failing(application, ValueError)
        assert application.closed.is_set()

    def test_failing_close(self) -> None:
        """C12: what close() raises is the application's error."""
        application = Closing(iter([b"a"]))
        application.close = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        assert failing(application, ZeroDivisionError)[-1] == {
            "type": "http.response.body",
            "body": b"",
        }

    def test_exit(self) -> None:
        """K1: SystemExit comes out of the instance, and leaves the event loop running."""

        def application(environ: Any, start_response: Any) -> Any:
            sys.exit(3)

        assert failing(application, SystemExit) == []

    def test_peer_gone(self) -> None:
        """H30: output for nobody is dropped, and the iteration ends."""

        async def story() -> None:
            peer = Peer()
            peer.gone = True
            application = Closing(endless())
            await as_asgi3(application, "wsgi", 1)(scope(), peer.receive, peer.send)
            assert application.closed.is_set()

        play(story())

    def test_half_closed(self) -> None:
        """H28: http.disconnect alone is no end: the peer may have closed its own side, and read."""

        async def story() -> None:
            peer = Peer(part(b"", False), DISCONNECT)

            def application(environ: Any, start_response: Any) -> Iterator[bytes]:
                start_response("200 OK", [])
                yield b"a"
                asyncio.run_coroutine_threadsafe(turns(), loop).result()
                yield b"b"

            loop = asyncio.get_running_loop()
            await as_asgi3(application, "wsgi", 1)(scope(), peer.receive, peer.send)
            assert peer.body == b"ab"
            assert peer.sent[-1] == {"type": "http.response.body", "body": b""}

        play(story())

    def test_late_messages(self) -> None:
        """H30: the server drops a few messages without a word; the next one ends the iteration."""

        async def story() -> None:
            peer = Peer()
            application = Closing(endless())
            adapted = as_asgi3(application, "wsgi", 1)
            task = asyncio.ensure_future(adapted(scope(), peer.receive, peer.send))
            await until(lambda: len(peer.sent) > 16)
            peer.gone = True
            await task
            assert application.closed.is_set()
            await free(adapted)

        play(story())

    def test_back_pressure(self) -> None:
        """C09: while the peer does not read no more than the buffer holds is made."""

        async def story() -> None:
            peer = Peer()
            peer.reads.clear()
            application = Closing(endless())
            adapted = as_asgi3(application, "wsgi", 1)
            task = asyncio.ensure_future(adapted(scope(), peer.receive, peer.send))
            await until(lambda: application.taken >= MAX_BUFFERED // 1100)
            for _ in range(200):
                await asyncio.sleep(0)
            assert application.taken <= MAX_BUFFERED // 1000 + 4
            peer.reads.set()
            await until(lambda: application.taken > 2 * MAX_BUFFERED // 1000)
            peer.gone = True
            await task
            assert application.closed.is_set()

        play(story())

    def test_cancelled_while_sending(self) -> None:
        """H31: a cancelled request gives its thread back though nothing is read any more."""

        async def story() -> None:
            application = Closing(endless())
            adapted = as_asgi3(application, "wsgi", 1)
            peer = Peer()
            peer.reads.clear()
            await cancelled(adapted, scope(), peer, lambda: application.taken >= 1)
            peer.reads.set()
            assert await asyncio.to_thread(application.closed.wait, SECONDS)
            await free(adapted)

        play(story())

    def test_cancelled_while_reading(self) -> None:
        """H31: and so does one that waits for its body."""

        async def story() -> None:
            begun = threading.Event()

            def application(environ: Any, start_response: Any) -> list[bytes]:
                begun.set()
                if environ["REQUEST_METHOD"] == "POST":
                    environ["wsgi.input"].read()
                return hello(environ, start_response)

            adapted = as_asgi3(application, "wsgi", 1)
            await cancelled(adapted, uploads(), Peer(part(b"a")), begun.is_set)
            await free(adapted)

        play(story())

    def test_error_after_cancellation(self, caplog: pytest.LogCaptureFixture) -> None:
        """K1: what is raised when nobody waits any more is logged, once."""

        async def story() -> None:
            begun, go_on = threading.Event(), threading.Event()

            def application(environ: Any, start_response: Any) -> list[bytes]:
                if begun.is_set():
                    return hello(environ, start_response)
                begun.set()
                go_on.wait(SECONDS)
                raise ValueError("on purpose")

            adapted = as_asgi3(application, "wsgi", 1)
            await cancelled(adapted, scope(), Peer(), begun.is_set)
            go_on.set()
            await free(adapted)

        with caplog.at_level(logging.ERROR):
            play(story())
        assert [record.message for record in caplog.records] == [
            "A WSGI application raised after its request was cancelled"
        ]


class TestSlowClients:
    """A client that does not read keeps no thread from the others."""

    def test_cancelled_for_want_of_a_slot(self) -> None:
        """A request that is cancelled while it waits to have its slot back is not counted on."""

        async def story() -> None:
            slots = wsgi.Slots(1)
            lent = wsgi.Slot(slots)
            await lent.take()
            lending = asyncio.ensure_future(lent.lend_while(asyncio.sleep(0)))
            await wsgi.Slot(slots).take()
            await asyncio.sleep(0.01)
            assert slots.waiting == 1
            lending.cancel()
            await asyncio.wait((lending,))
            assert slots.waiting == 0

        play(story())

    @pytest.mark.parametrize("chunks", [3, 1000])
    def test_others_are_served(self, chunks: int) -> None:
        """Whether the response fits into the buffer or its thread has to wait for room."""

        async def story() -> None:
            slow, other = Peer(), Peer()
            slow.reads.clear()
            made: list[int] = []

            def application(environ: Any, start_response: Any) -> Iterator[bytes]:
                start_response("200 OK", [])
                for number in range(chunks if environ["PATH_INFO"] == "/slow" else 1):
                    made.append(number)
                    yield b"x" * 1000

            adapted = as_asgi3(application, "wsgi", 1)
            task = asyncio.ensure_future(adapted(scope(path="/slow"), slow.receive, slow.send))
            await until(lambda: len(made) >= min(chunks, MAX_BUFFERED // 2000))
            await adapted(scope(), other.receive, other.send)
            assert other.body == b"x" * 1000
            # The bound, and what the thread, the queue and `send` have in their hands.
            assert len(made) <= MAX_BUFFERED // 1000 + 5
            assert not task.done()
            slow.reads.set()
            await task
            assert slow.body == b"x" * 1000 * chunks

        play(story())

    def test_waiting_threads_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Beyond MAX_WAITING a thread keeps its slot while it waits for its client."""
        monkeypatch.setattr(wsgi, "MAX_WAITING", 0)

        async def story() -> None:
            slow, other = Peer(), Peer()
            slow.reads.clear()
            adapted = as_asgi3(Closing(endless()), "wsgi", 1)
            first = asyncio.ensure_future(adapted(scope(), slow.receive, slow.send))
            await until(lambda: adapted._slots.free.locked())
            second = asyncio.ensure_future(adapted(scope(), other.receive, other.send))
            await turns()
            assert other.sent == []
            slow.gone = other.gone = True
            slow.reads.set()
            await asyncio.gather(first, second)

        play(story())


async def turns() -> None:
    """Let everything happen that waits for nothing but the event loop."""
    for _ in range(50):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop turn until something is true; play() has the deadline."""
    while not condition():
        await asyncio.sleep(0.001)


async def cancelled(
    adapted: Any, request: dict[str, Any], peer: Peer, when: Callable[[], bool]
) -> None:
    """Cancel a request when its application is at some point."""
    task = asyncio.ensure_future(adapted(request, peer.receive, peer.send))
    await until(when)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def free(adapted: Any) -> None:
    """Wait until the one slot is free, a thread takes other work, and the request is over."""
    async with adapted._slots.free:
        done = asyncio.get_running_loop().run_in_executor(adapted._executor, lambda: True)
    assert await done
    await until(lambda: not adapted._running)


class TestThreads:
    """`--wsgi-threads` is the size of the thread pool."""

    def test_bounded(self) -> None:
        """G01: in threads, no more than allowed; the others wait, and are served then."""

        async def story() -> None:
            running: list[int] = []
            most: list[int] = []
            lock, go_on = threading.Lock(), threading.Event()

            def application(environ: Any, start_response: Any) -> list[bytes]:
                with lock:
                    running.append(threading.get_ident())
                    most.append(len(running))
                go_on.wait(SECONDS)
                with lock:
                    running.remove(threading.get_ident())
                return hello(environ, start_response)

            adapted = as_asgi3(application, "wsgi", 2)
            peers = [Peer() for _ in range(5)]
            tasks = [
                asyncio.ensure_future(adapted(scope(), peer.receive, peer.send)) for peer in peers
            ]
            await until(lambda: len(most) == 2)
            assert threading.main_thread().ident not in running
            go_on.set()
            await asyncio.gather(*tasks)
            assert max(most) == 2
            assert [peer.body for peer in peers] == [b"Hello"] * 5

        play(story())

    def test_cancelled_while_it_waits(self) -> None:
        """H31: a request that is cancelled before a thread is free never runs."""

        async def story() -> None:
            paths: list[str] = []
            go_on = threading.Event()

            def application(environ: Any, start_response: Any) -> list[bytes]:
                paths.append(environ["PATH_INFO"])
                go_on.wait(SECONDS)
                return hello(environ, start_response)

            adapted = as_asgi3(application, "wsgi", 1)
            first, second = Peer(), Peer(part(b"", False), DISCONNECT)
            running = asyncio.ensure_future(adapted(scope(path="/1"), first.receive, first.send))
            await until(lambda: paths == ["/1"])
            await cancelled(adapted, scope(path="/2"), second, lambda: len(adapted._running) == 2)
            go_on.set()
            await running
            await free(adapted)
            assert paths == ["/1"]
            assert first.body == b"Hello"
            assert second.sent == []

        play(story())

    def test_default(self) -> None:
        """WSGI_THREADS where nothing is said."""
        adapted: Any = as_asgi3(hello)
        assert adapted._slots.free._value == WSGI_THREADS


class TestOtherScopes:
    """What WSGI has nothing for."""

    def test_websocket(self) -> None:
        """W31: closed before it is accepted, which is 403."""
        peer = serve(hello, {"type": "websocket"}, {"type": "websocket.connect"})
        assert peer.sent == [{"type": "websocket.close"}]

    def test_lifespan(self) -> None:
        """L04: refused without taking the event, so the server goes on without a word."""

        async def story() -> None:
            peer = Peer({"type": "lifespan.startup"})
            with pytest.raises(NotImplementedError):
                await as_asgi3(hello)({"type": "lifespan"}, peer.receive, peer.send)
            assert peer.events.qsize() == 1

        play(story())

    def test_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a2wsgi a sentence says what to install."""
        monkeypatch.setitem(sys.modules, "a2wsgi", None)
        with pytest.raises(ConfigurationError, match=r"pip install 'daphne-like\[wsgi\]'$"):
            as_asgi3(hello)
