"""The end of a WebSocket, from either side: close codes, reasons, the last event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.exceptions import ApplicationError, ConnectionClosed
from tests.support.memory import Memory
from tests.support.websocket_frames import (
    ACCEPTS,
    CONNECT,
    Socket,
    closes,
    closing,
    disconnected,
    got,
    refused,
    sends_bytes,
    sends_text,
    text,
)
from tests.support.websocket_opcodes import PONG, TEXT
from tests.support.websocket_peer import Frame, close

Serve = Callable[..., Memory]

REFUSED = refused(b"403 Forbidden", b"The application refused the WebSocket.")
ALLOWED = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999,
           4000, 4999]  # fmt: skip
FORBIDDEN = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535]
LONG = "é" * 62  # 124 octets


class TestRefusal:
    """ASGI WebSocket, "Close - send event", before accept."""

    @pytest.mark.parametrize("message", [{}, {"code": 4000, "reason": "secret"}, {"code": None}])
    def test_403(self, serve: Serve, message: dict[str, Any]) -> None:
        """W22, W31: 403 whatever the code, and the connection is closed."""
        socket = Socket(serve, accept=None)
        socket.sends({"type": "websocket.close", **message})
        assert socket.wire.take() == REFUSED
        assert socket.wire.half_closed

    def test_last_event(self, serve: Serve) -> None:
        """W26: `websocket.disconnect` after it, and W40: what is sent raises."""
        socket = Socket(serve, accept=None)
        assert socket.receives() == CONNECT
        socket.sends(closes())
        assert socket.events() == [disconnected(1006)]
        for message in (ACCEPTS, closes(), sends_text("a")):
            with pytest.raises(ConnectionClosed):
                socket.sends(message)
        assert socket.wire.take() == REFUSED

    @pytest.mark.parametrize("message", [closes(1005), {**closes(), "reason": [{"loc": "query"}]}])
    def test_code_and_reason_go_nowhere(self, serve: Serve, message: dict[str, Any]) -> None:
        """W22: no close frame is sent, so it does not matter; FastAPI's reason is a list here."""
        socket = Socket(serve, accept=None)
        socket.sends(message)
        assert socket.wire.take() == REFUSED


