"""One connection takes a few milliseconds of a turn, whatever it sends, and pays for what is small.

The costs are in daphne_like/http/h2/flood_budget.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hpack import Encoder

from daphne_like.http.h2.flood_budget import BURST, MAX_TURN_COST, MIN_DATA
from tests.support.applications import Script, body, read_all, sending, start
from tests.support.h2_blocks import (
    BLOCK,
    CODED,
    CRUMBS,
    FRAME,
    GET,
    HEADERS,
    TINY,
    asking,
    block,
    sectioned,
)
from tests.support.h2_codes import CALM, NO_ERROR, REFUSED
from tests.support.h2_frames import PREFACE, data, ping, raw, settings, window
from tests.support.h2_peer import H2Peer
from tests.support.h2_websocket import Echo, Opened
from tests.support.memory import Memory
from tests.support.peers import answer_at_once, never_answer
from tests.support.websocket_opcodes import BINARY, TEXT
from tests.support.websocket_peer import frame

Serve = Callable[..., Memory]

MANY = 2 * MAX_TURN_COST
"""One-octet DATA frames that take more than one turn, and less than two of the peer's windows."""


SECTIONS = {"tiny fields": TINY, "Huffman code": CODED, "cookie crumbs": CRUMBS}


class Flooding:
    """A peer that has sent more on one stream than one turn works through.

    Attributes:
        connection: the server's, which holds the rest.
    """

    def __init__(self, memory: Memory, part: bytes = data(1, b"x"), count: int = MANY) -> None:
        self.memory = memory
        self.peer = H2Peer(memory)
        self.wire = self.peer.wire
        self.connection: Any = self.wire.protocol.upgraded_to
        self.peer.asks(b"POST", body=b"", ends=False)
        self.wire.protocol.dataReceived(part * count)
        assert self.connection._held is not None


