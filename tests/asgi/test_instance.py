"""How an application instance ends, and what that means for its peer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.asgi.instance import follows_close, run_instance
from daphne_like.exceptions import ConnectionClosed
from tests.support.applications import ERROR_500, GET, Script, body, head, post, sending, start
from tests.support.log_lines import unlabelled
from tests.support.memory import Memory
from tests.support.websocket_frames import opening

Serve = Callable[..., Memory]


pytestmark = pytest.mark.usefixtures("fixed_date")


class Owner:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def application_returned(self) -> None:
        self.told.append("returned")

    def application_failed(self, exception: BaseException) -> None:
        self.told.append(exception)

    def application_cancelled(self) -> None:
        self.told.append("cancelled")


def told(error: BaseException | None) -> Any:
    """What an owner is told of an application that raises."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert (scope, receive, send) == ({"type": "x"}, "receive", "send")
        if error is not None:
            raise error

    owner = Owner()
    instances: dict[Any, Any] = {owner: "task"}
    arguments: Any = (application, {"type": "x"}, "receive", "send", owner, instances)
    asyncio.run(run_instance(*arguments))
    assert instances == {}
    (once,) = owner.told
    return once


class Disconnected(Exception):
    """As Starlette's ClientDisconnect."""


def chained(explicit: bool) -> Disconnected:
    try:
        try:
            raise ConnectionClosed("gone")
        except OSError as error:
            raise Disconnected from (error if explicit else None)
    except Disconnected as disconnected:
        return disconnected


class Group(Exception):
    """As ExceptionGroup, which Python 3.10 has not."""

    def __init__(self, *exceptions: Exception) -> None:
        self.exceptions = exceptions


class TestRunInstance:
    """ASGI, "Applications"; K1."""

    def test_returns(self) -> None:
        """C01: called once with scope, receive and send."""
        assert told(None) == "returned"

    @pytest.mark.parametrize(
        "error",
        [ValueError("x"), KeyboardInterrupt(), SystemExit(1), OSError("disk"), Group(ValueError())],
    )
    def test_raises(self, error: BaseException) -> None:
        """C12: told once; KeyboardInterrupt and SystemExit do not leave the task."""
        assert told(error) is error

    def test_is_cancelled(self) -> None:
        """A cancellation is no failure."""
        assert told(asyncio.CancelledError()) == "cancelled"

    @pytest.mark.parametrize(
        "error",
        [
            ConnectionClosed("gone"),
            chained(explicit=True),
            chained(explicit=False),
            Group(ConnectionClosed("gone"), chained(explicit=True)),
            Group(Group(ConnectionClosed("gone"))),
        ],
    )
    def test_lets_our_error_through(self, error: BaseException) -> None:
        """C14, H31: what comes of our ConnectionClosed is no error, whatever it was made into."""
        assert told(error) == "returned"

    def test_mixed_group(self) -> None:
        """H31: another error beside it stays one."""
        group = Group(ConnectionClosed("gone"), ValueError("x"))
        assert told(group) is group
        assert not follows_close(group)

    def test_no_callable_at_all(self) -> None:
        """C12: nothing awaitable comes back: the error goes the same way."""
        owner = Owner()
        arguments: Any = (lambda *_: None, {}, None, None, owner, {})
        asyncio.run(run_instance(*arguments))
        assert isinstance(owner.told[0], TypeError)


