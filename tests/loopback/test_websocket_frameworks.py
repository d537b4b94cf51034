"""WebSockets of Starlette, FastAPI and Channels, unmodified."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import needed
from tests.support.playing import ask, connecting, play
from tests.support.real_server import TRACEBACK, Running
from tests.support.websocket_peer import Peer, frame

websockets = needed.module("websockets")
from websockets.asyncio.client import connect as ws_connect  # noqa: E402

Start = Callable[..., Running]
Connect = Callable[[Running], Peer]
ORIGIN = "http://127.0.0.1"


def serving(application: str) -> Iterator[Running]:
    """A server for all the tests of a framework; no traceback in its log."""
    running = Running("-p", "0", application)
    yield running.wait_until_ready()
    log = running.stop()
    assert TRACEBACK not in log, log
    assert "ERROR" not in log, log


@pytest.fixture(scope="module")
def starlette() -> Iterator[Running]:
    """Starlette."""
    needed.module("starlette")
    needed.module("fastapi")
    yield from serving("star_sockets:plain")


@pytest.fixture(scope="module")
def fastapi() -> Iterator[Running]:
    """FastAPI."""
    needed.module("fastapi")
    yield from serving("star_sockets:fast")


@pytest.fixture(scope="module")
def channels() -> Iterator[Running]:
    """Django with Channels, without Redis."""
    needed.module("channels")
    yield from serving("django_site.sockets:application")


@pytest.fixture
def connect() -> Iterator[Connect]:
    """connect(running): a raw client."""
    yield from connecting()


def opened(running: Running, path: str, **options: Any) -> Any:
    """A client of `websockets`."""
    return ws_connect(f"ws://127.0.0.1:{running.port}{path}", proxy=None, **options)


def from_site(running: Running, path: str, **options: Any) -> Any:
    """The same, as a page of the site would: without an Origin Channels lets nobody in."""
    return opened(running, path, origin=ORIGIN, **options)


def noted(running: Running, name: str, value: Any) -> None:
    """Wait until the application has noted a value."""
    needed.until(lambda: ask(running).get(name) == value)


async def closed(client: Any) -> tuple[int, str]:
    """Wait for the server's close frame; its code and reason."""
    with pytest.raises(websockets.ConnectionClosed) as error:
        await client.recv()
    return (error.value.rcvd.code, error.value.rcvd.reason)


async def denial(running: Running, path: str, **options: Any) -> Any:
    """The answer to a handshake that is not accepted."""
    with pytest.raises(websockets.InvalidStatus) as error:
        await opened(running, path, **options)
    return error.value.response


class TestStarlette:
    """Starlette's WebSocket class and its endpoints."""

    def test_iter_text(self, starlette: Running) -> None:
        """W23, W24: subprotocol, fields and texts; the iteration ends with the client."""

        async def story() -> None:
            async with opened(starlette, "/texts", subprotocols=["texts"]) as client:
                assert client.subprotocol == "texts"
                assert client.response.headers["X-Own"] == "1"
                for text in ("", "a", "größe" * 1000):
                    await client.send(text)
                    assert await client.recv() == text.upper()

        play(story())
        noted(starlette, "texts", "over")

    def test_disconnect(self, starlette: Running) -> None:
        """W28, W29: WebSocketDisconnect has the client's code and reason."""

        async def story() -> None:
            async with opened(starlette, "/octets") as client:
                await client.send(bytes(range(256)))
                assert await client.recv() == bytes(range(256))
                await client.close(4005, "done")

        play(story())
        noted(starlette, "octets", [4005, "done"])

    def test_json_and_close(self, starlette: Running) -> None:
        """W32, W33: receive_json, send_json, close(code, reason)."""

        async def story() -> None:
            async with opened(starlette, "/objects") as client:
                await client.send(json.dumps({"code": 4006, "reason": "Größe"}))
                told = json.loads(await client.recv())
                assert told == {"path": "/objects", "scheme": "ws"}
                assert await closed(client) == (4006, "Größe")

        play(story())

    def test_denial_response(self, starlette: Running) -> None:
        """X02: send_denial_response, status, field and body; W31: close() is 403."""

        async def story() -> None:
            response = await denial(starlette, "/denied")
            assert response.status_code == 401
            assert response.headers["X-Own"] == "1"
            assert json.loads(response.body) == {"detail": "who are you?"}
            assert (await denial(starlette, "/refused")).status_code == 403
            assert (await denial(starlette, "/none")).status_code == 403

        play(story())

    def test_endpoint(self, starlette: Running) -> None:
        """WebSocketEndpoint: on_receive, and on_disconnect with 1006 when the client is lost."""

        async def story() -> None:
            async with opened(starlette, "/endpoint") as client:
                await client.send('{"a": [1, null]}')
                assert json.loads(await client.recv()) == {"a": [1, None]}
                client.transport.abort()

        play(story())
        noted(starlette, "endpoint", 1006)

    def test_send_after_the_end(self, server: Start, connect: Connect) -> None:
        """W40, W41: Starlette makes WebSocketDisconnect of `send`'s OSError; others are served."""
        running = server("star_sockets:plain")
        try:
            peer = connect(running).open(b"/late")
            peer.frame()
            peer.connection.close()
            other = connect(running)
            other.connection.settimeout(5)
            other.open(b"/octets")
            noted(running, "late", 1006)
        finally:
            running.process.kill()  # should it hang
            log = running.stop()
        assert "ERROR" not in log


