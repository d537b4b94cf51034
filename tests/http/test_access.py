"""Entries of the access log for each way in which an exchange ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.applications import ERROR_500, GET, Script, body, post, start
from tests.support.h2_frames import reset
from tests.support.h2_peer import H2Peer
from tests.support.memory import Memory, Wire
from tests.support.peers import never_answer

Serve = Callable[..., Memory]


class Entries:
    """An action logger: status and size of each exchange."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, Any]] = []
        self.details: list[dict[str, Any]] = []

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        assert (protocol, action) == ("http", "complete")
        self.told.append((details["status"], details["size"]))
        self.details.append(details)


@pytest.fixture
def entries() -> Entries:
    return Entries()


def streaming(serve: Serve, entries: Entries) -> tuple[Script, Memory, Wire]:
    """An exchange within its answer: three octets are out."""
    script = Script()
    memory = serve(script, action_logger=entries)
    wire = memory.connect().sends(GET)
    for message in (start(), body(b"abc", more=True)):
        memory.loop.run_until_complete(script.send(message))
    memory.settle()
    assert entries.told == []
    return script, memory, wire


class TestNothingSent:
    """A client that leaves before its response is not a failure: the line has no status."""

    @pytest.mark.parametrize("end", [Wire.fin, Wire.vanishes])
    def test_application_returns(
        self, serve: Serve, entries: Entries, end: Callable[[Wire], None]
    ) -> None:
        """H28: it returns at http.disconnect: no answer, one line, the connection closed."""
        wire = serve(never_answer, action_logger=entries).connect().sends(GET)
        end(wire)
        assert (entries.told, wire.written, wire.lost) == ([(None, 0)], b"", True)

    @pytest.mark.parametrize("end", [Wire.fin, Wire.vanishes])
    def test_application_is_cancelled(
        self, serve: Serve, entries: Entries, end: Callable[[Wire], None]
    ) -> None:
        """C17: it does not listen, and is cancelled."""
        memory = serve(Script(), action_logger=entries)
        wire = memory.connect().sends(GET)
        end(wire)
        memory.passes(11)
        assert (entries.told, wire.written, wire.lost) == ([(None, 0)], b"", True)

    def test_head_held(self, serve: Serve, entries: Entries) -> None:
        """http.response.start alone sends nothing."""
        script = Script()
        memory = serve(script, action_logger=entries)
        wire = memory.connect().sends(GET)
        memory.loop.run_until_complete(script.send(start(404)))
        wire.vanishes()
        assert entries.told == [(None, 0)]

    def test_body_cut_short(self, serve: Serve, entries: Entries) -> None:
        """A FIN within the request body."""
        serve(never_answer, action_logger=entries).connect().sends(post(b"ab", length=5)).fin()
        assert entries.told == [(None, 0)]

    def test_answers_before_it_go_out(self, serve: Serve, entries: Entries) -> None:
        """Of pipelined requests, the one before it has its answer."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/2":
                await never_answer(scope, receive, send)
            else:
                await send(start())
                await send(body(b"x"))

        wire = serve(application, action_logger=entries).connect()
        wire.gets(GET + GET.replace(b"/", b"/2", 1))
        wire.fin()
        assert wire.written.endswith(b"\r\n\r\nx")
        assert entries.told == [(200, 1), (None, 0)]


class TestFailures:
    """C12: the application's own failure is 500, whether anybody still reads it or not."""

    def test_raising_after_fin(self, serve: Serve, entries: Entries, caplog: Any) -> None:
        """It raises when its peer has closed its side."""
        script = Script()
        wire = (memory := serve(script, action_logger=entries)).connect().sends(GET)
        wire.fin()
        script.raises(ValueError("on purpose"))
        memory.settle()
        assert entries.told == [(500, 22)]
        assert wire.written.startswith(ERROR_500[:36])

    def test_returning_when_the_server_stops(self, serve: Serve, entries: Entries) -> None:
        """It was told to end because of the server: the peer is there, and has an answer."""
        memory = serve(never_answer, action_logger=entries)
        wire = memory.connect().sends(GET)
        wire.protocol.disconnect_application()
        memory.settle()
        assert entries.told == [(500, 22)]
        assert wire.written.startswith(ERROR_500[:36])


