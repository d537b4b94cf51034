"""The events of a WebSocket: connect, receive, send, close, disconnect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.exceptions import ApplicationError, ConnectionClosed
from tests.support.memory import Memory
from tests.support.websocket_frames import (
    ACCEPTS,
    CONNECT,
    SWITCHED,
    Socket,
    binary,
    disconnected,
    got,
    sends_bytes,
    sends_text,
    switched,
    text,
)
from tests.support.websocket_opcodes import BINARY, TEXT
from tests.support.websocket_peer import Frame, close

Serve = Callable[..., Memory]

SEND, ACCEPT, CLOSE = "websocket.send", "websocket.accept", "websocket.close"


def errors_of(socket: Socket, message: Any) -> str:
    """The error of `send` for a message that is not allowed."""
    with pytest.raises(ApplicationError) as caught:
        socket.sends(message)
    return str(caught.value)


class TestAccept:
    """ASGI WebSocket, "Accept - send event"."""

    def test_headers(self, serve: Serve) -> None:
        """W23, K8: the application's fields, their order and spelling, repeated ones too."""
        headers = [(b"Set-Cookie", b"a=b"), [b"x-id", b"1"], (b"Set-Cookie", b"c=d")]
        socket = Socket(serve, accept={**ACCEPTS, "headers": headers})
        assert socket.answer == switched(b"Set-Cookie: a=b", b"x-id: 1", b"Set-Cookie: c=d")

    def test_own_server_and_date(self, serve: Serve) -> None:
        """The application's own fields replace the default fields, as in HTTP."""
        headers = [(b"Server", b"s"), (b"date", b"d")]
        socket = Socket(serve, accept={**ACCEPTS, "headers": headers})
        assert socket.answer == (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nServer: s\r\ndate: d\r\n"
            + SWITCHED[SWITCHED.index(b"Upgrade: w") :]
        )

    @pytest.mark.parametrize(
        "name", [b"Content-Length", b"Transfer-Encoding", b"Connection", b"Keep-Alive"]
    )
    def test_framing_is_dropped(self, serve: Serve, name: bytes) -> None:
        """RFC 9110, 8.6: a 101 has no body to frame; middleware adds such fields to all it sees."""
        socket = Socket(serve, accept={**ACCEPTS, "headers": [(name, b"0")]})
        assert socket.answer == SWITCHED

    @pytest.mark.parametrize(
        "name",
        [
            b"Sec-WebSocket-Protocol", b"sec-websocket-accept", b"SEC-WEBSOCKET-EXTENSIONS",
            b"Sec-WebSocket-Key", b"Sec-WebSocket-Version", b"Upgrade",
        ],
    )  # fmt: skip
    def test_forbidden(self, serve: Serve, name: bytes) -> None:
        """W23: what the handshake alone may say; the application may try again."""
        socket = Socket(serve, accept=None)
        said = errors_of(socket, {**ACCEPTS, "headers": [(name, b"x")]})
        assert said == f"{ACCEPT}: {name.decode()} is the server's to send"
        assert socket.wire.take() == b""
        socket.sends(ACCEPTS)
        assert socket.wire.take() == SWITCHED

    @pytest.mark.parametrize(
        "headers",
        [
            [(b"a", b"1\r\nb: 2")], [(b"a\r\nb", b"1")], [(b"a", b"\x00")], [(b"a", b"1\n")],
            [("a", b"1")], [(b"a", "1")], [(b":status", b"1")], [(b"a",)], None, 1,
        ],
    )  # fmt: skip
    def test_bad_headers(self, serve: Serve, headers: Any) -> None:
        """S05, C10: an error at the `send`, and no octet of it reaches the wire."""
        socket = Socket(serve, accept=None)
        assert errors_of(socket, {**ACCEPTS, "headers": headers}).startswith(f"{ACCEPT}: ")
        assert socket.wire.take() == b""

    @pytest.mark.parametrize("name", ["c", "", "A", b"a", 1, ["a"], "a\r\nX: y"])
    def test_subprotocol_not_offered(self, serve: Serve, name: Any) -> None:
        """RFC 6455, 4.2.2, S05: one of those that the client offers."""
        socket = Socket(serve, b"Sec-WebSocket-Protocol: a, b", accept=None)
        assert errors_of(socket, {**ACCEPTS, "subprotocol": name}) == (
            f"{ACCEPT}: expected one of the subprotocols that the client offers (a, b), "
            f"got {name!r}"
        )
        assert socket.wire.take() == b""

    def test_subprotocol_where_none_is_offered(self, serve: Serve) -> None:
        """RFC 6455, 4.2.2: a client would fail the connection."""
        socket = Socket(serve, accept=None)
        assert "(none), got 'a'" in errors_of(socket, {**ACCEPTS, "subprotocol": "a"})

    def test_none(self, serve: Serve) -> None:
        """W23: `subprotocol` may be None; C11: further keys are let be."""
        socket = Socket(serve, b"Sec-WebSocket-Protocol: a",
                        accept={**ACCEPTS, "subprotocol": None, "x": 1})  # fmt: skip
        assert socket.answer == SWITCHED

    def test_twice(self, serve: Serve) -> None:
        """C10: a second one is an error, and the connection stays usable."""
        socket = Socket(serve)
        assert errors_of(socket, ACCEPTS) == f"{ACCEPT}: expected once, got a second one"
        socket.sends(sends_text("a"))
        assert socket.frames() == [Frame(TEXT, b"a")]