class TestFastAPI:
    """FastAPI's websocket routes."""

    def test_path_and_dependency(self, fastapi: Running) -> None:
        """Parameters of path and query; 4008 from a WebSocketException."""

        async def story() -> None:
            async with opened(fastapi, "/items/7?token=t%C3%A9") as client:
                await client.send('{"a": 1}')
                told = json.loads(await client.recv())
                assert told == {"number": 7, "token": "té", "item": {"a": 1}}
                await client.send('"enough"')
                assert await closed(client) == (4008, "enough")

        play(story())

    def test_disconnect(self, fastapi: Running) -> None:
        """W28, W29: code and reason of the client."""

        async def story() -> None:
            async with opened(fastapi, "/items/7?token=t") as client:
                await client.close(4009, "bye")

        play(story())
        noted(fastapi, "fast", [4009, "bye"])

    def test_refused_by_a_dependency(self, fastapi: Running) -> None:
        """W31: a WebSocketException before accept is 403."""
        assert play(denial(fastapi, "/items/7")).status_code == 403

    def test_a_parameter_that_is_none(self, server: Start) -> None:
        """W31: 403 and no traceback, though FastAPI (0.165) gives a list as reason.

        It is of no account: nothing of a reason goes out before a WebSocket is accepted.
        """
        running = server("star_sockets:fast", expects_traceback=True)
        assert play(denial(running, "/items/seven?token=t")).status_code == 403
        assert TRACEBACK not in running.stop()


class TestChannels:
    """Channels' consumers and routing."""

    def test_json_consumer(self, channels: Running) -> None:
        """JsonWebsocketConsumer: subprotocol, JSON both ways, its close, the client's close."""

        async def story() -> None:
            async with from_site(channels, "/objects/", subprotocols=["one", "two"]) as client:
                assert client.subprotocol == "one"
                await client.send('["a", {"b": null}]')
                assert json.loads(await client.recv()) == {"got": ["a", {"b": None}]}
                await client.send('{"code": 4010, "reason": "enough"}')
                assert await closed(client) == (4010, "enough")
            async with from_site(channels, "/objects/") as client:
                await client.close(4011, "bye")

        play(story())
        noted(channels, "objects", 4011)
        refused = play(denial(channels, "/objects/", origin=ORIGIN, subprotocols=["refuse"]))
        assert refused.status_code == 403

    def test_group_send(self, channels: Running) -> None:
        """AsyncWebsocketConsumer and the layer in memory: both clients of a room have it."""

        async def story() -> None:
            async with (
                from_site(channels, "/room/a/") as one,
                from_site(channels, "/room/a/") as two,
                from_site(channels, "/room/b/") as other,
            ):
                for client in (one, two, other):
                    assert await client.recv() == "welcome"
                for sender, message in ((one, "Grüße"), (two, b"\x00\xff"), (one, "")):
                    await sender.send(message)
                    assert [await one.recv(), await two.recv()] == [message, message]
                await two.close(4012)
                await one.send("alone")
                assert await one.recv() == "alone"
                await other.send("in b")
                assert await other.recv() == "in b"

        play(story())
        noted(channels, "room", 1000)

    def test_threads(self, channels: Running) -> None:
        """A synchronous consumer runs in the thread pool; many at once are served in order."""

        async def story() -> None:
            clients = [await from_site(channels, "/threads/") for _ in range(10)]
            for number in range(20):
                for client in clients:
                    await client.send(str(number))
            for client in clients:
                assert [await client.recv() for _ in range(20)] == [
                    f"{number} False" for number in range(20)
                ]
                await client.close()

        play(story())

    def test_authentication_middleware(self, channels: Running) -> None:
        """Session and user are there: cookies reach Django's middleware; then 1000."""

        async def story() -> None:
            async with from_site(channels, "/visitor/") as client:
                assert await client.recv() == "AnonymousUser"
                assert await closed(client) == (1000, "")

        play(story())

    def test_origins(self, channels: Running) -> None:
        """AllowedHostsOriginValidator: 403 for a foreign origin; Django's views beside it."""

        async def story() -> None:
            async with from_site(channels, "/threads/") as client:
                await client.send("a")
                assert await client.recv() == "a False"
            foreign = await denial(channels, "/threads/", origin="http://example.com")
            assert foreign.status_code == 403

        play(story())
        assert isinstance(ask(channels), dict)

    def test_no_route(self, server: Start, connect: Connect) -> None:
        """C12: URLRouter raises for a path without a consumer: 500, and the server goes on."""
        running = server("django_site.sockets:application", expects_traceback=True)

        assert play(denial(running, "/none/", origin=ORIGIN)).status_code == 500
        peer = connect(running).open(b"/threads/", b"Origin: " + ORIGIN.encode())
        peer.sends(frame(1, b"a"))
        answer = peer.frame()
        assert answer is not None
        assert answer.payload == b"a False"
