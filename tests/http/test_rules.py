"""ASGI's rules of HTTP, and what we owe a peer, on HTTP/1.1 and HTTP/2 alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest

from daphne_like.exceptions import ApplicationError, ConnectionClosed
from daphne_like.http.extensions import EXTENSIONS
from tests.support.applications import Script, Spoiling, Trying, body, sending, start
from tests.support.http_clients import Client, HTTP1Client, HTTP2Client
from tests.support.memory import Memory
from tests.support.peers import Recorder, answer_at_once, never_answer

Serve = Callable[..., Memory]
LAST = {"type": "http.disconnect"}


def event(octets: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": octets, "more_body": more}


class Rules:
    """Rules that do not depend on the HTTP version."""

    client: type[Client]

    @pytest.fixture
    def ask(self, serve: Serve) -> Callable[..., Client]:
        """ask(application, **settings): a client of it."""
        return lambda application, **settings: self.client(serve(application, **settings))

    # The scope.

    def test_scope(self, ask: Any) -> None:
        """C03-C05, C15, H01-H14: the whole scope differs in http_version alone."""
        script = Script()
        ask(script).asks(b"GET", b"/a%20b/%C3%A9?q=%20", (b"X-Id", b"1"), (b"X-Id", b"2"))
        assert script.scope == {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": self.client.version,
            "method": "GET",
            "scheme": "http",
            "path": "/a b/\u00e9",
            "raw_path": b"/a%20b/%C3%A9",
            "query_string": b"q=%20",
            "root_path": "",
            "headers": [(b"host", b"x"), (b"x-id", b"1"), (b"x-id", b"2")],
            "client": ["192.0.2.1", 50000],
            "server": ["192.0.2.2", 80],
            "state": {},
            "extensions": EXTENSIONS,
        }
        assert type(script.scope) is dict
        assert {type(field) for field in script.scope["headers"]} == {tuple}

    def test_fresh_scope(self, ask: Any) -> None:
        """C18, H15: what an application does to its scope, the next one does not see."""
        application = Spoiling()
        client = ask(application)
        for _ in range(3):
            assert client.asks().status == 200
        first, second, third = application.seen
        assert first == second == third
        assert first["headers"] == [(b"host", b"x")]

    @pytest.mark.parametrize(
        ("target", "path"),
        [
            (b"/%ff", "/\ufffd"), (b"/a/../b", "/a/../b"), (b"//evil/one", "//evil/one"),
            (b"/%2e", "/."),
        ],
    )  # fmt: skip
    def test_paths(self, ask: Any, target: bytes, path: str) -> None:
        """H05, H06: decoded, and not resolved."""
        script = Script()
        ask(script).asks(b"GET", target)
        assert (script.scope["path"], script.scope["raw_path"]) == (path, target)

    def test_underscores(self, ask: Any) -> None:
        """S03: a name with an underscore is dropped, unless it is to be kept."""
        script = Script()
        ask(script).asks(b"GET", b"/", (b"x_forwarded_for", b"1"), (b"x-y", b"2"))
        assert script.scope["headers"] == [(b"host", b"x"), (b"x-y", b"2")]
        ask(script, keep_underscores=True).asks(b"GET", b"/", (b"x_y", b"1"))
        assert script.scope["headers"] == [(b"host", b"x"), (b"x_y", b"1")]

    def test_root_path(self, ask: Any) -> None:
        """H08: as the option says; the path includes it."""
        script = Script()
        ask(script, root_path="/app").asks(b"GET", b"/app/x")
        assert (script.scope["root_path"], script.scope["path"]) == ("/app", "/app/x")

    def test_trusted_proxy(self, ask: Any) -> None:
        """S30: the fields of a trusted proxy count, on any version."""
        script = Script()
        client = ask(script, proxy_headers=True, trusted_proxies="192.0.2.0/24")
        client.asks(b"GET", b"/", (b"x-forwarded-for", b"198.51.100.7"))
        assert script.scope["client"][0] == "198.51.100.7"

    # The request.

    def test_without_body(self, ask: Any) -> None:
        """H17: one event, empty and last."""
        recorder = Recorder()
        ask(recorder).asks()
        assert (recorder.bodies, recorder.ends) == ([b""], ["http.request"])

    def test_body_comes_in_parts(self, ask: Any) -> None:
        """H19: the application runs from the head on, and gets the body as it comes."""
        script = Script()
        client = ask(script)
        asked = client.asks(b"POST", body=b"ab", ends=False)
        receive = script.receive
        run = client.memory.loop.run_until_complete
        assert run(receive()) == event(b"ab", True)
        asked.more(b"c")
        assert run(receive()) == event(b"c", True)
        asked.more(b"", ends=True)
        assert run(receive()) == event(b"")

    @pytest.mark.parametrize("length", [True, False])
    def test_whole_body(self, ask: Any, length: bool) -> None:
        """H17: what came together is one event, with a declared length or without."""
        recorder = Recorder()
        fields = [(b"content-length", b"3")] if length else []
        assert ask(recorder).asks(b"POST", b"/", *fields, body=b"abc").status == 200
        assert recorder.bodies == [b"abc"]

    @pytest.mark.parametrize(
        ("size", "parts"),
        [(1, [b"a", b"b", b"c"]), (2, [b"ab", b"c"]), (3, [b"abc"]), (4, [b"abc"])],
    )
    def test_buffer_size(self, ask: Any, size: int, parts: list[bytes]) -> None:
        """`request_buffer_size`: at most so many octets in one event."""
        script = Script()
        client = ask(script, request_buffer_size=size)
        client.asks(b"POST", body=b"abc")
        run = client.memory.loop.run_until_complete
        events = [run(script.receive()) for _ in parts]
        assert events == [event(part, part is not parts[-1]) for part in parts]

    def test_several_readers(self, ask: Any) -> None:
        """C08: two tasks that wait get an event each."""
        events: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            events.extend(await asyncio.gather(receive(), receive()))
            await send(start())
            await send(body())

        asked = ask(application).asks(b"POST", body=b"a", ends=False)
        asked.more(b"b", ends=True)
        assert events == [event(b"a", True), event(b"b")]

    def test_continue(self, ask: Any) -> None:
        """RFC 9110, 10.1.1: 100 goes out at the first `receive`, and once."""
        script = Script()
        client = ask(script)
        expecting = ((b"content-length", b"2"), (b"expect", b"100-continue"))
        asked = client.asks(b"POST", b"/", *expecting, ends=False)
        assert asked.continues == 0
        task = client.memory.loop.create_task(script.receive())
        client.memory.settle()
        assert asked.continues == 1
        asked.more(b"ab", ends=True)
        assert task.result() == event(b"ab")
        client.memory.loop.create_task(script.receive())
        client.memory.settle()
        assert asked.continues == 1

    def test_other_expectation(self, ask: Any) -> None:
        """RFC 9110, 10.1.1: 417 for what is not met here."""
        script = Script()
        fields = ((b"content-length", b"2"), (b"expect", b"a miracle"))
        assert ask(script).asks(b"POST", b"/", *fields, ends=False).status == 417
        assert script.scope is None

    # The response.

    def test_whole_answer(self, ask: Any) -> None:
        """H20: status, fields in their order, duplicates too, and the body."""
        headers = [(b"X-B", b"1"), (b"X-A", b"2"), (b"Set-Cookie", b"a"), (b"Set-Cookie", b"b")]
        asked = ask(sending(start(201, headers), body(b"abc"))).asks()
        lowered = [(name.lower(), value) for name, value in headers]
        assert (asked.status, asked.body, asked.is_whole) == (201, b"abc", True)
        assert asked.fields == [*lowered, (b"content-length", b"3")]

    def test_parts(self, ask: Any) -> None:
        """H23, H25: without a length a body may come in parts, each at once."""
        script = Script()
        client = ask(script)
        asked = client.asks()
        run = client.memory.loop.run_until_complete
        run(script.send(start()))
        assert asked.status is None  # H21: an error can still take its place
        run(script.send(body(b"ab", True)))
        client.memory.settle()
        assert (asked.status, asked.body, asked.is_whole) == (200, b"ab", False)
        run(script.send(body(b"", True)))
        run(script.send(body(b"c")))
        client.memory.settle()
        assert (asked.body, asked.is_whole) == (b"abc", True)

    def test_status_object(self, ask: Any) -> None:
        """H20: an HTTPStatus is an int."""
        assert ask(sending(start(HTTPStatus.IM_A_TEAPOT), body())).asks().status == 418

    def test_fields_of_the_connection(self, ask: Any) -> None:
        """H22, RFC 9113, 8.2.2: framing and the connection are the server's business."""
        headers = [(b"Transfer-Encoding", b"chunked"), (b"Connection", b"keep-alive"), (b"x", b"y")]
        asked = ask(sending(start(200, headers), body(b"a"))).asks()
        assert asked.fields == [(b"x", b"y"), (b"content-length", b"1")]

    @pytest.mark.parametrize(
        ("method", "status", "fields"),
        [
            (b"HEAD", 200, [(b"content-length", b"2")]),
            (b"GET", 204, []),
            (b"GET", 304, []),
            (b"HEAD", 204, []),
        ],
    )
    def test_bodiless(self, ask: Any, method: bytes, status: int, fields: Any) -> None:
        """H32: no octet of a body, whatever the application sends."""
        asked = ask(sending(start(status), body(b"ab"))).asks(method)
        assert (asked.status, asked.body, asked.is_whole) == (status, b"", True)
        assert asked.fields == fields

    def test_head_in_parts(self, ask: Any) -> None:
        """H32, K2: also when it comes in parts."""
        asked = ask(sending(start(), body(b"a", True), body(b"b", True), body(b"c"))).asks(b"HEAD")
        assert (asked.status, asked.body, asked.is_whole) == (200, b"", True)

    @pytest.mark.parametrize(
        "parts", [[body(b"abcd")], [body(b"ab", True), body(b"cd")], [body(b"abcd", True)]]
    )
    def test_longer_than_declared(self, ask: Any, parts: Any, caplog: Any) -> None:
        """H33: no octet beyond Content-Length reaches the wire, and the application hears of it."""
        trying = Trying(start(200, [(b"content-length", b"3")]), *parts)
        asked = ask(trying).asks()
        assert isinstance(trying.errors[-1], ApplicationError)
        assert len(asked.body if asked.status == 200 else b"") <= 3
        assert asked.status == 500 or asked.is_cut

    @pytest.mark.parametrize("parts", [[body(b"ab")], [body(b"ab", True), body(b"")]])
    def test_shorter_than_declared(self, ask: Any, parts: Any, caplog: Any) -> None:
        """H33: the answer is 500, or is seen not to be whole."""
        trying = Trying(start(200, [(b"content-length", b"3")]), *parts)
        asked = ask(trying).asks()
        assert isinstance(trying.errors[-1], ApplicationError)
        assert (asked.status == 500 and asked.is_whole) or asked.is_cut

    @pytest.mark.parametrize(
        "message",
        [
            {"type": "http.response.start"}, start("200"), start(99), start(1000),
            start(200, [("x", b"y")]), start(200, [(b"x", "y")]), start(200, [(b"a b", b"y")]),
            start(200, [(b"x", b"y\r\nz: 1")]), start(200, [(b"x", b"\0")]), start(200, 5),
            start(200, [(b":status", b"200")]), body(b"x"), {"type": "http.nonsense"}, {}, None,
            start(200, [(b"content-length", b"x")]),
        ],
    )  # fmt: skip
    def test_no_message(self, ask: Any, message: Any) -> None:
        """C10, H24, S05: what ASGI does not allow raises, and no octet of it is out."""
        trying = Trying(message, start(), body(b"fine"))
        asked = ask(trying).asks()
        assert isinstance(trying.errors[0], ApplicationError)
        assert (asked.status, asked.body) == (200, b"fine")

    def test_second_start(self, ask: Any) -> None:
        """C10: no octet of it reaches the wire."""
        trying = Trying(start(), start(404), body(b"x"))
        asked = ask(trying).asks()
        assert [type(error) for error in trying.errors] == [
            type(None),
            ApplicationError,
            type(None),
        ]
        assert (asked.status, asked.body) == (200, b"x")

    def test_after_the_end(self, ask: Any) -> None:
        """H26: further messages are ignored."""
        trying = Trying(start(), body(b"x"), body(b"y"), start())
        asked = ask(trying).asks()
        assert trying.errors == [None] * 4
        assert (asked.body, asked.is_whole) == (b"x", True)

    def test_extra_keys(self, ask: Any) -> None:
        """C11: they are no error."""
        assert ask(sending(start(204, x=1), {**body(), "y": 2})).asks().status == 204

    # How it ends.

    def test_raising_at_once(self, ask: Any, caplog: Any) -> None:
        """C12: 500 and one log entry with the traceback, which the peer does not see (S11)."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start(200, [(b"x-secret", b"1")]))
            raise ValueError("a secret")

        asked = ask(application).asks()
        assert (asked.status, asked.body) == (500, b"Internal Server Error\n")
        assert (asked.is_whole, len(caplog.records)) == (True, 1)
        assert b"secret" not in b"".join(name + value for name, value in asked.fields)

    def test_raising_late(self, ask: Any, caplog: Any) -> None:
        """C12: once the head is out the peer sees that the answer is not whole."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            await send(body(b"ab", True))
            raise ValueError("on purpose")

        asked = ask(application).asks()
        assert (asked.status, asked.is_whole, asked.is_cut) == (200, False, True)

    def test_returning_early(self, ask: Any, caplog: Any) -> None:
        """C12: an application that returns without an answer is 500."""
        assert ask(sending()).asks().status == 500
        assert ask(sending(start())).asks().status == 500
        assert ask(sending(start(), body(b"a", True))).asks().is_cut

    @pytest.mark.parametrize("way", ["gives up", "vanishes"])
    def test_peer_goes(self, ask: Any, way: str) -> None:
        """H28, H30: http.disconnect, and then `send` raises an OSError."""
        script = Script()
        client = ask(script)
        asked = client.asks()
        asked.gives_up() if way == "gives up" else client.vanishes()
        run = client.memory.loop.run_until_complete
        assert [run(script.receive()) for _ in range(2)] == [LAST, LAST]
        client.memory.settle()
        with pytest.raises(ConnectionClosed) as raised:
            run(script.send(start()))
        assert isinstance(raised.value, OSError)

    def test_send_after_disconnect(self, ask: Any) -> None:
        """H29, H30: once a task has received http.disconnect, its next `send` raises."""
        raised: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            await send(body(b"a", True))
            while await receive() != LAST:
                pass
            for message in (body(b"b", True), body(b"c")):
                try:
                    await send(message)
                except OSError as error:
                    raised.append(type(error))
                else:
                    raised.append(None)

        client = ask(application)
        client.asks().gives_up()
        client.memory.settle()
        assert raised == [ConnectionClosed] * 2

    def test_send_before_disconnect_is_received(self, ask: Any) -> None:
        """H30: one that has not heard may send 16 messages more, for half of the close timeout."""
        script = Script()
        client = ask(script)
        client.asks().gives_up()
        run = client.memory.loop.run_until_complete
        for message in [start(), *[body(b"a", True)] * 15]:
            run(script.send(message))
        with pytest.raises(ConnectionClosed):
            run(script.send(body(b"a", True)))
        script = Script()
        client = ask(script)
        client.asks().gives_up()
        client.memory.passes(4)
        run = client.memory.loop.run_until_complete
        run(script.send(start()))
        client.memory.passes(2)
        with pytest.raises(ConnectionClosed):
            run(script.send(body()))

    def test_listener_in_another_task(self, ask: Any) -> None:
        """H30: a sender is not interrupted while the task that has heard is about to cancel it.

        Django's handler waits for both tasks with `asyncio.wait`, and ends in order only if the
        one that sends has been cancelled.
        """
        leaving: list[bool] = []
        ended: list[str] = []

        async def listens(receive: Any) -> None:
            while await receive() != LAST:
                pass

        async def sends(send: Any) -> None:
            await send(start())
            while True:
                if leaving:
                    await send(body(b"a", True))
                await asyncio.sleep(0)

        async def application(scope: Any, receive: Any, send: Any) -> None:
            tasks = [asyncio.create_task(listens(receive)), asyncio.create_task(sends(send))]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            ended.extend("cancelled" if task.cancelled() else "done" for task in tasks)

        client = ask(application)
        asked = client.asks()
        leaving.append(True)
        asked.gives_up()
        client.memory.settle()
        assert ended == ["done", "cancelled"]

    def test_sender_in_another_task(self, ask: Any) -> None:
        """H29, H30: three turns of the event loop after one has heard `send` raises for all."""
        gone = asyncio.Event()
        passed: list[int] = []

        async def listens(receive: Any) -> None:
            while await receive() != LAST:
                pass
            gone.set()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            listener = asyncio.create_task(listens(receive))
            await send(start())
            await gone.wait()
            try:
                for count in range(20):
                    await send(body(b"a", True))
                    passed.append(count)
            finally:
                await listener

        client = ask(application)
        client.asks().gives_up()
        client.memory.settle()
        assert passed in ([0], [0, 1])
        assert not client.memory.server.instances

    def test_unread_body_of_a_lost_peer(self, ask: Any) -> None:
        """H28: a body that will never be whole is not given out in part."""
        script = Script()
        client = ask(script)
        client.asks(b"POST", body=b"ab", ends=False).gives_up()
        assert client.memory.loop.run_until_complete(script.receive()) == LAST

    def test_disconnect_after_the_answer(self, ask: Any) -> None:
        """H28: `receive` after the answer gives http.disconnect, whatever was left unread."""
        script = Script()
        client = ask(script)
        client.asks(b"POST", body=b"ab", ends=False)
        run = client.memory.loop.run_until_complete
        run(script.send(start()))
        run(script.send(body()))
        assert run(script.receive()) == LAST

    def test_close_timeout(self, ask: Any, caplog: Any) -> None:
        """C17: an application that stays after its peer has gone is cancelled, with one line."""
        script = Script()
        client = ask(script)
        client.asks().gives_up()
        client.memory.passes(9)
        assert script.ended is None
        client.memory.passes(2)
        assert isinstance(script.ended, asyncio.CancelledError)
        assert not client.memory.server.instances

    def test_http_timeout(self, ask: Any, caplog: Any) -> None:
        """`--http-timeout`: 503 in the application's place, which is told."""
        script = Script()
        client = ask(script, http_timeout=5)
        asked = client.asks()
        client.memory.passes(4)
        assert asked.status is None
        client.memory.passes(2)
        assert (asked.status, asked.is_whole) == (503, True)
        assert (b"retry-after", b"1") in asked.fields
        assert client.memory.loop.run_until_complete(script.receive()) == LAST

    def test_http_timeout_late(self, ask: Any, caplog: Any) -> None:
        """The same with a part of the answer out: it is cut."""
        script = Script()
        client = ask(script, http_timeout=5)
        asked = client.asks()
        client.memory.loop.run_until_complete(script.send(start()))
        client.memory.loop.run_until_complete(script.send(body(b"a", True)))
        client.memory.passes(6)
        assert asked.is_cut

    # Refusals.

    @pytest.mark.parametrize("declared", [True, False])
    def test_body_size(self, ask: Any, declared: bool) -> None:
        """`--max-body-size`: 413, when it is declared and when it comes; both sides of it."""
        fields = [(b"content-length", b"4")] if declared else []
        recorder = Recorder()
        client = ask(recorder, max_body_size=3)
        assert client.asks(b"POST", b"/", *fields, body=b"abcd").status == 413
        assert client.asks(b"POST", b"/", body=b"abc").status == 200
        assert recorder.bodies[-1] == b"abc"

    def test_field_section(self, ask: Any) -> None:
        """`--max-field-section`: 431 over it, not at it."""
        client = ask(answer_at_once, max_field_section=1000)
        fits = 1000 - len(b"host: x\r\n") - len(b"a: \r\n")
        assert client.asks(b"GET", b"/", (b"a", b"v" * fits)).status == 200
        assert client.asks(b"GET", b"/", (b"a", b"v" * (fits + 1))).status == 431

    def test_number_of_fields(self, ask: Any) -> None:
        """`--max-fields`: 431 over it, not at it."""
        client = ask(answer_at_once, max_fields=5)
        assert client.asks(b"GET", b"/", *[(b"a", b"b")] * 4).status == 200
        assert client.asks(b"GET", b"/", *[(b"a", b"b")] * 5).status == 431

    def test_target(self, ask: Any) -> None:
        """`--max-request-line`: 414 over it, not at it."""
        client = ask(answer_at_once, max_request_line=200)
        assert client.asks(b"GET", b"/" + b"p" * 199).status == 200
        assert client.asks(b"GET", b"/" + b"p" * 200).status == 414

    def test_slow_body(self, ask: Any) -> None:
        """S35: 408 for a body below the least rate; the application is told."""
        script = Script()
        client = ask(script)
        asked = client.asks(b"POST", b"/", (b"content-length", b"9"), body=b"a", ends=False)
        client.memory.passes(29)
        asked.more(b"b")
        assert asked.status is None
        client.memory.passes(2)
        assert asked.status == 408
        assert client.memory.loop.run_until_complete(script.receive()) == LAST

    def test_body_that_waits_for_us(self, ask: Any) -> None:
        """An application that does not read is no fault of its peer's."""
        script = Script()
        client = ask(script)
        asked = client.asks(b"POST", b"/", body=b"a" * 16384, ends=False)
        for _ in range(3):
            asked.more(b"a" * 16384)
        client.memory.passes(31)
        client.memory.passes(31)
        assert asked.status is None

    @pytest.mark.parametrize(
        ("target", "status"), [(b"*", 400), (b"x", 400), (b"ftp://x/", 400), (b"/a#b", 400)]
    )
    def test_target_forms(self, ask: Any, target: bytes, status: int) -> None:
        """RFC 9112, 3.2; RFC 9113, 8.3.1: what is no path is refused."""
        script = Script()
        assert ask(script).asks(b"GET", target).status == status
        assert script.scope is None

    def test_options_star(self, ask: Any) -> None:
        """RFC 9110, 9.3.7: `OPTIONS *` is served."""
        script = Script()
        ask(script).asks(b"OPTIONS", b"*")
        assert (script.scope["path"], script.scope["raw_path"]) == ("*", b"*")

    def test_lower_case_method(self, ask: Any) -> None:
        """H03: a method is case-sensitive, and `get` is unknown."""
        assert ask(answer_at_once).asks(b"get").status == 501

    @pytest.mark.parametrize(
        "method", [b"VERSION-CONTROL", b"LABEL", b"UPDATE", b"BAN", b"SOURCE", b"PLAY", b"QUERY"]
    )
    def test_any_method(self, ask: Any, method: bytes) -> None:
        """RFC 9110, 9.1: any token is a method, and what it means is the application's to say."""
        application = Recorder()
        asked = ask(application).asks(method, b"/a?b", body=b"abc")
        (scope,) = application.scopes
        assert (scope["method"], scope["path"]) == (method.decode(), "/a")
        assert application.bodies == [b"abc"]
        assert (asked.status, asked.body) == (200, b"/a")

    def test_nel(self, ask: Any) -> None:
        """S02: 400 for a line end of Unicode in a value; not inside of a UTF-8 character."""
        script = Script()
        assert ask(script).asks(b"GET", b"/", (b"a", b"b\x85c")).status == 400
        assert script.scope is None
        ask(script).asks(b"GET", b"/", (b"a", "\u00c5".encode()))
        assert script.scope["headers"][1] == (b"a", b"\xc3\x85")

    # The log.

    def test_access_log(self, ask: Any) -> None:
        """One entry for each exchange, whole, refused or lost."""
        told: list[Any] = []

        def log(protocol: str, action: str, details: dict[str, Any]) -> None:
            told.append((details["method"], details["path"], details["status"], details["size"]))

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/lost":
                await never_answer(scope, receive, send)
            else:
                await answer_at_once(scope, receive, send)

        client = ask(application, action_logger=log, max_body_size=3, max_fields=9)
        client.asks(b"GET", b"/whole?q=%0a")
        client.asks(b"POST", b"/large", body=b"abcd")
        client.asks(b"POST", b"/lost", body=b"a", ends=False).gives_up()
        assert told[0] == ("GET", "/whole?q=%0a", 200, 6)
        assert told[1][:3] == ("POST", "/large", 413)
        assert told[2:] == [("POST", "/lost", None, 0)]


class TestHTTP1(Rules):
    """On connections of HTTP/1.1."""

    client = HTTP1Client


class TestHTTP2(Rules):
    """On streams of HTTP/2."""

    client = HTTP2Client