class TestMessages:
    """ASGI WebSocket, "Receive - receive event" and "Send - send event"."""

    @pytest.mark.parametrize("message", ["", "a", "é€😀", "\x00\u2028", "x" * 200])
    def test_text(self, serve: Serve, message: str) -> None:
        """W24, W25, K8: text both ways; the empty message is one."""
        socket = Socket(serve)
        socket.wire.sends(text(message))
        assert socket.receives() == got(message)
        socket.sends(sends_text(message))
        assert socket.frames() == [Frame(TEXT, message.encode())]

    @pytest.mark.parametrize("message", [b"", b"a", bytes(range(256)), b"\xff" * 70000])
    def test_bytes(self, serve: Serve, message: bytes) -> None:
        """W24, W25: bytes both ways, and exactly that type (C16)."""
        socket = Socket(serve)
        socket.wire.sends(binary(message))
        event = socket.receives()
        assert event == got(message)
        assert type(event["bytes"]) is bytes
        socket.sends(sends_bytes(message))
        assert socket.frames() == [Frame(BINARY, message)]

    @pytest.mark.parametrize(
        ("message", "frame"),
        [
            ({"text": "a", "bytes": None}, Frame(TEXT, b"a")),
            ({"text": None, "bytes": b"a"}, Frame(BINARY, b"a")),
            ({"text": "", "bytes": None, "x": 1}, Frame(TEXT, b"")),
        ],
    )
    def test_other_key_is_none(self, serve: Serve, message: Any, frame: Frame) -> None:
        """W25: "if one is None, the other must not be": the other key may be there; C11."""
        socket = Socket(serve)
        socket.sends({"type": SEND, **message})
        assert socket.frames() == [frame]

    @pytest.mark.parametrize(
        ("message", "found"),
        [
            ({}, "NoneType and NoneType"),
            ({"text": None, "bytes": None}, "NoneType and NoneType"),
            ({"text": "a", "bytes": b"a"}, "str and bytes"),
            ({"text": "", "bytes": b""}, "str and bytes"),
            ({"text": b"a"}, "bytes and NoneType"),
            ({"text": 1}, "int and NoneType"),
            ({"bytes": "a"}, "NoneType and str"),
            ({"bytes": bytearray(b"a")}, "NoneType and bytearray"),
            ({"bytes": memoryview(b"a")}, "NoneType and memoryview"),
        ],
    )
    def test_neither_or_both(self, serve: Serve, message: Any, found: str) -> None:
        """W25, C10, C16: exactly one of both; the connection stays usable."""
        socket = Socket(serve)
        assert errors_of(socket, {"type": SEND, **message}) == (
            f"{SEND}: expected either str as text or bytes as bytes, got {found}"
        )
        socket.sends(sends_text("b"))
        assert socket.frames() == [Frame(TEXT, b"b")]

    def test_lone_surrogate(self, serve: Serve) -> None:
        """RFC 6455, 8.1: text is UTF-8, which has no half of a surrogate pair."""
        socket = Socket(serve)
        said = errors_of(socket, sends_text("a\ud800"))
        assert said == f"{SEND}: the text has half of a surrogate pair"
        socket.sends(sends_text("b"))
        assert socket.frames() == [Frame(TEXT, b"b")]

    def test_events_are_new(self, serve: Serve) -> None:
        """C08: what the application does to one event is not seen in the next."""
        socket = Socket(serve)
        socket.wire.sends(text("a") + text("a") + close())
        first = socket.receives()
        first.clear()
        assert socket.receives() == got("a")
        socket.receives().clear()
        assert socket.receives() == disconnected(1000)


