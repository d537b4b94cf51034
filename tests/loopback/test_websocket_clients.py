"""WebSockets with the clients that people use, and what only a raw socket can do."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import needed
from tests.support.playing import ask, connecting, play, resident, seen
from tests.support.real_server import DEADLINE, TRACEBACK, Running
from tests.support.websocket_compression import DEFLATE
from tests.support.websocket_opcodes import BINARY, CLOSE, PING, PONG, TEXT
from tests.support.websocket_peer import Frame, Peer, close, frame, opening

websockets = needed.module("websockets")
aiohttp = needed.module("aiohttp")
from websockets.asyncio.client import connect as ws_connect  # noqa: E402

Start = Callable[..., Running]
Connect = Callable[[Running], Peer]

MEBIBYTE = 1048576
MAX_GROWTH = 8.0
"""MiB by which the server's memory may grow under a peer or an application that is slow."""
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
DEFLATED = {"compression": "deflate"}
PLAIN: dict[str, Any] = {"compression": None}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """One server for the tests that leave it as it was."""
    server = Running("-p", "0", "sockets:application")
    yield server.wait_until_ready()
    assert TRACEBACK not in server.stop()


@pytest.fixture
def connect(server: Start) -> Iterator[Callable[[Running], Peer]]:
    """connect(running): a raw client that is gone before a server of the test is stopped."""
    yield from connecting()


def opened(running: Running, path: str, **options: Any) -> Any:
    """A client of `websockets`."""
    return ws_connect(f"ws://127.0.0.1:{running.port}{path}", proxy=None, **options)


def closed_with(error: Any) -> tuple[int, str]:
    """Code and reason that a client of `websockets` has received."""
    return (error.value.rcvd.code, error.value.rcvd.reason)


def reset(peer: Peer) -> None:
    """Vanish: the server gets a RST."""
    peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    peer.connection.close()


def read_to_end(peer: Peer) -> bytes:
    """All that is left to read, before the end in order."""
    received = b""
    while octets := peer.connection.recv(1_000_000):
        received += octets
    return received


def read_on(peer: Peer) -> None:
    """Read and drop until the connection ends, in whatever way."""
    with contextlib.suppress(OSError):
        while peer.connection.recv(1_000_000):
            pass


@contextlib.contextmanager
def killed(running: Running) -> Iterator[None]:
    """A server that may hang is ended by force, however the test ends."""
    try:
        yield
    finally:
        running.process.kill()
        running.ended()


