"""Peers of HTTP/2 that mean harm: bounded memory and work, and nobody else notices (S13 to S19)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from daphne_like.http.h2.send_scheduler import SendScheduler
from daphne_like.observe import refusals
from tests.support.applications import Script, body, sending, start
from tests.support.h2_blocks import BLOCK, asking, block
from tests.support.h2_codes import CALM, CANCEL, COMPRESSION, REFUSED
from tests.support.h2_frames import (
    data,
    goaway,
    ping,
    priority_update,
    raw,
    reset,
    settings,
    window,
)
from tests.support.h2_peer import H2Peer
from tests.support.memory import Memory
from tests.support.peers import answer_at_once, never_answer

Serve = Callable[..., Memory]

HEADERS, CONTINUATION = 1, 9
MOST = 3000
"""Frames after which a flood must have been stopped."""


def numbers(first: int = 1) -> Iterator[int]:
    while True:
        yield first
        first += 2


def each(frame: Callable[[int], bytes]) -> Callable[[H2Peer], Iterator[bytes]]:
    """A frame again and again, made for the number of a new stream."""
    return lambda peer: (frame(number) for number in numbers())


def on_one(frame: Callable[[], bytes], **more: Any) -> Callable[[H2Peer], Iterator[bytes]]:
    """A frame again and again, beside one open stream."""

    def sent(peer: H2Peer) -> Iterator[bytes]:
        peer.asks(b"POST", body=b"", ends=False)
        while True:
            yield frame()

    return sent


def request(number: int, ends: bool = True, section: bytes = BLOCK) -> bytes:
    return raw(HEADERS, 4 | ends, number, section)


BAD = block((b"X", b"y"))
FLOODS = {
    "rapid reset (S14)": each(lambda number: request(number) + reset(number)),
    "malformed requests (S15)": each(lambda number: request(number, section=BAD)),
    "windows that overflow (S15)": each(
        lambda number: request(number, False) + window(number, 2**31 - 1)
    ),
    "DATA behind the end (S15)": each(lambda number: request(number) + data(number, b"")),
    "HEADERS behind the end (S15)": each(lambda number: request(number) * 2),
    "bad trailers (S15)": each(lambda number: request(number, False) + request(number)),
    "wrong length (S15)": each(
        lambda number: request(number, False, block((b"content-length", b"1")))
        + data(number, b"", ends=True)
    ),
    "more than declared (S15)": each(
        lambda number: request(number, False, block((b"content-length", b"1")))
        + data(number, b"ab")
    ),
    "pings (S13)": on_one(ping),
    "answers to no ping (S13)": on_one(lambda: ping(ack=True)),
    "settings (S13)": on_one(settings),
    "settings of all sorts (S13)": on_one(lambda: settings({1: 0, 3: 1, 4: 5, 5: 20000, 6: 1})),
    "answers to no settings": on_one(lambda: settings(ack=True)),
    "empty DATA": on_one(lambda: data(1)),
    "padded DATA of nothing": on_one(lambda: data(1, padding=0)),
    "priorities (S17)": on_one(lambda: raw(2, 0, 1, b"\0\0\0\0\x0f")),
    "priorities of idle streams (S17)": each(lambda number: raw(2, 0, number, b"\0\0\0\0\x0f")),
    "priority updates": each(lambda number: priority_update(number, b"u=1")),
    "small windows (CVE-2019-9511)": on_one(lambda: window(1, 1)),
    "small windows of all": on_one(lambda: window(0, 1)),
    "unknown frames": on_one(lambda: raw(0xEE, 0, 0, b"")),
    "ALTSVC": on_one(lambda: raw(0xA, 0, 0, b"\0\1xy")),
    "resets of what is reset": lambda peer: iter(
        [request(1) + reset(1), *[reset(1)] * (2 * MOST)]
    ),
    "DATA of what is reset": lambda peer: iter([request(1, False) + reset(1), *[data(1)] * MOST]),
    "windows of what is reset": lambda peer: iter(
        [request(1) + reset(1), *[window(1, 5)] * MOST]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FLOODS)
class TestFloods:
    """S13, S14, S15, S17: what is asked for again and again, for nothing."""

    def test_is_stopped(self, serve: Serve, name: str, caplog: Any) -> None:
        """The connection goes, told to be calm, with one log line; another one does not notice."""
        refusals.limit.sum_up(at_once=True)
        caplog.set_level("INFO", "daphne_like")
        memory = serve(never_answer)
        other = H2Peer(memory)
        other.asks()
        peer = H2Peer(memory)
        for count, octets in enumerate(FLOODS[name](peer)):
            if peer.wire.closing:
                break
            peer.wire.protocol.dataReceived(octets)
            if count % 50 == 0:
                memory.settle()  # a turn works through so much, and no more
            assert count < MOST, "it goes on and on"
            assert len(memory.server.instances) <= 1 + 128
        memory.settle()
        peer.read()
        assert [code for code, _ in peer.gone] == [CALM]
        assert len(caplog.records) <= refusals.MAX_LOGGED_REFUSALS + 1
        assert "ENHANCE_YOUR_CALM: flood of control frames" in caplog.text
        assert len(memory.server.connections) <= 2
        other.sends(ping())
        assert (other.gone, other.pongs) == ([], [b"12345678"])

    def test_slowly(self, serve: Serve, name: str) -> None:
        """A few of them in each second are nobody's harm, unless they are an error."""
        memory = serve(answer_at_once, keep_alive_timeout=1000)
        peer = H2Peer(memory)
        for count, octets in enumerate(FLOODS[name](peer)):
            if count == 60:
                break
            peer.sends(octets)
            memory.now += 0.2
        assert peer.gone == []

    def test_in_one_piece(self, serve: Serve, name: str) -> None:
        """The same in one read: what comes behind the end is not looked at."""
        memory = serve(never_answer)
        peer = H2Peer(memory)
        frames = FLOODS[name](peer)
        peer.wire.protocol.dataReceived(b"".join(next(frames) for _ in range(MOST - 1)))
        memory.settle()
        peer.read()
        assert [code for code, _ in peer.gone] == [CALM]
        assert len(peer.frames) < 1500


