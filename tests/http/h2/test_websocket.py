"""WebSockets on streams of HTTP/2 (RFC 8441)."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.runtime.drain_plan import IDLE_GRACE_SECONDS
from tests.support.applications import body, sending, start
from tests.support.h2_blocks import GET
from tests.support.h2_codes import CANCEL, NO_ERROR, PROTOCOL
from tests.support.h2_frames import data, ping, reset, window
from tests.support.h2_peer import H2Peer
from tests.support.h2_websocket import DEFLATE, VERSION, Echo, Opened
from tests.support.memory import Memory
from tests.support.websocket_compression import END_OF_BLOCK
from tests.support.websocket_opcodes import BINARY, CLOSE, PING, PONG, TEXT
from tests.support.websocket_peer import close, frame

Serve = Callable[..., Memory]
Field = tuple[bytes, bytes]


class TestOpening:
    """RFC 8441, 4 and 5."""

    def test_setting(self, serve: Serve) -> None:
        """3: the server says that it may be done."""
        assert H2Peer(serve(Echo())).settings[8] == 1

    def test_accepted(self, serve: Serve) -> None:
        """5: 200 without the fields of an upgrade; the application's are there."""
        socket = Opened(H2Peer(serve(Echo(headers=[(b"X-Id", b"1")]))))
        assert (socket.answer.status, socket.answer.fields) == (200, [(b"x-id", b"1")])
        assert not socket.answer.ended

    def test_scope(self, serve: Serve) -> None:
        """W01-W08: as on HTTP/1.1, but for http_version."""
        echo = Echo()
        fields = ((b"sec-websocket-protocol", b"a, b"), (b"cookie", b"c=1"), (b"cookie", b"d=2"))
        Opened(H2Peer(serve(echo)), *fields, path=b"/a%20b?q=1")
        scope = echo.scopes[0]
        assert scope == {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": "2",
            "scheme": "ws",
            "path": "/a b",
            "raw_path": b"/a%20b",
            "query_string": b"q=1",
            "root_path": "",
            "headers": [
                (b"host", b"x"), VERSION, (b"sec-websocket-protocol", b"a, b"),
                (b"cookie", b"c=1; d=2"),
            ],
            "client": ["192.0.2.1", 50000],
            "server": ["192.0.2.2", 80],
            "subprotocols": ["a", "b"],
            "state": {},
            "extensions": {"websocket.http.response": {}},
        }  # fmt: skip

    def test_subprotocol(self, serve: Serve) -> None:
        """W07, W23."""
        peer = H2Peer(serve(Echo(subprotocol="b")))
        socket = Opened(peer, (b"sec-websocket-protocol", b"a, b"))
        assert socket.answer.fields == [(b"sec-websocket-protocol", b"b")]

    def test_denied(self, serve: Serve) -> None:
        """W22, W31: 403, and the connection goes on."""
        peer = H2Peer(serve(sending({"type": "websocket.close"})))
        socket = Opened(peer)
        assert (socket.answer.status, socket.answer.ended, peer.gone) == (403, True, [])
        assert peer.sends(ping()).pongs

    def test_denial(self, serve: Serve) -> None:
        """X02: the application's own answer."""
        messages = (start(401, [(b"x", b"y")]), body(b"a", True), body(b"b"))
        messages = tuple({**m, "type": "websocket." + m["type"]} for m in messages)
        socket = Opened(H2Peer(serve(sending(*messages))))
        assert (socket.answer.status, socket.answer.body, socket.answer.ended) == (401, b"ab", True)

    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            (((b"sec-websocket-version", b"8"),), 426),
            (((b"origin", b"https://evil.example"),), 403),
            (((b"sec-websocket-protocol", b"a, a"),), 400),
        ],
    )
    def test_refused(self, serve: Serve, fields: Any, status: int) -> None:
        """RFC 6455, 4.2.2: what is no handshake has its answer, and no application sees it."""
        echo = Echo()
        peer = H2Peer(serve(echo, websocket_origins=("https://example.org",)))
        socket = Opened(peer, *fields)
        assert (socket.answer.status, echo.scopes) == (status, [])

    def test_other_protocol(self, serve: Serve) -> None:
        """4: another :protocol is not served."""
        peer = H2Peer(serve(Echo()))
        section = [(b":method", b"CONNECT"), (b":protocol", b"connect-udp"), *GET[1:]]
        peer.sends(peer.head(1, section, ends=False))
        assert (peer.answer(1).status, peer.gone) == (501, [])

    def test_get_is_no_opening(self, serve: Serve) -> None:
        """4: without CONNECT there is no :protocol."""
        peer = H2Peer(serve(Echo()))
        peer.sends(peer.head(1, [*GET, (b":protocol", b"websocket")]))
        assert peer.answer(1).reset == PROTOCOL

    def test_slow_application(self, serve: Serve, caplog: Any) -> None:
        """`--websocket-connect-timeout`: 503."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.Event().wait()

        memory = serve(application)
        socket = Opened(H2Peer(memory))
        memory.passes(6)
        assert socket.answer.status == 503

    def test_early_frames(self, serve: Serve) -> None:
        """W21: what comes before it is accepted is kept, up to the window."""
        opened = asyncio.Event

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await gate.wait()
            await send({"type": "websocket.accept"})
            for _ in range(2):
                await send({"type": "websocket.send", "text": (await receive())["text"]})

        memory = serve(application)
        gate = opened()
        socket = Opened(H2Peer(memory))
        second = frame(TEXT, b"two")
        socket.sends(frame(TEXT, b"one") + second[:3], second[3:])
        assert socket.answer.status is None
        gate.set()
        memory.settle()
        assert socket.payloads()[:2] == [b"one", b"two"]

    def test_ended_at_once(self, serve: Serve) -> None:
        """A client that has ended its side already: it is lost."""
        echo = Echo()
        socket = Opened(H2Peer(serve(echo)), ends=True)
        assert socket.answer.ended or socket.answer.reset is not None
        assert echo.ends == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


class TestMessages:
    """Frames as on HTTP/1.1, in DATA."""

    def test_both_ways(self, serve: Serve) -> None:
        """Text and octets, in one frame of HTTP/2 or in many."""
        socket = Opened(H2Peer(serve(Echo())))
        message = frame(TEXT, "h\u00e9".encode())
        socket.sends(message, *(message[at : at + 1] for at in range(len(message))))
        socket.sends(frame(BINARY, b"\0\1") + frame(BINARY, b""))
        got = [(one.opcode, one.payload) for one in socket.frames()]
        text = (TEXT, "h\u00e9".encode())
        assert got == [text, text, (BINARY, b"\0\1"), (BINARY, b"")]

    def test_deflate(self, serve: Serve) -> None:
        """RFC 7692, agreed on and used both ways."""
        socket = Opened(H2Peer(serve(Echo())), DEFLATE)
        agreed = dict(socket.answer.fields)[b"sec-websocket-extensions"]
        assert agreed.startswith(b"permessage-deflate")
        deflater = zlib.compressobj(wbits=-15)
        packed = deflater.compress(b"a" * 500) + deflater.flush(zlib.Z_SYNC_FLUSH)
        socket.sends(frame(TEXT, packed.removesuffix(END_OF_BLOCK), rsv1=True))
        (one,) = socket.frames()
        assert one.rsv1
        assert zlib.decompressobj(wbits=-15).decompress(one.payload + END_OF_BLOCK) == b"a" * 500

    def test_ping(self, serve: Serve) -> None:
        """W10: the server answers pings itself."""
        socket = Opened(H2Peer(serve(Echo()))).sends(frame(PING, b"x"))
        assert [(one.opcode, one.payload) for one in socket.frames()] == [(PONG, b"x")]

    def test_many_on_one_connection(self, serve: Serve) -> None:
        """Each has its own."""
        peer = H2Peer(serve(Echo()))
        sockets = [Opened(peer) for _ in range(50)]
        for index, socket in enumerate(sockets):
            socket.sends(frame(TEXT, b"%d" % index))
        assert [socket.payloads() for socket in sockets] == [[b"%d" % i] for i in range(50)]
        assert peer.gone == []

    def test_thousands_of_messages(self, serve: Serve) -> None:
        """They are no flood."""
        peer = H2Peer(serve(Echo()), reads=True)
        socket = Opened(peer)
        for _ in range(2000):
            assert peer.all_sent(socket.number, 7)
            socket.sends(frame(TEXT, b"x"))
        assert (len(socket.payloads()), peer.gone) == (2000, [])


class TestFlow:
    """C09: flow control of HTTP/2 is that of the messages."""

    def test_peer_that_does_not_read(self, serve: Serve) -> None:
        """`send` waits when the window and our own buffer are full."""
        sent = 0

        async def application(scope: Any, receive: Any, send: Any) -> None:
            nonlocal sent
            await send({"type": "websocket.accept"})
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 10_000})
                sent += 10_000

        memory = serve(application)
        peer = H2Peer(memory)
        socket = Opened(peer)
        assert len(socket.answer.body) == 65535
        assert sent <= 65535 + 3 * 65536
        before = sent
        peer.sends(window(0, 300_000), window(socket.number, 300_000))
        assert len(socket.answer.body) == 365_535
        assert sent > before
        assert len(socket.payloads()) == 36

    def test_peer_that_reads_octet_by_octet(self, serve: Serve) -> None:
        """S35: nor do our pings and one octet of window now and then give it more time."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 10_000})

        memory = serve(application, write_timeout=60, ping_interval=5)
        peer = H2Peer(memory)
        socket = Opened(peer)
        for _ in range(14):
            socket.sends(frame(PONG, b""))  # it is there
            peer.sends(window(0, 1), window(socket.number, 1))
            memory.passes(5)
        assert socket.answer.reset == CANCEL

    def test_application_that_does_not_read(self, serve: Serve) -> None:
        """The window stays shut, and opens again."""
        gate: list[asyncio.Event] = []
        got = 0

        async def application(scope: Any, receive: Any, send: Any) -> None:
            nonlocal got
            await receive()
            await send({"type": "websocket.accept"})
            gate.append(asyncio.Event())
            await gate[0].wait()
            while (event := await receive())["type"] == "websocket.receive":
                got += len(event["bytes"])

        memory = serve(application)
        peer = H2Peer(memory)
        socket = Opened(peer)
        octets = frame(BINARY, b"x" * 8000)
        sent = 0
        while peer.all_sent(socket.number, len(octets)):
            socket.sends(octets)
            sent += 8000
            assert sent < 500_000, "there is no end to it"
        gate[0].set()
        memory.settle()
        peer.read()
        assert got == sent
        assert peer.all_sent(socket.number, len(octets))