class TestServerCloses:
    """ASGI WebSocket, "Close - send event"."""

    @pytest.mark.parametrize("code", ALLOWED)
    def test_code(self, serve: Serve, code: int) -> None:
        """W32, W33, W30, K8: the frame has code and reason, and so has the last event."""
        socket = Socket(serve)
        socket.sends(closes(code, "why € so"))
        assert socket.frames() == [closing(code, "why € so".encode())]
        assert socket.events() == [disconnected(code, "why € so")]

    @pytest.mark.parametrize("message", [{}, {"code": None, "reason": None}, {"x": 1}])
    def test_defaults(self, serve: Serve, message: dict[str, Any]) -> None:
        """W32, W33: 1000 and no reason; C11: further keys are let be."""
        socket = Socket(serve)
        socket.sends({"type": "websocket.close", **message})
        assert socket.frames() == [closing(1000)]
        assert socket.events() == [disconnected(1000)]

    @pytest.mark.parametrize("code", [*FORBIDDEN, -1, "1000", 1000.0, True, b"1000", 10**30])
    def test_forbidden_code(self, serve: Serve, code: Any) -> None:
        """RFC 6455, 7.4: codes that no frame may carry; the connection stays usable."""
        socket = Socket(serve)
        with pytest.raises(ApplicationError) as caught:
            socket.sends(closes(code))
        assert str(caught.value) == (
            "websocket.close: expected a code that a close frame may carry (1000 to 1003, "
            f"1007 to 1014, 3000 to 4999), got {code!r}"
        )
        socket.sends(sends_text("a"))
        assert socket.frames() == [Frame(TEXT, b"a")]

    @pytest.mark.parametrize("reason", [b"x", 1, ["x"], "a\r\nb", "\x00", "\x7f", "a\ud800"])
    def test_bad_reason(self, serve: Serve, reason: Any) -> None:
        """S05, C10: text without control characters, that has a form in UTF-8."""
        socket = Socket(serve)
        with pytest.raises(ApplicationError) as caught:
            socket.sends(closes(1000, reason))
        assert str(caught.value).startswith("websocket.close: expected text ")
        socket.sends(sends_text("a"))
        assert socket.frames() == [Frame(TEXT, b"a")]

    @pytest.mark.parametrize(
        ("reason", "sent"),
        [("x" * 123, b"x" * 123), ("x" * 124, b"x" * 123), (LONG, LONG.encode()[:122]),
         ("x" * 122 + "é", b"x" * 122), ("x" * 121 + "é", b"x" * 121 + "é".encode()),
         ("x" * 120 + "😀", b"x" * 120)],
    )  # fmt: skip
    def test_long_reason(self, serve: Serve, reason: str, sent: bytes) -> None:
        """RFC 6455, 5.5: a control frame has 125 octets; cut at a character, never within."""
        socket = Socket(serve)
        socket.sends(closes(4000, reason))
        assert socket.frames() == [closing(4000, sent)]

    def test_str_of_a_subclass(self, serve: Serve) -> None:
        """C16: a framework's own kind of str (Django's SafeString) is text."""

        class Safe(str):
            pass

        socket = Socket(serve)
        socket.sends(closes(4000, Safe("x")))
        assert socket.frames() == [closing(4000, b"x")]

    def test_peer_answers(self, serve: Serve) -> None:
        """RFC 6455, 7.1.1: when the peer has answered, the server closes TCP; nothing is cut."""
        socket = Socket(serve)
        socket.sends(closes(4000))
        assert not socket.wire.closing
        socket.wire.sends(close(4000))
        assert socket.wire.closing
        assert not socket.wire.aborted
        assert socket.wire.lost
        assert socket.frames() == [closing(4000)]

    def test_messages_that_come_still(self, serve: Serve) -> None:
        """RFC 6455, 1.4: what the peer has sent before its answer is dropped; pings too."""
        socket = Socket(serve)
        socket.sends(closes(4000))
        socket.wire.sends(text("a") + b"\x89\x80abcd" + text("b") + close(4000))
        assert socket.frames() == [closing(4000)]
        assert socket.wire.lost
        assert socket.events() == [disconnected(4000)]

    def test_send_after_close(self, serve: Serve) -> None:
        """W40, C13: an OSError, whatever is sent."""
        socket = Socket(serve, application_close_timeout=0)
        socket.sends(closes())
        for message in (sends_text("a"), sends_bytes(b"a"), closes(), closes(4000)):
            with pytest.raises(OSError, match="is closed") as caught:
                socket.sends(message)
            assert type(caught.value) is ConnectionClosed
        assert socket.frames() == [closing(1000)]


class TestSendingToNobody:
    """ASGI WebSocket, "Send - send event": it raises once the connection is closed."""

    def passes(self, socket: Socket, most: int) -> None:
        """This many messages are dropped, and then `send` raises."""
        for _ in range(most):
            socket.sends(sends_text("a"))
        with pytest.raises(ConnectionClosed):
            socket.sends(closes())

    def test_before_disconnect_is_received(self, serve: Serve) -> None:
        """W40: what a full channel layer has for a consumer that has not heard yet."""
        socket = Socket(serve)
        socket.wire.vanishes()
        self.passes(socket, 1024)

    def test_after_disconnect_was_received(self, serve: Serve) -> None:
        """W40: a consumer's `disconnect`, which Channels calls then, may still send a little."""
        socket = Socket(serve)
        socket.sends(sends_text("a"))
        socket.wire.vanishes()
        assert socket.events() == [disconnected(1006)]
        socket.memory.settle()
        self.passes(socket, 16)

    def test_dropped_before_it_was_received(self, serve: Serve) -> None:
        """W40: what was dropped before does not count then."""
        socket = Socket(serve)
        socket.wire.vanishes()
        for _ in range(1000):
            socket.sends(sends_text("a"))
        assert socket.events() == [disconnected(1006)]
        socket.memory.settle()
        self.passes(socket, 16)