class TestBeforeTheHead:
    """ASGI, "Applications": an application that raises ends its connection (C12, K1, K3)."""

    @pytest.mark.parametrize("error", [ValueError("secret"), KeyboardInterrupt(), SystemExit(1)])
    def test_raises(self, serve: Serve, error: BaseException, caplog: Any) -> None:
        """C12, S26: 500 for the peer, one traceback for the log, and the server goes on."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            raise error

        memory = serve(application)
        wire = memory.connect().sends(GET)
        assert wire.take() == ERROR_500
        (record,) = caplog.records
        assert (
            unlabelled(record.getMessage())
            == f"Application for GET '/' raised {type(error).__name__} before its response began"
        )
        assert record.exc_info[1] is error
        assert memory.connect().sends(GET).take() == ERROR_500
        assert memory.server.instances == {}

    def test_raises_after_start(self, serve: Serve) -> None:
        """H21: the start event is held: nothing of it is out, and the peer has a 500."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start(200, [(b"a", b"b")]))
            raise ValueError

        assert serve(application).connect().sends(GET).take() == ERROR_500

    @pytest.mark.parametrize("messages", [(), (start(),)], ids=["nothing", "start"])
    def test_returns_early(self, serve: Serve, messages: Any, caplog: Any) -> None:
        """K3: one that returns without a response leaves nobody waiting."""
        assert serve(sending(*messages)).connect().sends(GET).take() == ERROR_500
        assert [unlabelled(record.getMessage()) for record in caplog.records] == [
            "Application for GET '/' returned without completing its response"
        ]

    def test_cancels_itself(self, serve: Serve, caplog: Any) -> None:
        """A cancellation that nobody asked for is an error of the application."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            raise asyncio.CancelledError

        assert serve(application).connect().sends(GET).take() == ERROR_500
        assert [unlabelled(record.getMessage()) for record in caplog.records] == [
            "Application for GET '/' was cancelled before its response was complete"
        ]

    def test_changed_scope(self, serve: Serve, caplog: Any) -> None:
        """C18: the scope is the application's to change, also before it raises."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            scope.clear()
            raise ValueError

        assert serve(application).connect().sends(GET).take() == ERROR_500
        assert (
            unlabelled(caplog.records[0].getMessage())
            == "Application for None None raised ValueError before its response began"
        )

    def test_log_line_is_plain(self, serve: Serve, caplog: Any) -> None:
        """S06: no octet of the peer's reaches the log as it is."""
        serve(sending()).connect().sends(GET.replace(b"/ ", b"/%0a%1b[31m "))
        assert unlabelled(caplog.records[0].getMessage()) == (
            "Application for GET '/\\n\\x1b[31m' returned without completing its response"
        )


class TestAfterTheHead:
    """The same, with the head on the wire (K1): no end goes out that a peer could believe."""

    @pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), SystemExit(1), None])
    def test_aborts(self, serve: Serve, error: BaseException | None, caplog: Any) -> None:
        """C12, K1: the connection is cut, and no last chunk is written."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            await send(body(b"part", more=True))
            await asyncio.sleep(0)
            if error is not None:
                raise error

        memory = serve(application)
        wire = memory.connect().sends(GET)
        assert wire.take() == head(b"200 OK", b"Transfer-Encoding: chunked") + b"4\r\npart\r\n"
        assert (wire.aborted, wire.lost) == (True, True)
        assert len(caplog.records) == 1
        assert memory.server.instances == {}
        assert memory.server.connections == set()

    def test_raises_after_the_response(self, serve: Serve, caplog: Any) -> None:
        """C12: an error behind a whole response is logged and harms nobody."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            await send(body(b"x"))
            raise ValueError("late")

        wire = serve(application).connect().sends(GET)
        assert wire.take() == head(b"200 OK", b"Content-Length: 1") + b"x"
        assert not wire.closing
        assert len(caplog.records) == 1
        assert wire.sends(GET).take() != b""