class TestNotReading:
    """S13: who floods and does not read has nothing piled up."""

    @pytest.mark.parametrize("frame", [ping(), settings(), data(1)])
    def test_bounded(self, serve: Serve, frame: bytes) -> None:
        """The transport is not read while it is full: then no more answers are made either."""
        peer = H2Peer(serve(never_answer))
        peer.wire.stops_reading()
        assert peer.wire.paused
        assert len(peer.wire.written) < 200


class TestInstances:
    """S14: applications of streams that were reset are not piled up."""

    def test_counted(self, serve: Serve) -> None:
        """They count as requests at the same time until they have ended."""
        script = Script()
        memory = serve(script, h2_max_streams=10)
        peer = H2Peer(memory)
        for _ in range(30):
            number = peer.asks()
            peer.sends(reset(number))
            memory.now += 1
        assert len(memory.server.instances) == 10
        assert peer.answer(59).reset == REFUSED
        memory.passes(50)
        memory.passes(1)
        number = peer.asks()
        assert peer.answer(number).reset is None

    def test_cancelled(self, serve: Serve, caplog: Any) -> None:
        """And are cancelled in their time, each one."""
        memory = serve(Script())
        peer = H2Peer(memory)
        for _ in range(50):
            peer.sends(reset(peer.asks()))
        assert len(memory.server.instances) == 50
        memory.passes(11)
        memory.passes(1)
        assert not memory.server.instances

    def test_streams_at_the_same_time(self, serve: Serve) -> None:
        """5.1.2: one too many is refused, and may be sent again; the connection goes on."""
        memory = serve(never_answer, h2_max_streams=3)
        peer = H2Peer(memory)
        sent = [peer.asks() for _ in range(4)]
        assert [peer.answer(number).reset for number in sent] == [None, None, None, REFUSED]
        assert peer.gone == []

    def test_before_the_settings_are_known(self, serve: Serve) -> None:
        """S14: the limit holds whether or not the peer acknowledges it."""
        memory = serve(never_answer, h2_max_streams=3)
        wire = memory.connect()
        wire.sends(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings())
        for number in range(1, 100, 2):
            wire.sends(request(number))
        assert len(memory.server.instances) == 3
        assert wire.written.count(reset(1, REFUSED)[:5]) == 47


