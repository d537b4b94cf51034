"""The requirements for an opening handshake, and its responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.applications import GET, Script, head
from tests.support.handshakes import CLOSED_1000, answer, unseen
from tests.support.memory import Memory
from tests.support.peers import read_answers, respond
from tests.support.websocket_frames import (
    ACCEPTS,
    OPENING,
    SWITCHED,
    closing,
    got,
    opening,
    refused,
    text,
)
from tests.support.websocket_peer import KEY, read_frames

Serve = Callable[..., Memory]

NOT_UPGRADE = refused(b"400 Bad Request", b"The Connection field does not say Upgrade.")
NO_KEY = refused(b"400 Bad Request", b"Sec-WebSocket-Key is not one key of 16 octets.")
HAS_BODY = refused(b"400 Bad Request", b"A WebSocket handshake has no body.")
NOT_11 = refused(b"400 Bad Request", b"A WebSocket is opened with HTTP/1.1.")
NOT_GET = refused(b"405 Method Not Allowed", b"A WebSocket is opened with GET.", b"Allow: GET")
NOT_13 = refused(
    b"426 Upgrade Required",
    b"The WebSocket version served is 13.",
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Version: 13",
)


class TestRequirements:
    """RFC 6455, 4.2.1, "Reading the Client's Opening Handshake"."""

    def test_answer(self, serve: Serve) -> None:
        """4.2.2: the whole answer, with the accept value of the RFC's example (1.3)."""
        memory = serve(Script())
        script = memory.server.application
        wire = memory.connect().sends(OPENING)
        assert wire.take() == b""
        memory.loop.run_until_complete(script.send(ACCEPTS))
        assert wire.writes == [SWITCHED]

    @pytest.mark.parametrize("method", [b"POST", b"PUT", b"OPTIONS", b"PURGE"])
    def test_method(self, serve: Serve, method: bytes) -> None:
        """W43: 1: the method is GET; another one is owed 405, and the one that is allowed."""
        assert unseen(serve, opening(line=method + b" /chat HTTP/1.1")) == NOT_GET

    def test_head(self, serve: Serve) -> None:
        """W43, H32: nor HEAD, whose answer has no body."""
        assert unseen(serve, opening(line=b"HEAD / HTTP/1.1")) == (
            NOT_GET.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        )

    def test_http_10(self, serve: Serve) -> None:
        """1: the version is 1.1 at least."""
        refusal = NOT_11.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        assert unseen(serve, opening(line=b"GET /chat HTTP/1.0")) == refusal

    @pytest.mark.parametrize(
        "value", [b"upgrade", b"UPGRADE", b"keep-alive, Upgrade", b"a,\tuPGRADE ,b", b",Upgrade,"]
    )
    def test_connection(self, serve: Serve, value: bytes) -> None:
        """4: Connection is a list with the token Upgrade, in any case."""
        assert answer(serve, opening(connection=value)) == CLOSED_1000

    def test_two_connections(self, serve: Serve) -> None:
        """4: a list may come in several fields (RFC 9110, 5.3)."""
        request = opening(b"Connection: Upgrade", connection=b"keep-alive")
        assert answer(serve, request) == CLOSED_1000

    @pytest.mark.parametrize(
        "value", [None, b"", b"keep-alive", b"Upgraded", b"Up grade", b"close"]
    )
    def test_no_connection(self, serve: Serve, value: bytes | None) -> None:
        """4: without that token it is no handshake."""
        assert unseen(serve, opening(connection=value)) == NOT_UPGRADE

    @pytest.mark.parametrize(
        "value", [b"WebSocket", b"WEBSOCKET", b"h2c, websocket", b"websocket,h2c", b",\twebsocket"]
    )
    def test_upgrade(self, serve: Serve, value: bytes) -> None:
        """3: Upgrade is a list with the token websocket, in any case."""
        assert answer(serve, opening(upgrade=value)) == CLOSED_1000

    def test_two_upgrades(self, serve: Serve) -> None:
        """3: in several fields, too."""
        assert answer(serve, opening(b"Upgrade: websocket", upgrade=b"h2c")) == CLOSED_1000

    @pytest.mark.parametrize(
        ("fields", "body"),
        [
            ((b"Content-Length: 1",), b"x"),
            ((b"Content-Length: 1",), b""),
            ((b"Transfer-Encoding: chunked",), b"1\r\nx\r\n0\r\n\r\n"),
            ((b"Transfer-Encoding: chunked",), b"0\r\n\r\n"),
        ],
    )
    def test_body(self, serve: Serve, fields: tuple[bytes, ...], body: bytes) -> None:
        """RFC 9112, 6: what follows a handshake are frames, so it has no body."""
        assert unseen(serve, opening(*fields) + body) == HAS_BODY

    def test_empty_body(self, serve: Serve) -> None:
        """An empty body is allowed."""
        assert answer(serve, opening(b"Content-Length: 0")) == CLOSED_1000

    @pytest.mark.parametrize(
        "value", [None, b"", b"0", b"8", b"12", b"14", b"13, 8", b"013", b"+13"]
    )
    def test_version(self, serve: Serve, value: bytes | None) -> None:
        """W43: 6: the version is 13; another one is owed 426 and the one that is served (4.4)."""
        assert unseen(serve, opening(sec_websocket_version=value)) == NOT_13

    @pytest.mark.parametrize("second", [b"13", b"8"])
    def test_two_versions(self, serve: Serve, second: bytes) -> None:
        """11.3.5: a request has no more than one version."""
        assert unseen(serve, opening(b"Sec-WebSocket-Version: " + second)) == NOT_13

    @pytest.mark.parametrize(
        "value",
        [
            None,
            b"",
            b"x",
            KEY[:-1],
            KEY + b"=",
            b"!" * 22 + b"==",
            b"AAAAAAAAAAAAAAAAAAAA",  # 15 octets
            b"AAAAAAAAAAAAAAAAAAAAAAA=",  # 17 octets
            b"AAAAAAAAAAAAAAAAAAAAAAAA",  # 18 octets
            b"AAAAAAAAAAAAAAAAAAA AA==",
            b"AAAAAAAAAAAAAAAAAAAA\xff\xff==",
        ],
    )
    def test_key(self, serve: Serve, value: bytes | None) -> None:
        """5: the key is base64 of 16 octets."""
        assert unseen(serve, opening(sec_websocket_key=value)) == NO_KEY

    def test_two_keys(self, serve: Serve) -> None:
        """11.3.1: a request has no more than one key."""
        assert unseen(serve, opening(b"Sec-WebSocket-Key: " + KEY)) == NO_KEY

    def test_no_host(self, serve: Serve) -> None:
        """2: Host is HTTP's, and has to be there."""
        assert unseen(serve, opening(host=None)).startswith(b"HTTP/1.1 400 ")