class TestIllTimed:
    """ASGI, "Events": a message that is not allowed raises, and nothing is sent (C10)."""

    @pytest.mark.parametrize(
        ("message", "said"),
        [
            (sends_text("a"), "got 'websocket.send'"),
            ({"type": "websocket.x"}, "got 'websocket.x'"),
            ({"type": "http.response.start", "status": 200}, "got 'http.response.start'"),
            ({"type": None}, "got None"),
            ({"type": ["x"]}, "got ['x']"),
        ],
    )
    def test_before_accept(self, serve: Serve, message: Any, said: str) -> None:
        """W21, C10: before accept, close or denial nothing else."""
        socket = Socket(serve, accept=None)
        assert errors_of(socket, message) == (
            "send: expected websocket.accept, websocket.close or "
            f"websocket.http.response.start, {said}"
        )
        assert socket.wire.take() == b""
        socket.sends(ACCEPTS)
        assert socket.wire.take() == SWITCHED

    @pytest.mark.parametrize(
        "kind", ["websocket.x", "websocket.receive", "websocket.http.response.start", None, 1, ""]
    )
    def test_after_accept(self, serve: Serve, kind: Any) -> None:
        """C06, C10, X03: unknown types, and a denial that comes too late."""
        socket = Socket(serve)
        said = errors_of(socket, {"type": kind, "status": 200})
        assert said == f"send: expected {SEND} or {CLOSE}, got {kind!r}"
        socket.sends(sends_text("b"))
        assert socket.frames() == [Frame(TEXT, b"b")]

    @pytest.mark.parametrize("message", [None, "x", {}, [], {"text": "a"}])
    @pytest.mark.parametrize("accept", [None, ACCEPTS])
    def test_no_message(self, serve: Serve, message: Any, accept: Any) -> None:
        """C06, C10: what is no dict with a type."""
        socket = Socket(serve, accept=accept)
        said = errors_of(socket, message)
        assert said == f"send: expected a dict with 'type', got {message!r}"


class TestConnect:
    """ASGI WebSocket, "Connect - receive event"."""

    def test_is_first(self, serve: Serve) -> None:
        """W20: the handshake is not answered before the application has."""
        socket = Socket(serve, accept=None)
        assert socket.receives() == CONNECT
        assert socket.wire.take() == b""
        socket.sends(ACCEPTS)
        assert socket.wire.take() == SWITCHED

    def test_need_not_be_received(self, serve: Serve) -> None:
        """W20: an application may answer without having received it."""
        socket = Socket(serve, accept=None)
        socket.sends(ACCEPTS)
        socket.wire.sends(text("a"))
        assert socket.events() == [CONNECT, got("a")]

    def test_peer_goes_before_the_answer(self, serve: Serve) -> None:
        """W26, W40: the application is told, and its answer raises."""
        socket = Socket(serve, accept=None, application_close_timeout=0)
        socket.wire.vanishes()
        assert socket.events() == [CONNECT, disconnected(1006)]
        with pytest.raises(ConnectionClosed):
            socket.sends(ACCEPTS)
        assert socket.wire.take() == b""

    def test_half_closed_before_the_answer(self, serve: Serve) -> None:
        """RFC 6455, 7.1.5: a WebSocket has no use for one side of a connection."""
        socket = Socket(serve, accept=None)
        socket.wire.fin()
        assert socket.events() == [CONNECT, disconnected(1006)]
        assert socket.wire.lost
