"""Log lines about connections: each names its connection and the peer, whatever carries it."""

from __future__ import annotations

import gc
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.exceptions import PeerError
from daphne_like.observe import connection_log, loggers
from daphne_like.observe.connection_log import (
    ConnectionLog,
    get_connection_number,
    label,
    label_address,
)
from daphne_like.observe.wire import MAX_SHOWN
from tests.support.h2_frames import goaway
from tests.support.h2_peer import H2Peer
from tests.support.memory import Memory
from tests.support.peers import get, never_answer, post
from tests.support.websocket_frames import ACCEPTS, opening
from tests.support.websocket_peer import close

Serve = Callable[..., Memory]
Log = pytest.LogCaptureFixture

BAD_TEXT = b"\x81\x81\0\0\0\0\xff"

LINE = re.compile(r"\[(\d+)(?:/(\d+))? (192\.0\.2\.\d+:\d+|unix)\] (.+)")


async def accepting(scope: Any, receive: Any, send: Any) -> None:
    """Accept a WebSocket, and read it."""
    await receive()
    await send(ACCEPTS)
    while (await receive())["type"] != "websocket.disconnect":
        pass


@pytest.fixture
def log(caplog: Log) -> Log:
    """All of the server's lines but the octets of connections."""
    caplog.set_level(logging.INFO, "daphne_like.wire")
    caplog.set_level(logging.DEBUG, "daphne_like")
    return caplog


def parts(log: Log) -> list[tuple[str, str | None, str, str]]:
    """Number, stream, peer and text of each line so far; every line must have them."""
    found = [LINE.fullmatch(record.getMessage()) for record in log.records]
    assert None not in found, log.messages
    return [(f[1], f[2], f[3], f[4]) for f in found if f is not None]


def texts(log: Log) -> list[str]:
    """The lines without number and peer."""
    return [text for *_, text in parts(log)]


class Transport:
    """A transport of a peer, perhaps above another one."""

    def __init__(self, peer: Any = None, transport: Any = None) -> None:
        self.peer = peer
        self.transport = transport

    def getPeer(self) -> Any:
        return self.peer


class Peer:
    host, port = "192.0.2.9", 7


class Connection:
    """What lines are about."""

    def __init__(self) -> None:
        self.asked = 0

    def log_label(self) -> str:
        self.asked += 1
        return "[3 192.0.2.9:7]"


class TestLabel:
    """`[number peer]`, before every line about a connection."""

    def test_number_stays(self) -> None:
        """A connection has one number, and another connection has another one."""
        first, second = Transport(), Transport()
        assert (
            get_connection_number(first)
            == get_connection_number(first)
            != get_connection_number(second)
        )

    def test_layers_have_one_number(self) -> None:
        """TLS and a PROXY header are layers of one connection."""
        socket = Transport(Peer)
        tls = Transport(Peer, Transport(Peer, socket))
        assert label(tls) == label(socket)

    def test_numbers_are_short(self) -> None:
        """A connection gets a number with its first line, not before: numbers count up."""
        before = get_connection_number(Transport())
        for _ in range(9):
            Transport()
        assert get_connection_number(Transport()) == before + 1

    def test_peer(self) -> None:
        """The transport's peer, a client that a proxy named, a UNIX socket, a stream."""
        transport = Transport(Peer)
        number = get_connection_number(transport)
        assert label(transport) == f"[{number} 192.0.2.9:7]"
        assert label(transport, ("192.0.2.5", 6)) == f"[{number} 192.0.2.5:6]"
        assert label(transport, None, 5) == f"[{number}/5 192.0.2.9:7]"
        unix = Transport()
        assert label(unix) == f"[{get_connection_number(unix)} unix]"

    def test_closed_before_it_has_a_transport(self) -> None:
        """Each such connection has a number of its own."""
        assert label_address(Peer) != label_address(Peer)
        assert LINE.fullmatch(label_address(Peer) + " closed")

    def test_nothing_is_kept(self) -> None:
        """The number of a connection that is gone takes no memory."""
        transport = Transport()
        get_connection_number(transport)
        before = len(connection_log._numbers)
        del transport
        gc.collect()
        assert len(connection_log._numbers) < before


