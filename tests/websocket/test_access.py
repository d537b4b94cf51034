"""Entries of the access log for WebSockets."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.observe.access import AccessLog
from tests.support.memory import Memory
from tests.support.websocket_frames import ACCEPTS, OPENING, Socket, closes, opening, text
from tests.support.websocket_peer import close

Serve = Callable[..., Memory]

CLIENT = "192.0.2.1:50000"


class Logged:
    """A server's access log: what it was told, and the lines that came of it.

    Attributes:
        told: protocol, action and details of each entry.
        lines: as written, the date replaced by `..`.
    """

    def __init__(self) -> None:
        self.told: list[tuple[str, str, dict[str, Any]]] = []
        self._written: list[str] = []
        logger = logging.Logger("test", logging.INFO)
        handler = logging.Handler()
        handler.emit = lambda record: self._written.append(record.getMessage())  # type: ignore[method-assign]
        logger.addHandler(handler)
        self.log = AccessLog(logger)

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        self.told.append((protocol, action, details))
        self.log(protocol, action, details)

    @property
    def lines(self) -> list[str]:
        self.log.flush()
        return [
            re.sub(r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\]", "[..]", line) for line in self._written
        ]


@pytest.fixture
def logged() -> Logged:
    return Logged()


def said(action: str, rest: str, path: str = "/chat") -> str:
    return f'{CLIENT} - - [..] "{action} {path}" {rest}'


class TestEntries:
    """The arguments for Daphne's action logger."""

    def test_whole_life(self, serve: Serve, logged: Logged) -> None:
        """connecting, connected, disconnected with the code; times since the handshake came."""
        socket = Socket(serve, accept=None, action_logger=logged)
        socket.memory.now += 0.5
        socket.sends(ACCEPTS)
        socket.memory.now += 2
        socket.wire.sends(close(4001))
        common = {"path": "/chat", "client": CLIENT}
        assert logged.told == [
            ("websocket", "connecting", {**common, "time_taken": 0}),
            ("websocket", "connected", {**common, "time_taken": 0.5}),
            ("websocket", "disconnected", {**common, "time_taken": 2.5, "code": 4001}),
        ]

    def test_rejected(self, serve: Serve, logged: Logged) -> None:
        """rejected, with the status."""
        socket = Socket(serve, accept=None, action_logger=logged)
        socket.memory.now += 0.5
        socket.sends(closes())
        assert [action for _, action, _ in logged.told] == ["connecting", "rejected"]
        details = logged.told[-1][2]
        assert (details["path"], details["client"]) == ("/chat", CLIENT)
        assert (details["status"], details["time_taken"]) == (403, 0.5)