class TestMessages:
    """ASGI WebSocket, "Receive" and "Send" (W11, W24, W25), RFC 6455, 5 and 6."""

    @pytest.mark.parametrize("options", [PLAIN, DEFLATED], ids=["plain", "deflated"])
    def test_messages_come_back(self, running: Running, options: dict[str, Any]) -> None:
        """W24, W25: text and binary, empty ones too, up to the limit less one, in their order."""
        octets = bytes(range(256)) * 4096
        messages = [
            "", b"", "a", "Grüße, 世界 \U0001f30d", "\0\ufffd", b"\xff\xfe", "x" * 125, "x" * 126,
            b"y" * 65535, b"y" * 65536, octets[: MEBIBYTE - 1], "z" * (MEBIBYTE - 1), "end",
        ]  # fmt: skip

        async def story() -> None:
            async with opened(running, "/echo", max_size=None, **options) as client:
                for message in messages:
                    await client.send(message)
                    assert await client.recv() == message
                for message in messages[:8]:
                    await client.send(message)
                assert [await client.recv() for _ in range(8)] == messages[:8]

        play(story())

    def test_aiohttp_s_messages_come_back(self, running: Running) -> None:
        """W24, W25: the same with another client, which compresses on its own terms."""

        async def story(compress: int) -> None:
            url = f"{running.url}/echo"
            async with aiohttp.ClientSession() as session:
                client = await session.ws_connect(url, compress=compress)
                assert bool(client.compress) == bool(compress)
                await client.send_str("Grüße")
                assert await client.receive_str() == "Grüße"
                await client.send_bytes(b"")
                assert await client.receive_bytes() == b""
                octets = bytes(range(256)) * 4095
                await client.send_bytes(octets)
                assert await client.receive_bytes() == octets
                await client.close(code=4000, message=b"done")
                assert client.close_code == 4000

        for compress in (0, 15, 9):
            play(story(compress))

    @pytest.mark.parametrize("options", [PLAIN, DEFLATED], ids=["plain", "deflated"])
    def test_fragments(self, running: Running, options: dict[str, Any]) -> None:
        """W11: the application sees whole messages; fragments of ours are whole for the client."""

        async def story() -> None:
            async with opened(running, "/echo", **options) as client:
                await client.send(["Gr", "", "ü", "ße"])
                assert await client.recv() == "Grüße"
                await client.send([b"a" * 70000, b"b" * 70000])
                parts = [part async for part in client.recv_streaming()]
                assert b"".join(parts) == b"a" * 70000 + b"b" * 70000

        play(story())

    def test_large_messages_are_fragments(self, running: Running, connect: Connect) -> None:
        """RFC 6455, 5.4: a message of ours above 128 KiB comes in frames of that size."""
        peer = connect(running).open(b"/echo")
        peer.sends(frame(BINARY, b"x" * 300000))
        assert [peer.frame() for _ in range(3)] == [
            Frame(BINARY, b"x" * 131072, fin=False),
            Frame(0, b"x" * 131072, fin=False),
            Frame(0, b"x" * 37856),
        ]

    def test_the_limit(self, running: Running) -> None:
        """--websocket-max-message-size: as much is served, an octet more is 1009 (W42)."""

        async def story() -> None:
            async with opened(running, "/echo?limit", max_size=None, **PLAIN) as client:
                await client.send(b"x" * MEBIBYTE)
                assert await client.recv() == b"x" * MEBIBYTE
                await client.send([b"x" * MEBIBYTE, b"x"])
                with pytest.raises(websockets.ConnectionClosedError) as error:
                    await client.recv()
                assert error.value.rcvd.code == 1009

        play(story())
        assert seen(running, "limit", "disconnect")[0] == 1009


class TestPings:
    """RFC 6455, 5.5.2 and 5.5.3; ASGI W10."""

    def test_pings_of_the_client(self, running: Running, connect: Connect) -> None:
        """W10: each is answered with its own payload; the application never sees one."""

        async def story() -> None:
            async with opened(running, "/echo") as client:
                for payload in (b"", b"one", b"p" * 125):
                    await (await client.ping(payload))
                await client.send("after")
                assert await client.recv() == "after"

        play(story())
        peer = connect(running).open(b"/echo")
        peer.sends(frame(PING, b"one"))
        assert peer.frame() == Frame(PONG, b"one")
        peer.sends(frame(TEXT, b"a", fin=False) + frame(PING, b"two") + frame(0, b"b"))
        assert [peer.frame(), peer.frame()] == [Frame(PONG, b"two"), Frame(TEXT, b"ab")]

    def test_pings_of_the_server(self, server: Start) -> None:
        """--ping-interval, --ping-timeout: who answers stays; who does not is 1006."""
        running = server("sockets:application", "--ping-interval", "1", "--ping-timeout", "1")

        async def story() -> None:
            async with aiohttp.ClientSession() as session, opened(running, "/echo") as stays:
                silent = await session.ws_connect(f"{running.url}/echo?silent", autoping=False)
                answering = await session.ws_connect(f"{running.url}/echo", autoping=False)
                for _ in range(2):
                    message = await answering.receive()
                    assert message.type is aiohttp.WSMsgType.PING
                    await answering.pong(message.data)
                assert (await silent.receive()).type is aiohttp.WSMsgType.PING
                for client in (stays, answering):
                    send = client.send if client is stays else client.send_str
                    await send("still here")
                assert await stays.recv() == "still here"
                await answering.close()

        play(story())
        assert seen(running, "silent", "disconnect")[0] == 1006