class TestAfterDisconnect:
    """ASGI, "Connection Scope" (C17): a little longer, then it is cancelled."""

    def test_is_cancelled_and_named(self, serve: Serve, caplog: Any) -> None:
        """C17: after `application_close_timeout`, with the place where it was stuck."""
        script = Script()
        memory = serve(script, application_close_timeout=10)
        wire = memory.connect().sends(GET)
        wire.vanishes()
        memory.passes(9.9)
        assert script.ended is None
        memory.passes(0.2)
        assert isinstance(script.ended, asyncio.CancelledError)
        first, *places = caplog.records[0].getMessage().splitlines()
        assert unlabelled(first).startswith(
            "Application for GET '/' still runs 10 seconds after its peer has gone; "
            "cancelling it; Script.__call__ waits at "
        )
        assert [place.rpartition(" in ")[2] for place in places] == [
            "Script.__call__: await wanted"
        ]
        assert memory.server.instances == {}

    def test_fin_counts(self, serve: Serve) -> None:
        """C17: so it is when the peer has closed its sending side alone."""
        script = Script()
        memory = serve(script)
        memory.connect().sends(GET).fin()
        memory.passes(10.1)
        assert isinstance(script.ended, asyncio.CancelledError)

    def test_returning_in_time(self, serve: Serve, caplog: Any) -> None:
        """C17: one that ends is left in peace."""
        script = Script()
        memory = serve(script)
        memory.connect().sends(GET).vanishes()
        script.returns()
        memory.settle()
        memory.passes(30)
        assert (script.ended, caplog.records) == ("returned", [])
        assert memory.server.instances == {}

    def test_swallowed_cancellation(self, serve: Serve, caplog: Any) -> None:
        """One that swallows its cancellation is cancelled again; two warnings are enough."""
        swallowed: list[int] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            for number in range(3):
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    swallowed.append(number)

        memory = serve(application, application_close_timeout=2)
        memory.connect().sends(GET).vanishes()
        for count in range(1, 4):
            memory.passes(2.1)
            assert (len(swallowed), len(caplog.records)) == (count, min(count, 2))
        assert memory.server.instances == {}
        memory.passes(10)
        assert len(caplog.records) == 2

    def test_background_work_goes_on(self, serve: Serve) -> None:
        """C17: after a whole response the loss of the connection cancels nothing."""
        script = Script()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            await send(body())
            await script(scope, receive, send)

        memory = serve(application)
        memory.connect().sends(GET).vanishes()
        memory.passes(60)
        assert script.ended is None
        script.returns()
        memory.settle()
        assert (script.ended, memory.server.instances) == ("returned", {})

    def test_a_raising_place_stops_no_checker(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """K1: an instance whose place cannot be told is cancelled, and the others after it."""
        scripts: list[Script] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            scripts.append(Script())
            await scripts[-1](scope, receive, send)

        def broken(task: object) -> list[str]:
            raise RuntimeError

        memory = serve(application)
        for _ in range(3):
            memory.connect().sends(GET).vanishes()
        monkeypatch.setattr("daphne_like.runtime.applications.stuck_at", broken)
        memory.now += 10.1
        for _ in range(3):
            with pytest.raises(RuntimeError):
                memory.server.application_checker()
        memory.settle()
        assert [type(script.ended) for script in scripts] == [asyncio.CancelledError] * 3


class TestCheckers:
    """`application_checker` and `timeout_checker` may be called at any time."""

    def test_twice_and_idle(self, serve: Serve) -> None:
        """Without anything to do, and again at once."""
        memory = serve(sending(start(), body()))
        wire = memory.connect().sends(GET)
        for _ in range(3):
            memory.server.application_checker()
            memory.server.timeout_checker()
        assert not wire.closing

    def test_from_within_an_application(self, serve: Serve) -> None:
        """While an application runs, from that application."""
        memory: Memory

        async def application(scope: Any, receive: Any, send: Any) -> None:
            memory.server.application_checker()
            memory.server.timeout_checker()
            await sending(start(), body())(scope, receive, send)

        memory = serve(application)
        assert memory.connect().sends(GET).take().startswith(b"HTTP/1.1 200 OK\r\n")

    def test_cost_of_idle_connections(self, serve: Serve) -> None:
        """10 000 idle connections: only the ones on a due slot are checked."""
        memory = serve(sending(start(), body()), keep_alive_timeout=60)
        for _ in range(10000):
            memory.now += 0.006
            memory.server.timeout_checker()
            memory.connect()
        checked = 0
        check = memory.server.context.timers._check

        def counted(*arguments: Any) -> None:
            nonlocal checked
            checked += 1
            check(*arguments)

        memory.server.context.timers._check = counted  # type: ignore[method-assign]
        memory.now += 1
        memory.server.timeout_checker()
        memory.server.application_checker()
        assert 0 < checked < 1000

    def test_http_timeout(self, serve: Serve, caplog: Any) -> None:
        """`--http-timeout`: 503, a warning with the place, and later the cancellation."""
        script = Script()
        memory = serve(script, http_timeout=5)
        wire = memory.connect().sends(GET)
        memory.passes(5.6)
        assert wire.take().startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        lines = caplog.records[0].getMessage().splitlines()
        assert unlabelled(lines[0]).startswith(
            "Application for GET '/' took longer than 5 seconds for its response; "
            "Script.__call__ waits at "
        )
        memory.passes(10.1)
        assert isinstance(script.ended, asyncio.CancelledError)


class TestLate:
    """C13, H30, W40: what an application sends when its peer has just gone (Leaving)."""

    MOST = (16, 1024)

    @pytest.mark.parametrize(("request_", "most"), [(GET, MOST[0]), (opening(), MOST[1])])
    def test_some_are_dropped(self, serve: Serve, request_: bytes, most: int) -> None:
        """Those of a burst are dropped; an application that does not listen then has its error."""
        script = Script()
        memory = serve(script)
        memory.connect().sends(request_).vanishes()
        for _ in range(most):
            memory.loop.run_until_complete(script.send(start()))
        with pytest.raises(ConnectionClosed):
            memory.loop.run_until_complete(script.send(start()))

    @pytest.mark.parametrize("request_", [GET, opening()])
    def test_for_a_while(self, serve: Serve, request_: bytes) -> None:
        """For half of --application-close-timeout: the other half is for what the error does."""
        script = Script()
        memory = serve(script, application_close_timeout=10)
        memory.connect().sends(request_).vanishes()
        memory.passes(4.9)
        memory.loop.run_until_complete(script.send(start()))
        memory.passes(0.2)
        with pytest.raises(ConnectionClosed):
            memory.loop.run_until_complete(script.send(start()))

    @pytest.mark.parametrize("request_", [GET, opening()])
    def test_the_end_is_heard_within_a_burst(self, serve: Serve, request_: bytes) -> None:
        """The messages that wait in a consumer's channel do not keep it from its disconnect."""
        ended: list[str] = []

        async def consumer(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            event = asyncio.ensure_future(receive())
            while not event.done():
                await send({"type": "websocket.send", "text": "a"} if "method" not in scope
                           else body(b"a", True))  # fmt: skip
            ended.append(event.result()["type"])

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start() if "method" in scope else {"type": "websocket.accept"})
            await consumer(scope, receive, send)

        memory = serve(application)
        wire = memory.connect()
        memory.loop.call_soon(memory.loop.call_soon, wire._lose, ConnectionError())
        wire.sends(request_)
        assert ended in (["http.disconnect"], ["websocket.disconnect"])
        assert memory.server.instances == {}


class TestOurErrorComingOut:
    """ASGI HTTP, "Disconnect - receive event" (H30, H31)."""

    @pytest.mark.parametrize("translated", [False, True])
    def test_is_not_logged_as_an_error(self, serve: Serve, caplog: Any, translated: bool) -> None:
        """H31, C14: `send` raises an OSError; coming out of the application it is none."""
        script = Script()
        raised: list[OSError] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await script.__call__(scope, receive, send)
            try:
                await send(start())
            except OSError as error:
                raised.append(error)
                if translated:
                    raise Disconnected
                raise

        memory = serve(application, application_close_timeout=0)
        memory.connect().sends(post(b"", length=5)).vanishes()
        with caplog.at_level(logging.INFO):
            script.returns()
            memory.settle()
        assert [type(error) for error in raised] == [ConnectionClosed]
        assert caplog.records == []
        assert memory.server.instances == {}