class TestTurns:
    """S27: other connections are served, and nothing is lost."""

    FLOODS = {
        "DATA of one octet": data(1, b"x") * MANY,
        "padded DATA of one octet": data(1, b"x", padding=0) * MANY,
        "pings": ping() * 350,
        "settings": settings() * 350,
        "windows": window(0, 1024) * 350,
    }

    @pytest.mark.parametrize("name", FLOODS)
    def test_others_come_first(self, serve: Serve, name: str) -> None:
        """A request that comes behind a flood is served before the flood is worked through."""
        memory = serve(answer_at_once)
        other, flooding = H2Peer(memory), H2Peer(memory)
        flooding.asks(b"POST", body=b"", ends=False)
        connection = flooding.wire.protocol.upgraded_to
        flooding.wire.protocol.dataReceived(self.FLOODS[name])
        assert flooding.wire.paused, "it is read no further"
        other.wire.protocol.dataReceived(other.head(1, GET))
        assert connection._held is not None
        assert other.wire.protocol.upgraded_to.streams
        memory.settle()
        assert connection._held is None
        assert not flooding.wire.paused
        assert not flooding.wire.closing

    @pytest.mark.parametrize("name", SECTIONS)
    def test_sections(self, serve: Serve, name: str) -> None:
        """A turn has one field section that takes long to decode; others have several after it."""
        memory = serve(answer_at_once)
        peer = H2Peer(memory)
        octets = b"".join(sectioned(number, SECTIONS[name]) for number in (1, 3, 5))
        peer.wire.protocol.dataReceived(octets)
        connection = peer.wire.protocol.upgraded_to
        seen = [connection._h2.frames.highest]
        for _ in range(12):
            memory.loop.run_once()
            seen.append(connection._h2.frames.highest)
        assert seen[:2] == [1, 1]
        assert seen.count(3) >= 2
        assert seen[-1] == 5

    def test_several_reads_of_one_turn(self, serve: Serve) -> None:
        """However many reads a turn brings, they share what it may cost."""
        memory = serve(never_answer)
        peer = H2Peer(memory)
        peer.asks(b"POST", body=b"", ends=False)
        (exchange,) = memory.server.instances
        for _ in range(32):
            peer.wire.protocol.dataReceived(data(1, b"x") * 1000)
        assert exchange.received <= MAX_TURN_COST

    def test_small_reads_of_one_turn(self, serve: Serve) -> None:
        """And however small they are: TLS hands over each of its records."""
        memory = serve(never_answer)
        peer = H2Peer(memory)
        peer.asks(b"POST", body=b"", ends=False)
        (exchange,) = memory.server.instances
        for _ in range(3000):
            peer.wire.protocol.dataReceived(data(1, b"x"))
        assert exchange.received <= MAX_TURN_COST // 5
        assert peer.wire.paused
        memory.settle()
        assert exchange.received == 3000

    def test_reads_of_many_turns(self, serve: Serve) -> None:
        """Each iteration of the event loop has the full cost limit again."""
        memory = serve(never_answer)
        peer = H2Peer(memory)
        peer.asks(b"POST", body=b"", ends=False)
        paused: list[bool] = []
        for _ in range(100):
            peer.wire.protocol.dataReceived(data(1, b"x") * 40)
            paused.append(peer.wire.paused)
            memory.loop.run_once()
        assert not any(paused)

    def test_everything_arrives(self, serve: Serve) -> None:
        """Stored input and later input reach the application in order."""
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory)
        number = peer.asks(b"POST", body=b"", ends=False)
        octets = bytes(range(256)) * 40
        receive = peer.wire.protocol.dataReceived
        receive(b"".join(data(number, octets[at : at + 1]) for at in range(5000)))
        receive(b"".join(data(number, octets[at : at + 1]) for at in range(5000, 9000)))
        receive(data(number, octets[9000:], ends=True))
        memory.settle()
        assert not peer.wire.paused
        got, more = b"", True
        while more:
            event = memory.loop.run_until_complete(asyncio.wait_for(script.receive(), 1))
            got, more = got + event["body"], event["more_body"]
        assert got == octets

    def test_upload_is_not_held(self, serve: Serve) -> None:
        """A window full of large DATA frames is worked through at once."""
        memory = serve(read_all)
        peer = H2Peer(memory)
        numbers = [peer.asks(b"POST", body=b"", ends=False) for _ in range(15)]
        octets = b"".join(data(number, b"x" * FRAME) * 4 for number in numbers)
        peer.wire.protocol.dataReceived(octets)
        assert not peer.wire.paused

    def test_a_hundred_requests_are_not_held(self, serve: Serve) -> None:
        """As many small requests at once as clients send."""
        memory = serve(answer_at_once)
        peer = H2Peer(memory)
        section = b"\x82\x86\x84\x01\1x"  # no octets to decode, the second time
        octets = b"".join(raw(HEADERS, 5, number, section) for number in range(1, 201, 2))
        peer.wire.protocol.dataReceived(octets)
        assert not peer.wire.paused

    def test_tunnel(self, serve: Serve) -> None:
        """RFC 8441: a WebSocket's frames in DATA of one octet are whole messages, and in order."""
        echo = Echo()
        memory = serve(echo)
        opened = Opened(H2Peer(memory))
        octets = b"".join(frame(TEXT, b"%d" % number) for number in range(600))
        pieces = [data(opened.number, octets[at : at + 1]) for at in range(len(octets))]
        opened.peer.wire.protocol.dataReceived(b"".join(pieces))
        assert opened.peer.wire.paused
        memory.settle()
        assert [one.payload for one in opened.frames()] == [b"%d" % n for n in range(600)]

    def test_tunnel_is_given_octets_together(self, serve: Serve, monkeypatch: Any) -> None:
        """A protocol is called once for what came in one turn, and not for each octet."""
        memory = serve(Echo())
        opened = Opened(H2Peer(memory))
        tunnel = opened.peer.wire.protocol.upgraded_to.streams[opened.number].tunnel
        calls: list[int] = []
        received = tunnel.protocol.dataReceived
        monkeypatch.setattr(
            type(tunnel.protocol), "dataReceived",
            lambda protocol, octets: (calls.append(len(octets)), received(octets)),
        )  # fmt: skip
        octets = frame(BINARY, b"x" * 500)
        opened.peer.wire.sends(b"".join(data(opened.number, bytes((one,))) for one in octets))
        assert calls == [len(octets)]

    def test_tunnel_with_many_messages(self, serve: Serve) -> None:
        """Messages count as well as frames: many streams with many of them take more turns."""
        memory = serve(Echo())
        peer = H2Peer(memory)
        opened = [Opened(peer) for _ in range(20)]
        octets = frame(TEXT, b"") * 2300
        peer.wire.protocol.dataReceived(b"".join(data(one.number, octets) for one in opened))
        assert peer.wire.paused
        memory.settle()
        assert not peer.wire.paused

    def test_end_of_a_tunnel(self, serve: Serve) -> None:
        """Input before the end or the reset of a stream is read first."""
        for ending in (data(1, b"", ends=True), raw(3, 0, 1, b"\0\0\0\x08")):
            received: list[Any] = []

            async def application(scope: Any, receive: Any, send: Any) -> None:
                await receive()
                await send({"type": "websocket.accept"})
                while (event := await receive())["type"] == "websocket.receive":
                    received.append(event["text"])  # noqa: B023 # called in this round alone

            memory = serve(application)
            opened = Opened(H2Peer(memory))
            opened.peer.sends(data(1, frame(TEXT, b"last")) + ending)
            assert received == ["last"]