class TestHandshake:
    """ASGI WebSocket, "Accept" (W07, W22, W23, X02), RFC 6455, 4."""

    def test_compression_is_negotiated(self, running: Running) -> None:
        """RFC 7692, 5: who offers it has it, who does not has it not."""

        async def story(**options: Any) -> Any:
            async with opened(running, "/echo", **options) as client:
                return client.response.headers.get("Sec-WebSocket-Extensions")

        assert "permessage-deflate" in play(story(**DEFLATED))
        assert play(story(**PLAIN)) is None

    def test_compression_switched_off(self, server: Start) -> None:
        """--ws-per-message-deflate off: it is not accepted, and messages go through plain."""
        running = server("sockets:application", "--ws-per-message-deflate", "off")

        async def story() -> None:
            async with opened(running, "/echo", **DEFLATED) as client:
                assert "Sec-WebSocket-Extensions" not in client.response.headers
                await client.send("plain")
                assert await client.recv() == "plain"

        play(story())

    def test_subprotocol(self, running: Running) -> None:
        """W07, W23: the application chooses among all that are offered."""

        async def story() -> None:
            offered = ["superchat", "chat"]
            async with opened(running, "/tell", subprotocols=offered) as client:
                assert client.subprotocol == "chat"
                assert json.loads(await client.recv())["subprotocols"] == offered
            async with opened(running, "/tell") as client:
                assert client.subprotocol is None
                assert json.loads(await client.recv())["subprotocols"] == []

        play(story())

    def test_fields_both_ways(self, running: Running) -> None:
        """W05, W23: duplicates and order as received; what the application adds arrives."""

        async def story() -> None:
            asked = [("X-Multi", "1"), ("X-Multi", "2"), ("Cookie", "a=b; c=d")]
            async with opened(running, "/tell", additional_headers=asked) as client:
                told = json.loads(await client.recv())
                fields = client.response.headers
            assert [pair for pair in told["headers"] if pair[0] == "x-multi"] == [
                ["x-multi", "1"],
                ["x-multi", "2"],
            ]
            assert (told["type"], told["scheme"], told["path"]) == ("websocket", "ws", "/tell")
            assert told["http_version"] == "1.1"
            assert told["client"][0] == "127.0.0.1"
            assert fields["X-Own"] == "1"
            assert fields.get_all("Set-Cookie") == ["a=b", "c=d"]
            assert fields["Server"] == "daphne-like"
            assert fields.get_all("Date") != []

        play(story())

    def test_denial_response(self, running: Running) -> None:
        """X02: status, fields and body reach the client."""

        async def with_websockets() -> None:
            with pytest.raises(websockets.InvalidStatus) as error:
                await opened(running, "/deny")
            response = error.value.response
            assert response.status_code == 401
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert response.body == b"who are you?"

        async def with_aiohttp() -> None:
            async with aiohttp.ClientSession() as session:
                with pytest.raises(aiohttp.WSServerHandshakeError) as error:
                    await session.ws_connect(f"{running.url}/deny")
                assert error.value.status == 401
                assert error.value.headers["WWW-Authenticate"] == "Bearer"

        play(with_websockets())
        play(with_aiohttp())

    def test_refusal(self, running: Running) -> None:
        """W22, W31: websocket.close before websocket.accept is 403."""

        async def story() -> None:
            with pytest.raises(websockets.InvalidStatus) as error:
                await opened(running, "/refuse")
            assert error.value.response.status_code == 403
            async with aiohttp.ClientSession() as session:
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(f"{running.url}/refuse")
                assert refused.value.status == 403

        play(story())

    @pytest.mark.parametrize(
        ("before", "after", "status", "field"),
        [
            (b"Version: 13", b"Version: 8", b"426 ", b"\r\nSec-WebSocket-Version: 13\r\n"),
            (b"Key: dGhl", b"Key: !Ghl", b"400 ", b"\r\nConnection: close\r\n"),
            (b"Connection: Upgrade", b"Connection: close", b"400 ", b"\r\nConnection: close\r\n"),
            (b"HTTP/1.1", b"HTTP/1.0", b"400 ", b"\r\nConnection: close\r\n"),
            (b"GET", b"PUT", b"405 ", b"\r\nAllow: GET\r\n"),
        ],
    )
    def test_wrong_handshakes(
        self,
        running: Running,
        before: bytes,
        after: bytes,
        status: bytes,
        field: bytes,
        connect: Connect,
    ) -> None:
        """W43: refused in HTTP, without the application, and the connection closes."""
        peer = connect(running)
        peer.sends(opening(b"/echo").replace(before, after))
        head, body = peer.read_head()
        version = b"HTTP/1.0 " if after == b"HTTP/1.0" else b"HTTP/1.1 "
        assert head.startswith(version + status)
        assert field in head
        body += read_to_end(peer)
        assert b"Content-Length: %d\r\n" % len(body) in head

    def test_an_origin_that_is_not_served(self, server: Start) -> None:
        """--websocket-origin: 403 for another one."""
        running = server("sockets:application", "--websocket-origin", "https://example.org")

        async def story() -> None:
            async with opened(running, "/echo", origin="https://example.org") as client:
                await client.send("a")
                assert await client.recv() == "a"
            with pytest.raises(websockets.InvalidStatus) as error:
                await opened(running, "/echo", origin="https://example.com")
            assert error.value.response.status_code == 403

        play(story())