class TestMarks:
    """One mark for each kind of line."""

    @pytest.mark.parametrize(
        ("method", "mark"),
        [("received", "<"), ("sent", ">"), ("state", "="), ("error", "!"), ("closed", "x"),
         ("timer", "%")],
    )  # fmt: skip
    def test_mark(self, log: Log, method: str, mark: str) -> None:
        """The mark stands behind number and peer; the line is DEBUG."""
        getattr(ConnectionLog("daphne_like.http"), method)(Connection(), "%d of %s", 1, "two")
        (record,) = log.records
        assert record.getMessage() == f"[3 192.0.2.9:7] {mark} 1 of two"
        assert (record.levelno, record.name) == (logging.DEBUG, "daphne_like.http")

    def test_control_characters_are_escaped(self, log: Log) -> None:
        """S06: no octet of a peer commands a terminal, or begins a line of its own."""
        ConnectionLog("daphne_like.http").state(Connection(), "%s", "a\x1b[2J\n[4 b] c")
        assert log.messages == [r"[3 192.0.2.9:7] = a\x1b[2J\n[4 b] c"]

    def test_costs_nothing_when_it_is_not_logged(self, log: Log) -> None:
        """Below the level nothing is formatted, and no number is used up."""
        log.set_level(logging.INFO, "daphne_like")
        connection = Connection()
        lines = ConnectionLog("daphne_like.http")
        lines.timer(connection, "%d", "not a number")
        lines.error(connection, "kept", level=logging.INFO)
        assert connection.asked == 1
        assert log.messages == ["[3 192.0.2.9:7] ! kept"]


class TestHTTP1:
    """Lines about connections of HTTP/1.1."""

    def test_two_connections_can_be_told_apart(self, serve: Serve, log: Log) -> None:
        """Each line begins with its connection's number and names the peer."""
        memory = serve(never_answer)
        wires = [memory.connect(), memory.connect()]
        for wire in wires:
            wire.sends(b"GET / HT")
        memory.passes(11)
        for wire in wires:
            wire.vanishes()
        numbers = [get_connection_number(wire) for wire in wires]
        for number in numbers:
            assert [text for n, *_, text in parts(log) if n == str(number)] == [
                "% timed out waiting for REQUEST_HEAD",
                "Refused with 408: The request head took too long.",
                "x Connection to the other side was lost in a non-clean fashion.",
            ]
        assert len(set(numbers)) == 2

    def test_application_fails(self, serve: Serve, log: Log) -> None:
        """The line of an application's exception names the client."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            raise ValueError

        serve(application).connect().sends(get())
        assert texts(log)[0] == (
            "Application for GET '/' raised ValueError before its response began"
        )

    def test_client_of_a_proxy(self, serve: Serve, log: Log) -> None:
        """The client that a trusted proxy names stands in the lines of its request."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            raise ValueError

        memory = serve(
            application,
            trusted_proxies="192.0.2.1",
            proxy_headers=True,
            action_logger=lambda *entry: None,
        )
        memory.connect().sends(get(b"/", b"X-Forwarded-For: 192.0.2.77"))
        assert parts(log)[0][2:] == (
            "192.0.2.77:0",
            "Application for GET '/' raised ValueError before its response began",
        )

    def test_unix_socket(self, serve: Serve, log: Log) -> None:
        """A peer without an address."""
        wire = serve(never_answer).connect()
        wire.peer = None
        wire.sends(b"nonsense\r\n\r\n")
        assert [peer for _, _, peer, _ in parts(log)] == ["unix"]


class TestHTTP2:
    """Lines about connections and streams of HTTP/2."""

    def test_stream(self, serve: Serve, log: Log) -> None:
        """Lines about a stream have its number behind the connection's."""
        peer = H2Peer(serve(never_answer, max_body_size=2))
        log.clear()
        peer.asks(b"POST", body=b"abc")
        ((number, stream, _, text),) = parts(log)
        assert (number, stream) == (str(get_connection_number(peer.wire)), "1")
        assert text == "Refused with 413: The body is too large."

    def test_connection(self, serve: Serve, log: Log) -> None:
        """A GOAWAY is told of both ways, and so is the end."""
        peer = H2Peer(serve(never_answer))
        log.clear()
        peer.sends(goaway(0))
        peer.wire.vanishes()
        assert {number for number, *_ in parts(log)} == {str(get_connection_number(peer.wire))}
        assert [text[:9] for text in texts(log)][:2] == ["< GoAwayF", "> GoAwayF"]
        assert texts(log)[-1].startswith("x ")

    def test_silent_peer(self, serve: Serve, log: Log) -> None:
        """A ping without an answer is an INFO line with number and peer."""
        memory = serve(never_answer, h2_ping_interval=10, ping_timeout=5)
        H2Peer(memory).asks()
        memory.passes(10.5)
        memory.passes(10.5)
        memory.passes(6)
        assert "! ping not answered; closing the connection" in texts(log)
        assert logging.INFO in [r.levelno for r in log.records if "ping not" in r.getMessage()]