class TestLines:
    """NCSA's form, as for requests."""

    def test_connecting_and_connected(self, serve: Serve, logged: Logged) -> None:
        """A line each, without a status."""
        Socket(serve, action_logger=logged)
        assert logged.lines == [said("WSCONNECTING", "- -"), said("WSCONNECT", "- -")]

    @pytest.mark.parametrize("code", [1000, 1001, 4999])
    @pytest.mark.parametrize("end", ["peer", "server"])
    def test_disconnected(self, serve: Serve, logged: Logged, end: str, code: int) -> None:
        """The entry has the close code instead of the status, and the duration in seconds."""
        socket = Socket(serve, action_logger=logged)
        socket.memory.now += 12.3454
        if end == "peer":
            socket.wire.sends(close(code))
        else:
            socket.sends(closes(code))
            socket.memory.now += 100
            socket.wire.sends(close(code))
        assert logged.lines[2:] == [said("WSDISCONNECT", f"{code} - 12.345")]

    @pytest.mark.parametrize(
        ("octets", "code"), [(close(None), 1005), (b"", 1006), (b"\x81\x01a", 1002)]
    )
    def test_codes_that_no_frame_has(
        self, serve: Serve, logged: Logged, octets: bytes, code: int
    ) -> None:
        """W27, W28: 1005, 1006 and the codes of a failure, too; one line each."""
        socket = Socket(serve, action_logger=logged)
        socket.wire.sends(octets)
        socket.wire.vanishes()
        assert logged.lines[2:] == [said("WSDISCONNECT", f"{code} - 0.000")]

    def test_lost_before_the_answer(self, serve: Serve, logged: Logged) -> None:
        """A peer that leaves before the accept was never connected, but is logged."""
        socket = Socket(serve, accept=None, action_logger=logged)
        socket.wire.vanishes()
        assert logged.lines == [said("WSCONNECTING", "- -"), said("WSDISCONNECT", "1006 - 0.000")]

    def test_refused(self, serve: Serve, logged: Logged) -> None:
        """403 of a close, with the octets of the server's answer."""
        socket = Socket(serve, accept=None, action_logger=logged)
        socket.sends(closes())
        assert logged.lines[1:] == [said("WSREJECT", "403 39 0.000")]

    def test_denied(self, serve: Serve, logged: Logged) -> None:
        """The application's own status, and the octets of its body."""
        socket = Socket(serve, accept=None, action_logger=logged)
        socket.sends(
            {"type": "websocket.http.response.start", "status": 401},
            {"type": "websocket.http.response.body", "body": b"Log in"},
        )
        assert logged.lines[1:] == [said("WSREJECT", "401 6 0.000")]

    @pytest.mark.parametrize("end", ["raises", "vanishes"])
    def test_denial_that_is_cut(self, serve: Serve, logged: Logged, end: str) -> None:
        """A denial that does not come to its end has one line."""
        socket = Socket(serve, accept=None, action_logger=logged)
        socket.sends(
            {"type": "websocket.http.response.start", "status": 401},
            {"type": "websocket.http.response.body", "body": b"Log", "more_body": True},
        )
        if end == "raises":
            socket.script.raises(ValueError())
            socket.memory.settle()
            assert logged.lines[1:] == [said("WSREJECT", "401 3 0.000 cut")]
        else:
            socket.wire.vanishes()
            assert logged.lines[1:] == [said("WSDISCONNECT", "1006 - 0.000")]

    @pytest.mark.parametrize(
        ("end", "rest"), [("raises", "500 22 0.000"), ("waits", "503 49 6.000")]
    )
    def test_failed(self, serve: Serve, logged: Logged, end: str, rest: str) -> None:
        """500 and 503 in the application's place."""
        socket = Socket(serve, accept=None, action_logger=logged)
        if end == "raises":
            socket.script.raises(ValueError())
            socket.memory.settle()
        socket.memory.passes(6)
        assert logged.lines[1:] == [said("WSREJECT", rest)]

    def test_path(self, serve: Serve, logged: Logged) -> None:
        """S06: the target as it came: escapes are not decoded for a terminal to obey."""
        socket = Socket(serve, action_logger=logged)
        socket.memory.connect().sends(opening(line=b"GET /%1b%5B31m?a=%0a HTTP/1.1"))
        assert logged.lines[2:] == [said("WSCONNECTING", "- -", "/%1b%5B31m?a=%0a")]

    def test_no_client(self, serve: Serve, logged: Logged) -> None:
        """A peer on a UNIX socket has no address: a dash."""
        socket = Socket(serve, accept=None, action_logger=logged)
        wire = socket.memory.connect()
        wire.peer = None
        wire.sends(OPENING)
        assert logged.lines[1:] == ['- - - [..] "WSCONNECTING /chat" - -']

    def test_scope_is_the_applications(self, serve: Serve, logged: Logged) -> None:
        """C18: what it does to its scope is not seen here."""
        socket = Socket(serve, action_logger=logged)
        socket.script.scope.clear()
        socket.wire.sends(close(1000))
        assert logged.lines[2:] == [said("WSDISCONNECT", "1000 - 0.000")]

    def test_messages_are_no_lines(self, serve: Serve, logged: Logged) -> None:
        """One WebSocket, three lines."""
        socket = Socket(serve, action_logger=logged)
        socket.wire.sends(text("a") * 100)
        assert len(logged.lines) == 2