class TestOtherUpgrades:
    """RFC 9110, 7.8, "Upgrade"."""

    @pytest.mark.parametrize("value", [b"h2c", b"websockets", b"websocket/13", b"xwebsocket", b""])
    def test_are_ignored(self, serve: Serve, value: bytes) -> None:
        """A server may ignore the field: the request has its HTTP answer."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await respond(send, scope["type"].encode())

        wire = serve(application).connect().sends(opening(upgrade=value))
        assert wire.take() == head(b"200 OK", b"Content-Length: 4") + b"http"

    def test_request_after_it(self, serve: Serve) -> None:
        """And the connection goes on, to a handshake too."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                await respond(send)
            else:
                await send(ACCEPTS)

        wire = serve(application).connect().sends(opening(upgrade=b"h2c"), GET, OPENING)
        assert wire.take() == 2 * head(b"200 OK", b"Content-Length: 0") + CLOSED_1000


class TestPipelined:
    """RFC 9112, 9.3.2: answers in the order of the requests; ASGI W20, W21."""

    def test_behind_slow_requests(self, serve: Serve) -> None:
        """W20: the application gets the handshake when its turn comes, and frames after that."""
        scripts = [Script(), Script(), Script()]
        waiting = iter(scripts)

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await next(waiting)(scope, receive, send)

        memory = serve(application)
        run = memory.loop.run_until_complete
        wire = memory.connect().gets(GET + GET + OPENING + text("a"), text("b"))
        for script in scripts[:2]:
            assert scripts[2].scope is None
            run(respond(script.send))
            memory.settle()
        assert [answer.status for answer in read_answers(wire.take())] == [200, 200]
        last = scripts[2]
        assert run(last.receive()) == {"type": "websocket.connect"}
        run(last.send(ACCEPTS))
        wire.sends(text("c"))
        assert wire.take() == SWITCHED
        assert [run(last.receive()) for _ in range(3)] == [got("a"), got("b"), got("c")]