class TestEnds:
    """RFC 8441, 5: END_STREAM is FIN, and RST_STREAM with CANCEL a reset."""

    def test_client_closes(self, serve: Serve) -> None:
        """W26-W28: its close frame is answered, our side ends, the code is the application's."""
        echo = Echo()
        socket = Opened(H2Peer(serve(echo))).sends(close(4003, b"bye"))
        (one,) = socket.frames()
        assert (one.opcode, one.code, socket.answer.ended) == (CLOSE, 4003, True)
        assert echo.ends == [{"type": "websocket.disconnect", "code": 4003, "reason": "bye"}]

    def test_server_closes(self, serve: Serve) -> None:
        """W32, W33: code and reason go out; the peer's answer ends the stream."""
        messages = ({"type": "websocket.accept"}, {"type": "websocket.close", "code": 3001})
        memory = serve(sending(*messages))
        socket = Opened(H2Peer(memory))
        (one,) = socket.frames()
        assert (one.code, socket.answer.ended) == (3001, False)
        socket.sends(close(3001))
        assert socket.answer.ended
        assert not memory.server.instances

    def test_client_that_does_not_answer_the_close(self, serve: Serve) -> None:
        """RFC 6455, 7.1.1: it is waited for five seconds."""
        memory = serve(sending({"type": "websocket.accept"}))
        socket = Opened(H2Peer(memory))
        assert not socket.answer.ended
        memory.passes(6)
        memory.passes(1)
        assert socket.answer.ended or socket.answer.reset is not None

    def test_lives_on(self, serve: Serve) -> None:
        """No time limit of a request is its own: it stays for as long as it answers pings."""
        memory = serve(Echo(), ping_interval=None)
        socket = Opened(H2Peer(memory))
        for _ in range(20):
            memory.passes(10)
            socket.peer.read()
            for octets in socket.peer.pings:
                socket.peer.sends(ping(octets, ack=True))
            socket.peer.pings.clear()
        socket.sends(frame(TEXT, b"there"))
        assert [one.payload for one in socket.frames()] == [b"there"]
        assert socket.answer.reset is None

    def test_trailers_of_one_that_was_denied(self, serve: Serve) -> None:
        """They are a request's: its answer comes."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            head = {"type": "websocket.http.response.start", "status": 401, "headers": []}
            await send(head)
            await send({"type": "websocket.http.response.body", "body": b"no"})

        socket = Opened(H2Peer(serve(application), {4: 0}))
        socket.peer.sends(socket.peer.head(socket.number, [(b"x", b"y")]))
        socket.peer.sends(window(socket.number, 1000))
        assert (socket.answer.status, socket.answer.body) == (401, b"no")

    @pytest.mark.parametrize("fields", [1, 1000])
    def test_fields_on_a_connected_stream(self, serve: Serve, fields: int) -> None:
        """RFC 9113, 8.5: HEADERS there are an error of the stream, and the application is told."""
        echo = Echo()
        socket = Opened(H2Peer(serve(echo)))
        trailers = [(b"x", b"%d" % number) for number in range(fields)]
        socket.peer.sends(socket.peer.head(socket.number, trailers))
        assert socket.answer.reset == PROTOCOL
        assert [event["type"] for event in echo.ends] == ["websocket.disconnect"]

    def test_nothing_is_held_behind_a_reset(self, serve: Serve) -> None:
        """Early octets go with the stream, though the application stays."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(1000)

        peer = H2Peer(serve(application))
        socket = Opened(peer)
        stream = peer.wire.protocol.upgraded_to.streams[socket.number]
        peer.sends(data(socket.number, b"x" * 16384), data(socket.number, b"x", ends=True))
        assert stream._early
        peer.sends(reset(socket.number))
        assert not stream._early

    def test_reset(self, serve: Serve) -> None:
        """RST_STREAM is a lost connection: 1006."""
        echo = Echo()
        peer = H2Peer(serve(echo))
        socket = Opened(peer)
        peer.sends(reset(socket.number, CANCEL))
        assert echo.ends == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]
        assert peer.gone == []

    def test_end_of_stream(self, serve: Serve) -> None:
        """END_STREAM without a close frame is one, too."""
        echo = Echo()
        peer = H2Peer(serve(echo))
        socket = Opened(peer)
        socket.sends(frame(TEXT, b"last"))
        peer.sends(data(socket.number, b"", ends=True))
        assert echo.ends == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]
        assert socket.answer.ended or socket.answer.reset is not None

    def test_lost_connection(self, serve: Serve) -> None:
        """All of a connection's WebSockets are lost with it."""
        echo = Echo()
        memory = serve(echo)
        peer = H2Peer(memory)
        for _ in range(3):
            Opened(peer)
        peer.wire.vanishes()
        assert [end["code"] for end in echo.ends] == [1006] * 3
        assert not memory.server.connections

    @pytest.mark.parametrize(
        ("octets", "code"),
        [
            (frame(TEXT, b"\xff"), 1007), (frame(3, b""), 1002), (b"\x81\x01x", 1002),
            (frame(BINARY, b"x" * 1000), 1009),
        ],
    )  # fmt: skip
    def test_wrong_frames(self, serve: Serve, octets: bytes, code: int) -> None:
        """W42, S01: the WebSocket is closed with its code, the connection goes on."""
        peer = H2Peer(serve(Echo(), websocket_max_message_size=500))
        socket = Opened(peer).sends(octets)
        assert [one.code for one in socket.frames()] == [code]
        assert peer.gone == []

    def test_raising(self, serve: Serve, caplog: Any) -> None:
        """C12: 1011."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})
            raise ValueError("on purpose")

        socket = Opened(H2Peer(serve(application)))
        assert [one.code for one in socket.frames()] == [1011]

    def test_server_stops(self, serve: Serve) -> None:
        """WebSockets are told 1012, and the connection closes when they have ended."""
        echo = Echo()
        memory = serve(echo)
        peer = H2Peer(memory)
        sockets = [Opened(peer) for _ in range(3)]
        memory.stops()
        assert [[one.code for one in socket.frames()] for socket in sockets] == [[1012]] * 3
        memory.passes(IDLE_GRACE_SECONDS)
        peer.read()
        assert peer.gone == [(NO_ERROR, 2**31 - 1), (NO_ERROR, 5)]
        for socket in sockets:
            socket.sends(close(1012))
        assert [end["code"] for end in echo.ends] == [1012] * 3
        assert peer.wire.closing

    def test_access_log(self, serve: Serve) -> None:
        """One line for each end of it, as on HTTP/1.1."""
        told: list[tuple[str, str]] = []
        memory = serve(Echo(), action_logger=lambda *entry: told.append(entry[:2]))
        Opened(H2Peer(memory)).sends(close(1000))
        actions = ("connecting", "connected", "disconnected")
        assert told == [("websocket", action) for action in actions]