class TestFieldSections:
    """S16, S17: what is large in memory, or without an end."""

    def test_a_little_too_large(self, serve: Serve) -> None:
        """Up to twice the limit there is an answer, 431, and the connection goes on."""
        peer = H2Peer(serve(answer_at_once, max_field_section=4096))
        number = peer.asks(b"GET", b"/", (b"a", b"b" * 4096))
        assert (peer.answer(number).status, peer.gone) == (431, [])
        assert peer.answer(peer.asks()).status == 200

    def test_bomb(self, serve: Serve) -> None:
        """S17: a small block that decodes to a large section is not decoded to its end."""
        peer = H2Peer(serve(never_answer))
        bomb = b"\x40\x01a\x7f\x81\x1e" + b"b" * 4000 + b"\xbe" * 16000
        peer.sends(raw(HEADERS, 0, 1, BLOCK), raw(CONTINUATION, 0, 1, bomb[:16000]))
        peer.sends(raw(CONTINUATION, 4, 1, bomb[16000:]))
        assert [code for code, _ in peer.gone] == [CALM]

    def test_bomb_of_trailers(self, serve: Serve) -> None:
        """S17: the same in trailers."""
        peer = H2Peer(serve(never_answer))
        peer.asks(b"POST", body=b"", ends=False)
        bomb = b"\x40\x01a\x7f\x81\x1e" + b"b" * 4000 + b"\xbe" * 12000
        peer.sends(raw(HEADERS, 5, 1, bomb))
        assert [code for code, _ in peer.gone] == [CALM]

    def test_large_trailers(self, serve: Serve) -> None:
        """Trailers over the limit are 431, too."""
        peer = H2Peer(serve(never_answer, max_field_section=4096))
        number = peer.asks(b"POST", body=b"a", ends=False)
        peer.sends(peer.head(number, [(b"a", b"b" * 4096)]))
        assert (peer.answer(number).status, peer.gone) == (431, [])

    @pytest.mark.parametrize("octets", [b"", b"\0\1a\1b", b"x" * 16384])
    def test_without_end(self, serve: Serve, octets: bytes) -> None:
        """S16: CONTINUATION without end is stopped before it is decoded."""
        memory = serve(never_answer)
        peer = H2Peer(memory)
        peer.sends(raw(HEADERS, 1, 1, b""))
        count = 0
        while not peer.wire.closing:
            peer.sends(raw(CONTINUATION, 0, 1, octets))
            count += 1
            assert count < 70
        assert count * len(octets) <= 4 * (65536 + 16384)
        assert peer.gone == [(CALM, 0)]

    def test_many_small_fields(self, serve: Serve) -> None:
        """S04: thousands of fields are 431, and no application sees them."""
        peer = H2Peer(serve(answer_at_once))
        number = peer.asks(b"GET", b"/", *[(b"a", b"b")] * 2000)
        assert (peer.answer(number).status, peer.gone) == (431, [])

    def test_table_is_the_size_that_was_said(self, serve: Serve) -> None:
        """RFC 7541, 4.2: no larger one is taken."""
        peer = H2Peer(serve(never_answer))
        peer.sends(raw(HEADERS, 5, 1, b"\x3f\xff\xff\x7f" + BLOCK))
        assert [code for code, _ in peer.gone] == [COMPRESSION]

    def test_decoded_blocks_are_few(self, serve: Serve) -> None:
        """The cache of decoded blocks is small, whatever the blocks."""
        peer = H2Peer(serve(answer_at_once))
        peer.asks()
        connection = peer.wire.protocol.upgraded_to
        for number in range(3, 603, 2):
            peer.sends(
                request(
                    number, section=bytes((0x82, 0x87, 0x84)) + bytes((0x90 + number % 40,)) * 60
                )
            )
        assert len(connection._h2.decoder._known.entries) <= 64
        assert all(len(key) <= 128 for key in connection._h2.decoder._known.entries)