class TestHeld:
    """A connection whose input is stored."""

    def test_its_head_is_not_waited_for(self, serve: Serve) -> None:
        """S35: the time for a frame counts when it is the peer that is waited for."""
        memory = serve(never_answer)
        flooding = Flooding(memory, data(1, b"x") * MANY + raw(HEADERS, 5, 3, BLOCK)[:-1], 1)
        flooding.wire.stops_reading()
        memory.passes(11)
        assert not flooding.wire.closing
        flooding.wire.reads_on()
        assert flooding.connection._held is None
        memory.passes(11)
        assert flooding.wire.closing, "and then it is"

    def test_body_rate(self, serve: Serve) -> None:
        """The time of a body does not pass while its octets are held."""
        memory = serve(never_answer, body_timeout=5, write_timeout=100)
        flooding = Flooding(memory)
        memory.settle()
        memory.passes(6)
        flooding.wire.protocol.dataReceived(data(1, b"x") * MANY)
        flooding.wire.stops_reading()
        memory.passes(6)
        flooding.peer.read()
        assert flooding.peer.answer(1).status is None
        flooding.wire.reads_on()
        memory.passes(6)
        memory.passes(6)
        flooding.peer.read()
        assert flooding.peer.answer(1).status == 408

    def test_idle(self, serve: Serve) -> None:
        """The next request is not too late while it is held."""
        memory = serve(read_all, keep_alive_timeout=5, write_timeout=100)
        request = raw(HEADERS, 5, 3, BLOCK)
        octets = data(1, b"", ends=True) + ping() * 250 + request
        flooding = Flooding(memory, octets, 1)
        flooding.wire.stops_reading()
        memory.passes(6)
        assert not flooding.wire.closing
        flooding.wire.reads_on()
        flooding.peer.read()
        assert flooding.peer.answer(3).status == 200

    def test_ping(self, serve: Serve) -> None:
        """A peer with input that is held is there, and need not answer a ping for it."""
        memory = serve(never_answer, h2_ping_interval=5, ping_timeout=5)
        flooding = Flooding(memory)
        memory.passes(6)
        memory.passes(6)
        flooding.wire.protocol.dataReceived(data(1, b"x") * MANY)
        memory.passes(1)
        memory.passes(6)
        assert not flooding.wire.closing

    def test_peer_that_does_not_read(self, serve: Serve) -> None:
        """S13: nothing more is worked through for a peer that does not take its answers."""
        memory = serve(never_answer)
        flooding = Flooding(memory)
        (exchange,) = memory.server.instances
        before = exchange.received
        flooding.wire.stops_reading()
        memory.settle()
        assert exchange.received == before
        assert flooding.wire.paused
        flooding.wire.reads_on()
        assert exchange.received == MANY
        assert not flooding.wire.paused

    def test_peer_that_never_reads(self, serve: Serve) -> None:
        """And it is closed, held input or not."""
        memory = serve(never_answer, write_timeout=5)
        flooding = Flooding(memory)
        flooding.wire.stops_reading()
        memory.passes(6)
        assert flooding.wire.aborted

    def test_half_close(self, serve: Serve) -> None:
        """The peer's FIN comes behind what it has sent: a request that is held is answered."""
        memory = serve(read_all)
        last = data(1, b"x") * MANY + data(1, b"", ends=True)
        flooding = Flooding(memory, last, 1)
        flooding.wire.fin()
        flooding.peer.read()
        assert flooding.peer.answer(1).body == b"%d" % MANY
        assert flooding.peer.gone == [(NO_ERROR, 1)]
        assert flooding.wire.closing

    def test_loss(self, serve: Serve) -> None:
        """A connection that is lost reads no more of what is held, and leaves nothing behind."""
        memory = serve(read_all)
        flooding = Flooding(memory)
        flooding.wire.vanishes()
        assert not memory.server.connections
        assert not memory.server.instances
        assert flooding.connection._held is None

    def test_stop(self, serve: Serve) -> None:
        """A request that is held when the server says goodbye is refused: it may be sent again."""
        memory = serve(read_all)
        octets = data(1, b"x") * MANY + raw(HEADERS, 5, 3, BLOCK) + data(1, b"", ends=True)
        flooding = Flooding(memory, octets, 1)
        flooding.connection.close_when_idle()
        memory.settle()
        flooding.peer.read()
        assert flooding.peer.gone == [(NO_ERROR, 1)]
        assert flooding.peer.answer(3).reset == REFUSED
        assert flooding.peer.answer(1).body == b"%d" % MANY
        assert flooding.wire.closing

    def test_stop_without_streams(self, serve: Serve) -> None:
        """Nor is the connection closed over what is held: a reset might overtake the goodbye."""
        memory = serve(read_all)
        flooding = Flooding(memory, data(1, b"", ends=True) + ping() * 250, 1)
        flooding.connection.close_when_idle()
        assert not flooding.wire.closing
        memory.settle()
        flooding.peer.read()
        assert flooding.peer.answer(1).status == 200
        assert flooding.wire.closing

    def test_error(self, serve: Serve) -> None:
        """An error in what is held ends the connection, and the peer is read until it closes."""
        memory = serve(never_answer)
        flooding = Flooding(memory, data(1, b"x") * MANY + raw(0, 0, 0, b"x"), 1)
        memory.settle()
        flooding.peer.read()
        assert [code for code, _ in flooding.peer.gone] == [1]
        assert flooding.wire.closing
        assert not flooding.wire.paused

    def test_with_the_preface(self, serve: Serve) -> None:
        """The same where all of it came in one read, with what made HTTP/2 of the connection."""
        memory = serve(read_all)
        peer = H2Peer(memory)
        wire = memory.connect()
        post = peer.head(1, asking(b"POST"), ends=False)
        everything = PREFACE + settings() + post + data(1, b"x") * MANY + data(1, ends=True)
        wire.protocol.dataReceived(everything)
        assert wire.paused
        memory.settle()
        assert not wire.paused
        assert wire.written.endswith(b"%d" % MANY)

    def test_stream_that_lingers(self, serve: Serve) -> None:
        """A client is not told to stop sending as long as what it has sent is held."""
        memory = serve(sending(start(), body(b"no")), write_timeout=100)
        peer = H2Peer(memory)
        number = peer.asks(b"POST", body=b"x", ends=False)
        peer.wire.protocol.dataReceived(data(number, b"x") * MANY + data(number, ends=True))
        assert peer.wire.protocol.upgraded_to._held is not None
        peer.wire.stops_reading()
        memory.passes(2)
        memory.passes(2)
        peer.wire.reads_on()
        peer.read()
        assert peer.answer(number).reset is None