class TestClose:
    """ASGI WebSocket, "Disconnect" and "Close" (W26 to W33), RFC 6455, 7."""

    @pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "away"), (4003, "Größe")])
    def test_by_the_client(self, running: Running, code: int, reason: str) -> None:
        """W28, W29: the application has the code and the reason of the client."""

        async def with_websockets() -> None:
            async with opened(running, f"/echo?w{code}") as client:
                await client.close(code, reason)
                assert client.close_code == code

        async def with_aiohttp() -> None:
            async with aiohttp.ClientSession() as session:
                client = await session.ws_connect(f"{running.url}/echo?a{code}")
                await client.close(code=code, message=reason.encode())

        play(with_websockets())
        play(with_aiohttp())
        for name in (f"w{code}", f"a{code}"):
            assert seen(running, name, "disconnect") == [code, reason]

    def test_without_a_code(self, running: Running, connect: Connect) -> None:
        """W27: a close frame without a code is 1005, and is answered without one."""
        peer = connect(running).open(b"/echo?none")
        peer.sends(frame(CLOSE))
        assert [peer.frame(), peer.frame()] == [Frame(CLOSE, b""), None]
        assert seen(running, "none", "disconnect") == [1005, ""]

    @pytest.mark.parametrize(
        ("asked", "code", "reason"),
        [
            ({}, 1000, ""),
            ({"code": 4001, "reason": "Größe"}, 4001, "Größe"),
            ({"code": 1013, "reason": None}, 1013, ""),
        ],
    )
    def test_by_the_application(
        self, running: Running, asked: dict[str, Any], code: int, reason: str
    ) -> None:
        """W30, W32, W33: the client has code and reason; the application its disconnect."""

        async def with_websockets() -> None:
            async with opened(running, f"/close?w{code}") as client:
                await client.send(json.dumps(asked))
                with pytest.raises(websockets.ConnectionClosed) as error:
                    await client.recv()
                assert closed_with(error) == (code, reason)

        async def with_aiohttp() -> None:
            async with aiohttp.ClientSession() as session:
                client = await session.ws_connect(f"{running.url}/close?a{code}")
                await client.send_str(json.dumps(asked))
                message = await client.receive()
                assert message.type is aiohttp.WSMsgType.CLOSE
                assert (message.data, message.extra) == (code, reason)

        play(with_websockets())
        play(with_aiohttp())
        for name in (f"w{code}", f"a{code}"):
            assert seen(running, name, "disconnect") == [code, reason]

    def test_by_the_application_s_end(self, running: Running) -> None:
        """W09: an application that returns has closed with 1000."""

        async def story() -> None:
            async with opened(running, "/leave") as client:
                with pytest.raises(websockets.ConnectionClosedOK) as error:
                    await client.recv()
                assert closed_with(error) == (1000, "")

        play(story())

    def test_by_the_application_s_failure(self, server: Start) -> None:
        """W09, C12: 1011, and nothing of what was raised; the traceback is in the log."""
        running = server("sockets:application", expects_traceback=True)

        async def story() -> None:
            async with opened(running, "/fail") as client:
                with pytest.raises(websockets.ConnectionClosedError) as error:
                    await client.recv()
                assert closed_with(error)[0] == 1011
                assert "purpose" not in closed_with(error)[1]

        play(story())
        running.wait_for("RuntimeError: on purpose")

    @pytest.mark.parametrize("how", ["reset", "fin", "in a frame"])
    def test_a_client_that_vanishes(self, running: Running, how: str, connect: Connect) -> None:
        """W26, W28: without a close frame it is 1006."""
        name = how.replace(" ", "")
        peer = connect(running).open(b"/echo?" + name.encode())
        peer.echoed(b"a")
        if how == "reset":
            reset(peer)
        else:
            if how == "in a frame":
                peer.sends(frame(TEXT, b"whole")[:-1])
            peer.connection.shutdown(socket.SHUT_WR)
            assert peer.frame() is None
        assert seen(running, name, "disconnect") == [1006, ""]

    def test_a_client_that_vanishes_before_it_is_accepted(
        self, running: Running, connect: Connect
    ) -> None:
        """W26: the application has its disconnect, with 1006."""
        peer = connect(running)
        peer.sends(opening(b"/undecided?early"))
        needed.until(lambda: "early" in ask(running))
        reset(peer)
        assert seen(running, "early", "disconnect") == [1006, ""]