class TestWebSocket:
    """Lines about WebSockets."""

    def test_from_handshake_to_end(self, serve: Serve, log: Log) -> None:
        """A WebSocket has the number of the connection that it was opened on."""
        wire = serve(accepting).connect().sends(opening())
        wire.sends(close(1000, b"bye"))
        assert {number for number, *_ in parts(log)} == {str(get_connection_number(wire))}
        assert texts(log) == [
            "= upgraded to WebSocket",
            "< close frame 1000 b'bye'",
            "> close frame 1000 b'bye'",
            "x Connection was closed cleanly.",
        ]

    def test_failure(self, serve: Serve, log: Log) -> None:
        """What a peer does wrong is told with its close code."""
        serve(accepting).connect().sends(opening(), BAD_TEXT)
        assert any(text.startswith("! failed with 1007") for text in texts(log))


class TestWire:
    """The octets of connections: `daphne_like.wire`, at -v 3."""

    @pytest.fixture
    def wire_log(self, caplog: Log) -> Log:
        caplog.set_level(logging.DEBUG, "daphne_like.wire")
        return caplog

    def test_in_and_out(self, serve: Serve, wire_log: Log) -> None:
        """`<` shows what came, `>` what went out, escaped as Python writes octets."""
        wire = serve(never_answer).connect().sends(b"nonsense\x1b\r\n\r\n")
        lines = texts(wire_log)
        assert lines[0] == "= connected"
        assert lines[1] == r"< 13 octets: b'nonsense\x1b\r\n\r\n'"
        assert any(line.startswith("> ") and "400 Bad Request" in line for line in lines)
        assert b"400 Bad Request" in wire.written

    def test_long_reads_are_cut(self, serve: Serve, wire_log: Log) -> None:
        """The first MAX_SHOWN octets are shown, and how many there are."""
        serve(never_answer).connect().sends(post(b"x" * 4096))
        (line,) = [line for line in texts(wire_log) if line.startswith("< ")]
        assert re.match(r"< 4\d\d\d octets: b'POST ", line)
        assert line.endswith("...")
        assert len(line) < 4 * MAX_SHOWN

    def test_websocket(self, serve: Serve, wire_log: Log) -> None:
        """The WebSocket of a connection is shown, too."""
        wire = serve(accepting).connect().sends(opening())
        wire_log.clear()
        wire.sends(close(1000))
        assert any(line.startswith("< 8 octets") for line in texts(wire_log))
        assert any(line.startswith("> 4 octets") for line in texts(wire_log))
        assert wire.written.endswith(b"\x88\x02\x03\xe8")

    def test_half_close(self, serve: Serve, wire_log: Log) -> None:
        """The peer's FIN comes through."""
        wire = serve(never_answer).connect()
        wire.fin()
        assert wire.closing

    def test_no_wrapper_when_it_is_off(self, serve: Serve, log: Log) -> None:
        """Nothing stands between a transport and its connection unless the octets are logged."""
        wire = serve(never_answer).connect()
        assert type(wire.protocol).__name__ == "HTTP1Connection"
        assert wire.protocol.transport is wire


class TestVerbosity:
    """-v 2 has our own lines alone; -v 3 what libraries say of their work, and octets."""

    NAMES = ("daphne_like.wire", *loggers.LIBRARIES)

    @pytest.fixture
    def levels(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[int]]:
        """levels(): of those loggers, which begin without one."""
        for name in self.NAMES:
            monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
        return lambda: {logging.getLogger(name).level for name in self.NAMES}

    @pytest.mark.parametrize("verbosity", [0, 1, 2])
    def test_left_out(self, levels: Callable[[], set[int]], verbosity: int) -> None:
        """No library's DEBUG and INFO below -v 3."""
        loggers.leave_out_internals(verbosity)
        assert levels() == {logging.INFO, logging.WARNING}

    def test_shown(self, levels: Callable[[], set[int]]) -> None:
        """-v 3 leaves the levels alone."""
        loggers.leave_out_internals(3)
        assert levels() == {logging.NOTSET}

    def test_configured(self, levels: Callable[[], set[int]]) -> None:
        """A level that somebody has configured stays."""
        logging.getLogger("h2").level = logging.DEBUG
        loggers.leave_out_internals(2)
        assert logging.getLogger("h2").level == logging.DEBUG


def test_refusals_of_any_kind(log: Log) -> None:
    """The label that a refusal is given stands at the beginning."""
    from daphne_like.observe import refusals

    refusals.limit.sum_up(at_once=True)
    log.clear()
    refusals.refused("[1 unix]", PeerError(400, "No."))
    refusals.refused_connection("[1/3 unix]", "PROTOCOL_ERROR", "no")
    refusals.refused_handshake("[2 unix]", "no")
    assert log.messages == [
        "[1 unix] Refused with 400: No.",
        "[1/3 unix] Refused with PROTOCOL_ERROR: no",
        "[2 unix] Refused in its TLS handshake: no",
    ]
    refusals.limit.sum_up(at_once=True)