class TestFrames:
    """Large frames, and many frames."""

    @pytest.mark.parametrize("kind", range(11))
    def test_oversized(self, serve: Serve, kind: int) -> None:
        """4.2: a frame that is too large is refused by its first nine octets."""
        memory = serve(never_answer)
        peer = H2Peer(memory)
        peer.sends(raw(kind, 0, 1, b"", 16385))
        assert len(peer.gone) == 1
        connection = peer.wire.protocol.upgraded_to
        peer.wire.protocol.dataReceived(b"x" * 100_000)
        assert len(connection._h2.frames._data) <= 9

    def test_settings_of_every_name(self, serve: Serve) -> None:
        """S13: names that nobody knows are not kept."""
        peer = H2Peer(serve(never_answer))
        for first in range(0, 60000, 2500):
            names = range(first + 100, first + 2600)
            values = (name.to_bytes(2, "big") + b"\0\0\0\1" for name in names)
            peer.sends(raw(4, 0, 0, b"".join(values)))
        assert peer.gone == []
        assert len(peer.wire.protocol.upgraded_to._h2.remote_settings) <= 8

    def test_streams_that_are_over(self, serve: Serve) -> None:
        """Nothing is kept of them."""
        memory = serve(answer_at_once, h2_max_streams=10)
        peer = H2Peer(memory)
        for _ in range(300):
            assert peer.answer(peer.asks()).status == 200
        connection = peer.wire.protocol.upgraded_to
        assert not connection.streams
        assert len(connection._h2.streams) <= 21

    @pytest.mark.parametrize("ending", ["reset", "trailers", "broken off"])
    def test_streams_that_ended_otherwise(self, serve: Serve, ending: str) -> None:
        """However streams end, a bounded number is remembered."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if ending == "reset":
                await receive()
                await receive()
                return
            await send(start(200, [], trailers=True))
            await send(body(b"x", more=ending == "broken off"))
            if ending == "trailers":
                await send({"type": "http.response.trailers", "headers": [(b"a", b"b")]})

        memory = serve(application, h2_max_streams=20)
        peer = H2Peer(memory)
        for number in range(1, 201, 2):
            octets = peer.head(number, asking(b"GET", b"/", (b"te", b"trailers")))
            peer.wire.gets(octets + reset(number) if ending == "reset" else octets)
            memory.passes(0.5)  # for the budget
        assert not peer.wire.closing
        conn = peer.wire.protocol.upgraded_to._h2
        assert len(conn.streams) <= 41
        assert len(conn._closed_streams) <= conn.MAX_CLOSED_STREAMS

    @pytest.mark.parametrize(("octets", "earned"), [(b"", 1), (b"abc", 5)])
    def test_what_an_answer_earns(self, serve: Serve, octets: bytes, earned: int) -> None:
        """One for itself, and four for a DATA frame, if there is one."""
        peer = H2Peer(serve(sending(start(), body(octets))))
        budget = peer.wire.protocol.upgraded_to.budget
        peer.asks()
        budget.left = 100.0
        peer.asks()
        assert budget.left == 100 + earned

    def test_zero_windows(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """A peer that opens no window has as many answers waiting as it may have requests."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            await send(body(b"x" * 100_000))

        memory = serve(application)
        peer = H2Peer(memory, {4: 0})
        for _ in range(200):
            peer.asks()
        assert len(memory.server.instances) == 128
        connection = peer.wire.protocol.upgraded_to
        looks: list[int] = []
        with monkeypatch.context() as patched:
            patched.setattr(SendScheduler, "_next", lambda output: looks.append(1))
            for _ in range(100):
                peer.sends(window(0, 1))
        assert not looks, "a window that helps nobody makes no work"
        memory.passes(61)
        peer.read()
        assert peer.answer(1).reset == CANCEL
        assert not connection.streams

    def test_dribble(self, serve: Serve) -> None:
        """CVE-2019-9511: who takes an answer octet by octet is sent away."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            await send(body(b"x" * 100_000))

        peer = H2Peer(serve(application), {4: 1})
        peer.asks()
        count = 0
        while not peer.wire.closing:
            peer.sends(window(1, 1))
            count += 1
            assert count < 1000
        assert peer.gone == [(CALM, 1)]


class TestHonest:
    """Whoever asks for much and takes it is never taken for an attacker."""

    def test_large_download(self, serve: Serve) -> None:
        """A receiver that acknowledges each frame on its stream and on the connection."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            for _ in range(8):
                await send(body(b"x" * 1_000_000, True))
            await send(body())

        peer = H2Peer(serve(application), reads=True)
        peer.asks()
        for _ in range(50):
            peer.sends(b"")
        assert (len(peer.answer(1).body), peer.gone) == (8_000_000, [])

    def test_small_events(self, serve: Serve) -> None:
        """The same for a stream of small events, which each of them acknowledges, and pings."""
        script = Script()
        memory = serve(script)
        peer = H2Peer(memory, reads=True)
        peer.asks()
        run = memory.loop.run_until_complete
        run(script.send(start()))
        for _ in range(3000):
            run(script.send(body(b"data: x\n\n", True)))
            memory.settle()
            peer.read()
        assert (len(peer.answer(1).body), peer.gone) == (27000, [])

    def test_many_requests(self, serve: Serve) -> None:
        """Thousands of requests, as fast as they are answered."""
        peer = H2Peer(serve(answer_at_once), reads=True)
        for _ in range(1000):
            peer.asks()
        assert (peer.answer(1999).status, peer.gone) == (200, [])

    def test_browser_that_changes_its_mind(self, serve: Serve) -> None:
        """A page with a hundred parts is left ten times within a few seconds."""
        memory = serve(never_answer)
        peer = H2Peer(memory)
        for _ in range(10):
            sent = [peer.asks(b"GET", b"/", (b"priority", b"u=2, i")) for _ in range(100)]
            for number in sent:
                peer.sends(priority_update(number, b"u=1") if number % 8 == 1 else b"")
            peer.sends(b"".join(map(reset, sent)))
            memory.now += 3
        assert peer.gone == []

    def test_large_upload(self, serve: Serve) -> None:
        """Small frames, one read each."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            while (await receive()).get("more_body"):
                pass
            await answer_at_once(scope, receive, send)

        peer = H2Peer(serve(application))
        number = peer.asks(b"POST", body=b"", ends=False)
        for _ in range(3000):
            assert peer.all_sent(number, 50)
            peer.sends(data(number, b"x" * 50))
        peer.sends(data(number, b"", ends=True))
        assert (peer.answer(number).status, peer.gone) == (200, [])

    def test_goaway_of_a_proxy(self, serve: Serve) -> None:
        """A proxy that goes in order sends GOAWAY twice."""
        peer = H2Peer(serve(never_answer))
        peer.asks()
        peer.sends(goaway(last=2**31 - 1), goaway(last=0))
        assert [code for code, _ in peer.gone] == [0]
        assert asking()[0] == (b":method", b"GET")