class TestPeerCloses:
    """ASGI WebSocket, "Disconnect - receive event"."""

    # autobahn (26.10) does not know 1014, which the registry has had since 2016: it is answered
    # with 1002.
    @pytest.mark.parametrize("code", [code for code in ALLOWED if code != 1014])
    def test_code(self, serve: Serve, code: int) -> None:
        """W28, W29: the code and the reason really received; the answer has the same."""
        socket = Socket(serve)
        socket.wire.sends(close(code, "är".encode()))
        assert socket.frames() == [closing(code, "är".encode())]
        assert socket.events() == [disconnected(code, "är")]
        assert socket.wire.lost
        assert not socket.wire.aborted

    def test_no_code(self, serve: Serve) -> None:
        """W27: 1005 when the frame has none; it is not sent."""
        socket = Socket(serve)
        socket.wire.sends(close(None))
        assert socket.frames() == [closing(None)]
        assert socket.events() == [disconnected(1005)]

    def test_loss(self, serve: Serve) -> None:
        """W26, W28: 1006 when the connection is lost without a close frame."""
        socket = Socket(serve)
        socket.wire.vanishes()
        assert socket.events() == [disconnected(1006)]

    def test_half_closed(self, serve: Serve) -> None:
        """RFC 6455, 7.1.5: the end of the peer's side without a close frame is a loss."""
        socket = Socket(serve)
        socket.wire.fin()
        assert socket.events() == [disconnected(1006)]
        assert socket.wire.lost
        assert socket.memory.server.connections == set()

    def test_is_last_and_repeats(self, serve: Serve) -> None:
        """W26: no event follows it; receiving again returns it again."""
        socket = Socket(serve)
        socket.wire.sends(close(4001) + text("late"))
        assert [socket.receives() for _ in range(3)] == [disconnected(4001)] * 3

    def test_close_then_loss(self, serve: Serve) -> None:
        """W28: the code of the frame stays, whatever happens to the connection then."""
        socket = Socket(serve)
        socket.wire.sends(close(4001)).vanishes()
        assert [socket.receives() for _ in range(2)] == [disconnected(4001)] * 2

    @pytest.mark.parametrize("end", [close(4001), b""])
    def test_unread_messages(self, serve: Serve, end: bytes) -> None:
        """W11, W26: what came before the end is still there to be read, and before it."""
        socket = Socket(serve)
        socket.wire.sends(text("a") + text("b") + end)
        socket.wire.vanishes()
        code = 4001 if end else 1006
        assert socket.events() == [got("a"), got("b"), disconnected(code)]

    def test_waiting_receive(self, serve: Serve) -> None:
        """W26: an application that waits is woken by it."""
        socket = Socket(serve)
        task = socket.memory.loop.create_task(socket.script.receive())
        socket.memory.settle()
        assert not task.done()
        socket.wire.sends(close(4001))
        assert task.result() == disconnected(4001)

    def test_send_after_it(self, serve: Serve) -> None:
        """W40: sending raises."""
        socket = Socket(serve, application_close_timeout=0)
        socket.wire.sends(close())
        socket.wire.take()
        for message in (sends_text("a"), closes()):
            with pytest.raises(ConnectionClosed):
                socket.sends(message)
        assert socket.wire.take() == b""


def test_pong_after_close_frame(serve: Serve) -> None:
    """RFC 6455, 5.5.1: after its close frame an endpoint sends no further frame."""
    socket = Socket(serve, application_close_timeout=0)
    socket.sends(closes())
    socket.wire.sends(b"\x89\x80abcd")
    assert PONG not in [frame.opcode for frame in socket.frames()]