class TestPartSent:
    """A response that ends early has a line too, with the octets that were sent."""

    def test_client_leaves(self, serve: Serve, entries: Entries) -> None:
        """The connection is lost; what the application does later is no second line."""
        script, memory, wire = streaming(serve, entries)
        wire.vanishes()
        assert entries.told == [(200, 3)]
        script.returns()
        memory.settle()
        assert entries.told == [(200, 3)]

    @pytest.mark.parametrize("end", ["raises", "returns"])
    def test_aborted(self, serve: Serve, entries: Entries, end: str, caplog: Any) -> None:
        """C12: it is cut, as the application has not finished it."""
        script, memory, wire = streaming(serve, entries)
        if end == "raises":
            script.raises(ValueError("on purpose"))
        else:
            script.returns()
        memory.settle()
        assert wire.aborted
        assert entries.told == [(200, 3)]

    def test_too_slow(self, serve: Serve, entries: Entries) -> None:
        """--http-timeout passes within it."""
        script = Script()
        memory = serve(script, action_logger=entries, http_timeout=1)
        memory.connect().sends(GET)
        memory.loop.run_until_complete(script.send(start()))
        memory.loop.run_until_complete(script.send(body(b"abc", more=True)))
        memory.passes(2)
        assert entries.told == [(200, 3)]


def test_whole_answers(serve: Serve, entries: Entries) -> None:
    """The usual end: one line, and none when the connection is lost later."""
    script = Script()
    memory = serve(script, action_logger=entries)
    wire = memory.connect().sends(GET)
    for message in (start(), body(b"abc")):
        memory.loop.run_until_complete(script.send(message))
    wire.vanishes()
    assert entries.told == [(200, 3)]


class TestDetails:
    """Details of responses that are cut, or sent in several parts."""

    def test_whole(self, serve: Serve, entries: Entries) -> None:
        """Neither: a response in one write."""
        script = Script()
        memory = serve(script, action_logger=entries)
        memory.connect().sends(GET)
        for message in (start(), body(b"abc")):
            memory.loop.run_until_complete(script.send(message))
        assert set(entries.details[0]) == {
            "path", "status", "method", "client", "time_taken", "size",
        }  # fmt: skip

    def test_client_leaves(self, serve: Serve, entries: Entries) -> None:
        """Its client has a part: it is cut."""
        _, _, wire = streaming(serve, entries)
        wire.vanishes()
        assert entries.details[0]["cut"] is True

    def test_aborted(self, serve: Serve, entries: Entries, caplog: Any) -> None:
        """The application fails within it: it is cut."""
        script, memory, _ = streaming(serve, entries)
        script.raises(ValueError("on purpose"))
        memory.settle()
        assert entries.details[0]["cut"] is True

    def test_in_parts(self, serve: Serve, entries: Entries) -> None:
        """Its head has a time of its own; a stream that is whole is not cut."""
        script = Script()
        memory = serve(script, action_logger=entries)
        memory.connect().sends(GET)
        memory.now += 0.5
        for message in (start(), body(b"a", more=True)):
            memory.loop.run_until_complete(script.send(message))
        memory.now += 60
        memory.loop.run_until_complete(script.send(body(b"b")))
        memory.settle()
        details = entries.details[0]
        assert (details["time_to_head"], details["time_taken"]) == (0.5, 60.5)
        assert "cut" not in details

    def test_stream_of_http2(self, serve: Serve, entries: Entries) -> None:
        """The same over HTTP/2: reset within the response."""
        script = Script()
        memory = serve(script, action_logger=entries)
        peer = H2Peer(memory)
        number = peer.asks()
        memory.now += 0.5
        for message in (start(), body(b"abc", more=True)):
            memory.loop.run_until_complete(script.send(message))
        memory.settle()
        peer.sends(reset(number))
        details = entries.details[0]
        assert (details["status"], details["cut"], details["time_to_head"]) == (200, True, 0.5)

    def test_servers_own_answer_over_http2(self, serve: Serve, entries: Entries) -> None:
        """It is whole, with its size."""
        memory = serve(never_answer, action_logger=entries, http_timeout=1)
        peer = H2Peer(memory)
        peer.asks()
        memory.passes(2)
        assert entries.told == [(503, len("Application failed to respond within time limit.") + 1)]
        assert "cut" not in entries.details[0]