class TestCharges:
    """Small frames and expensive sections are charged; honest peers do not notice."""

    @pytest.mark.parametrize("padding", [None, 0, 200])
    def test_octets(self, serve: Serve, padding: int | None) -> None:
        """A body in DATA of one octet is stopped, long before it has taken a second."""
        memory = serve(read_all)
        peer = H2Peer(memory)
        number = peer.asks(b"POST", body=b"", ends=False)
        one = data(number, b"x", padding=padding)
        sent = 0
        while not peer.wire.closing:
            peer.wire.sends(one * 200)
            peer.read()
            sent += 200
            assert sent <= 20_000
        assert [code for code, _ in peer.gone] == [CALM]

    def test_octets_of_a_websocket(self, serve: Serve) -> None:
        """So is a message."""
        memory = serve(Echo())
        opened = Opened(H2Peer(memory))
        opened.sends(frame(BINARY, b"x" * 70_000)[:14])  # it has begun
        sent = 0
        while not opened.peer.wire.closing:
            opened.peer.wire.sends(data(opened.number, b"x") * 200)
            sent += 200
            assert sent <= 20_000
        opened.peer.read()
        assert [code for code, _ in opened.peer.gone] == [CALM]

    def test_octets_of_what_nobody_reads(self, serve: Serve) -> None:
        """So is a body whose answer is whole."""
        memory = serve(sending(start(), body(b"no")))
        peer = H2Peer(memory)
        number = peer.asks(b"POST", body=b"x", ends=False)
        for _ in range(100):
            peer.wire.protocol.dataReceived(data(number, b"x") * 200)
            memory.settle()
        peer.read()
        assert [code for code, _ in peer.gone] == [CALM]

    def test_larger_data(self, serve: Serve) -> None:
        """DATA that carries a little more costs nothing."""
        memory = serve(never_answer)
        peer = H2Peer(memory)
        number = peer.asks(b"POST", body=b"", ends=False)
        budget = peer.wire.protocol.upgraded_to.budget
        before = budget.left
        peer.wire.sends(data(number, b"x" * MIN_DATA) * 1000)
        assert budget.left == before
        peer.wire.sends(data(number, b"x" * (MIN_DATA - 1)))
        assert budget.left < before

    def test_terminal(self, serve: Serve) -> None:
        """Mouse movements on a WebSocket, a hundred a second for ten minutes, are not stopped."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            while (await receive())["type"] == "websocket.receive":
                pass

        memory = serve(application)
        opened = Opened(H2Peer(memory))
        event = data(opened.number, frame(BINARY, b"x"))
        for _ in range(600):
            memory.now += 1
            opened.peer.wire.protocol.dataReceived(event * 100)
            for _ in range(3):
                memory.loop.run_once()
        memory.settle()
        opened.peer.read()
        assert opened.peer.gone == []

    def test_small_messages(self, serve: Serve) -> None:
        """A thousand messages of ten octets a second, which nobody answers, are not stopped."""
        memory = serve(read_all)
        peer = H2Peer(memory)
        number = peer.asks(b"POST", body=b"", ends=False)
        for _ in range(60):
            memory.now += 1
            peer.wire.protocol.dataReceived(data(number, b"x" * 10) * 1000)
            memory.settle()
        peer.read()
        assert peer.gone == []

    @pytest.mark.parametrize("name", SECTIONS)
    def test_refused_sections(self, serve: Serve, name: str) -> None:
        """Sections that are refused, and take long to decode, are stopped after a few."""
        memory = serve(answer_at_once, max_fields=1, max_field_section=65536)
        peer = H2Peer(memory)
        number = 1
        while not peer.wire.closing:
            peer.wire.sends(sectioned(number, SECTIONS[name]))
            number += 2
            assert number < 41
        peer.read()
        assert [code for code, _ in peer.gone] == [CALM]

    def test_size_is_paid_before_decoding(self, serve: Serve, monkeypatch: Any) -> None:
        """Nothing is decoded for a peer that cannot pay for its size."""
        memory = serve(answer_at_once)
        peer = H2Peer(memory)
        connection = peer.wire.protocol.upgraded_to
        connection.budget.left = 1.0
        decoded: list[int] = []
        monkeypatch.setattr(
            "hpack.Decoder.decode", lambda *arguments, **more: decoded.append(1) or []
        )
        peer.wire.sends(sectioned(1, CODED))
        assert (decoded, peer.wire.closing) == ([], True)

    def test_large_requests(self, serve: Serve) -> None:
        """Requests with large fields that are served are not stopped, however many there are."""
        memory = serve(answer_at_once)
        peer = H2Peer(memory)
        section = block() + b"\0" + Encoder().encode([(b"a", b"a" * 40_000)])[1:]
        for number in range(1, 201, 2):
            peer.wire.sends(sectioned(number, section))
        peer.read()
        assert peer.gone == []
        assert peer.answer(199).status == 200
        assert peer.wire.protocol.upgraded_to.budget.left == BURST

    def test_what_is_given_back(self, serve: Serve) -> None:
        """A small request gives nothing back of what a refused section before it has cost."""
        memory = serve(never_answer)
        peer = H2Peer(memory)
        peer.asks()
        budget = peer.wire.protocol.upgraded_to.budget
        peer.wire.sends(sectioned(3, CODED))
        left = budget.left
        assert left < BURST - 20
        peer.wire.sends(raw(HEADERS, 5, 5, BLOCK))
        assert budget.left == left

    def test_log(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """A connection that ends for what its sections cost has a line in the log."""
        caplog.set_level("INFO", "daphne_like")
        memory = serve(answer_at_once)
        peer = H2Peer(memory)
        peer.wire.protocol.upgraded_to.budget.left = 1.0
        peer.wire.sends(sectioned(1, CODED))
        assert "ENHANCE_YOUR_CALM: field sections that take long to decode" in caplog.text