class TestCuts:
    """TCP has no messages: where octets are cut means nothing."""

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
    def test_in_pieces(self, serve: Serve, size: int) -> None:
        """The handshake and frames behind it in pieces of one size."""
        octets = OPENING + text("Hallo") + text("x" * 300)
        pieces = [octets[start : start + size] for start in range(0, len(octets), size)]
        script = Script()
        memory = serve(script)
        wire = memory.connect().gets(*pieces)
        run = memory.loop.run_until_complete
        run(script.send(ACCEPTS))
        assert wire.take() == SWITCHED
        assert [run(script.receive()) for _ in range(3)][1:] == [got("Hallo"), got("x" * 300)]

    def test_at_every_place(self, serve: Serve) -> None:
        """W21: in two, at each octet: before the accept, and around it."""
        octets = OPENING + text("Hallo") + text("x" * 130)
        script = Script()
        memory = serve(script)
        run = memory.loop.run_until_complete
        for cut in range(1, len(octets)):
            wire = memory.connect().sends(octets[:cut])
            if cut < len(OPENING):
                wire.sends(octets[cut:])
            run(script.send(ACCEPTS))
            assert wire.take() == SWITCHED
            if cut >= len(OPENING):
                wire.sends(octets[cut:])
            events = [run(script.receive()) for _ in range(3)]
            assert events == [{"type": "websocket.connect"}, got("Hallo"), got("x" * 130)]
            wire.vanishes()

    def test_nothing_is_received_before_the_accept(self, serve: Serve) -> None:
        """W21: no `websocket.receive` before the application has accepted."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().gets(OPENING + text("a"))
        assert memory.loop.run_until_complete(script.receive()) == {"type": "websocket.connect"}
        early = memory.loop.create_task(script.receive())
        memory.settle()
        assert not early.done()
        memory.loop.run_until_complete(script.send(ACCEPTS))
        memory.settle()
        assert early.result() == got("a")
        assert wire.take() == SWITCHED

    def test_too_early(self, serve: Serve) -> None:
        """S01: what comes before the accept is kept, up to a bound; then nothing more is read."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().sends(OPENING)
        wire.sends(text("x" * 65527))
        assert not wire.paused
        wire.sends(text("y" * 10))
        assert wire.paused
        run = memory.loop.run_until_complete
        run(script.send(ACCEPTS))
        events = [run(script.receive()) for _ in range(3)][1:]
        assert events == [got("x" * 65527), got("y" * 10)]
        assert not wire.paused

    def test_refused_with_frames(self, serve: Serve) -> None:
        """W22: frames behind a handshake that is refused are no requests."""
        script = Script()
        wire = serve(script).connect().gets(opening(sec_websocket_version=b"8") + text("GET / "))
        assert wire.take() == NOT_13

    def test_close_behind_the_handshake(self, serve: Serve) -> None:
        """RFC 6455, 7.1: a client that says goodbye at once is answered likewise."""
        script = Script()
        memory = serve(script)
        wire = memory.connect().gets(OPENING + b"\x88\x82abcd" + bytes((3 ^ 97, 0xE9 ^ 98)))
        memory.loop.run_until_complete(script.send(ACCEPTS))
        memory.settle()
        octets = wire.take()
        assert octets.startswith(SWITCHED)
        assert read_frames(octets[len(SWITCHED) :]) == [closing(1001)]