class TestStop:
    """A stop with open WebSockets, and during handshakes (K10)."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_clients_are_told(self, server: Start, number: int) -> None:
        """1012 to a connected client, nobody else is let in, and exit status 0."""
        running = server("sockets:application")

        async def story() -> None:
            async with aiohttp.ClientSession() as session, opened(running, "/echo") as client:
                other = await session.ws_connect(f"{running.url}/echo")
                await client.send("a")
                assert await client.recv() == "a"
                running.signal(number)
                with pytest.raises(websockets.ConnectionClosedError) as error:
                    await client.recv()
                assert error.value.rcvd.code == 1012
                assert (await other.receive()).data == 1012
                with pytest.raises(OSError):
                    await opened(running, "/echo")

        play(story())
        assert running.ended() == 0

    def test_1001_where_it_is_wanted(self, server: Start, connect: Connect) -> None:
        """--websocket-stop-code."""
        running = server("sockets:application", "--websocket-stop-code", "1001")
        peer = connect(running).open(b"/echo")
        running.signal()
        told = peer.frame()
        assert told is not None
        assert (told.opcode, told.code) == (CLOSE, 1001)
        peer.sends(frame(CLOSE, told.payload))
        assert running.ended() == 0

    def test_right_after_an_upgrade(self, server: Start, connect: Connect) -> None:
        """K10: whatever state a WebSocket is in, the stop has its order and exit status 0."""
        running = server("sockets:application", "--graceful-timeout", "3")
        ended = connect(running).open(b"/leave")  # has no application any more
        closed = connect(running).open(b"/close")  # waits for our answer to its close frame
        closed.sends(frame(TEXT, b"{}"))
        half = connect(running).open(b"/echo")
        rest = frame(0, b"the rest")
        half.sends(frame(TEXT, b"begun", fin=False) + rest[:3])
        gone = connect(running).open(b"/echo")
        reset(gone)
        undecided = connect(running)
        undecided.sends(opening(b"/undecided"))
        running.wait_for("undecided")
        fresh = connect(running)
        fresh.sends(opening(b"/echo"))
        fresh.is_accepted()
        running.signal()
        told = fresh.frame()
        assert told is not None
        assert (told.opcode, told.code) == (CLOSE, 1012)
        for peer, code in ((ended, 1000), (closed, 1000), (half, 1012)):
            got = peer.frame()
            assert got is not None
            assert (got.opcode, got.code) == (CLOSE, code)
        half.sends(rest[3:])
        for peer in (fresh, ended, closed, half):
            peer.sends(close(1000))
            assert peer.frame() is None
        assert undecided.read_head()[0].startswith(b"HTTP/1.1 503 ")
        undecided.connection.close()
        assert running.ended() == 0

    def test_during_a_handshake(self, server: Start, connect: Connect) -> None:
        """503 for who is not accepted yet; the application is told, and does not hold the stop."""
        running = server("sockets:application")
        peer = connect(running)
        peer.sends(opening(b"/undecided"))
        running.wait_for("undecided")
        running.signal()
        assert peer.read_head()[0].startswith(b"HTTP/1.1 503 ")
        peer.connection.close()
        assert running.ended(5) == 0

    def test_a_client_that_does_not_answer(self, server: Start, connect: Connect) -> None:
        """One that leaves our close frame unanswered is cut off; exit status 0."""
        running = server("sockets:application", "--graceful-timeout", "1")
        silent = connect(running).open(b"/echo")
        running.signal()
        assert running.ended(10) == 0
        told = silent.frame()
        assert told is not None
        assert told.code == 1012


@on_linux
class TestPace:
    """Back-pressure in both directions (C09, K4)."""

    @pytest.mark.parametrize("size", [100, 1_000_000])
    def test_a_client_that_stops_reading(self, server: Start, size: int, connect: Connect) -> None:
        """C09: memory stays flat, others are served, --write-timeout ends it with 1006."""
        running = server("sockets:application", "--write-timeout", "1")
        bystander = connect(running).open(b"/echo")
        bystander.echoed(b"before")
        name = str(size)
        before = most = resident(running)
        peer = connect(running).open(b"/flood?" + name.encode())
        served = 0

        def is_over() -> Any:
            nonlocal most, served
            for _ in range(20):
                bystander.echoed(b"meanwhile")
                served += 1
            most = max(most, resident(running))
            return ask(running)[name].get("disconnect")

        assert needed.until(is_over) == [1006, ""]
        assert served >= 100
        assert most - before < MAX_GROWTH
        assert ask(running)[name]["ended"] == "ConnectionClosed"
        with pytest.raises(ConnectionResetError):
            read_to_end(peer)
        bystander.echoed(b"after")

    @pytest.mark.parametrize("size", [1, 1_000_000])
    @pytest.mark.parametrize("options", [(), (DEFLATE,)], ids=["plain", "deflated"])
    def test_a_client_that_vanishes_in_a_flood(
        self, server: Start, connect: Connect, size: int, options: tuple[bytes, ...]
    ) -> None:
        """H30, W40, K1: `send` without end learns of it, whatever it sends; others are served."""
        running = server("sockets:application")
        with killed(running):
            bystander = connect(running).open(b"/echo")
            bystander.connection.settimeout(5)
            peer = connect(running).open(b"/flood?%d" % size, *options)
            assert peer.frame() is not None
            reset(peer)
            bystander.echoed(b"after")
            assert seen(running, str(size), "ended") == "ConnectionClosed"

    @pytest.mark.parametrize("size", [1, 1000, 100_000])
    def test_a_client_that_reads_a_flood_at_once(
        self, server: Start, connect: Connect, size: int
    ) -> None:
        """K1: an application that sends without end to a fast reader leaves others their turn."""
        running = server("sockets:application")
        reader = threading.Thread()
        try:
            with killed(running):
                bystander = connect(running).open(b"/echo")
                bystander.connection.settimeout(5)
                peer = connect(running).open(b"/flood?%d" % size)
                reader = threading.Thread(target=read_on, args=(peer,))
                reader.start()
                for _ in range(50):
                    bystander.echoed(b"meanwhile")
        finally:
            reader.join(DEADLINE)

    @pytest.mark.parametrize("size", [60, 60_000, 1_000_000])
    def test_an_application_that_does_not_read(
        self, server: Start, size: int, connect: Connect
    ) -> None:
        """K4: 200 MB wait at the peer; memory stays flat, others are served, nothing is lost."""
        running = server("sockets:application")
        bystander = connect(running).open(b"/echo")
        bystander.echoed(b"before")
        before = most = resident(running)
        name = str(size)
        peer = connect(running).open(b"/asleep?" + name.encode())
        batch = frame(BINARY, b"x" * size) * max(1, 1_000_000 // size)
        # Small messages cost the reading application more: fewer of them do.
        count = 200 if size > 1000 else 20
        sent = 0

        def send() -> None:
            nonlocal sent
            for _ in range(count):
                peer.sends(batch)
                sent += 1
            peer.sends(close(1000))

        sender = threading.Thread(target=send)
        sender.start()
        looks = [-1]

        def is_stuck() -> bool:
            nonlocal most
            bystander.echoed(b"meanwhile" * 1000)
            most = max(most, resident(running))
            looks.append(sent)
            return len(looks) > 20 and len(set(looks[-20:])) == 1

        needed.until(is_stuck)
        assert sent < count - 5
        ask(running, "/go")
        while sender.is_alive():
            bystander.echoed(b"meanwhile")
            most = max(most, resident(running))
            sender.join(0.01)
        assert seen(running, name, "disconnect") == [1000, ""]
        assert ask(running)[name]["octets"] == count * max(1, 1_000_000 // size) * size
        assert most - before < MAX_GROWTH
