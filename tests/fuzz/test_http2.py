"""Frames of HTTP/2, right and wrong, in sequences that nobody would write down."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daphne_like.runtime.timer_wheel import NEVER
from tests.support.fuzzing import examples
from tests.support.h2_blocks import CODED, CRUMBS, GET, TINY, asking, block, sectioned
from tests.support.h2_frames import PREFACE, data, goaway, ping, priority_update, raw, reset, window
from tests.support.h2_frames import settings as settings_frame
from tests.support.h2_peer import H2Peer
from tests.support.memory import Memory
from tests.support.peers import never_answer
from tests.support.websocket_opcodes import TEXT
from tests.support.websocket_peer import close, frame

SETTINGS = settings(
    max_examples=examples(25),
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

NUMBER = st.sampled_from([1, 3, 5, 7, 9, 11, 2, 0, 2**31 - 1])
OPEN = st.sampled_from([1, 3, 5])
SECTION = st.sampled_from(
    [
        block(), block((b"content-length", b"3")), block((b"X", b"y")), block(base=GET[:2]),
        block((b"expect", b"100-continue")), block((b"priority", b"u=0, i")),
        block(base=asking(b"POST", b"/read")), block(base=asking(b"HEAD", b"/large")),
        block(base=asking(b"GET", b"/large")), block(base=asking(b"GET", b"/raise")),
        block(base=asking(b"GET", b"/late")), block(base=asking(b"GET", b"/wait")),
        block(base=[(b":method", b"CONNECT"), (b":authority", b"x")]),
        block(
            (b"sec-websocket-version", b"13"),
            base=[(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]],
        ),
        block((b"a", b"b" * 300)), b"\x40", b"", b"\xbe",
    ]
)  # fmt: skip
PAYLOAD = st.sampled_from(
    [b"", b"a", b"abc", b"x" * 16000, frame(TEXT, b"hello"), close(1000), b"\xff" * 9]
)
COSTLY = st.one_of(
    st.builds(
        lambda number, octets, padding, count: data(number, octets, padding=padding) * count,
        OPEN, st.sampled_from([b"x", b"\x82", b"x" * 31]), st.sampled_from([None, 0, 3]),
        st.sampled_from([30, 1000, 2000]),
    ),
    st.builds(sectioned, OPEN, st.sampled_from([TINY, CODED, CRUMBS, TINY[:5000]])),
    st.builds(lambda number, count: data(number, frame(TEXT, b"") * count), OPEN, st.just(1500)),
    st.sampled_from([ping() * 300, settings_frame() * 150, window(0, 1) * 300]),
)  # fmt: skip
"""What takes more than one turn of the event loop, or nearly so."""
FRAMES = st.one_of(
    st.builds(
        lambda number, ends, section: raw(1, 4 | ends, number, section),
        NUMBER, st.booleans(), SECTION,
    ),
    st.builds(
        lambda number, ends, section: (
            raw(1, ends, number, section[:4]) + raw(9, 4, number, section[4:])
        ),
        NUMBER, st.booleans(), SECTION,
    ),
    st.builds(
        lambda number, octets, ends: data(number, octets, ends=ends), OPEN, PAYLOAD, st.booleans()
    ),
    st.builds(lambda number, octets: data(number, octets, padding=9), OPEN, PAYLOAD.filter(len)),
    st.builds(reset, OPEN),
    st.builds(window, st.sampled_from([0, 1, 3, 5]), st.sampled_from([1, 100_000, 2**31 - 1])),
    st.builds(
        settings_frame,
        st.dictionaries(
            st.sampled_from([1, 3, 4, 5, 6]), st.sampled_from([0, 1, 100, 65535, 20000, 2**31]),
            max_size=2,
        ),
    ),
    st.just(settings_frame(ack=True)),
    st.builds(lambda ack: ping(ack=ack), st.booleans()),
    st.builds(priority_update, OPEN, st.sampled_from([b"u=0", b"i", b"", b"\xff"])),
    st.just(goaway()),
    st.builds(raw, st.integers(0, 12), st.integers(0, 255), NUMBER, st.binary(max_size=12)),
    st.binary(min_size=1, max_size=20),
)  # fmt: skip
STEP = st.one_of(
    FRAMES.map(lambda octets: ("sends", octets)),
    FRAMES.map(lambda octets: ("sends", octets)),
    FRAMES.map(lambda octets: ("sends", octets)),
    COSTLY.map(lambda octets: ("sends", octets)),
    st.lists(COSTLY | FRAMES, min_size=1, max_size=3).map(lambda parts: ("rushes", parts)),
    st.sampled_from(
        [("passes", 3), ("passes", 40), ("pauses", 0), ("resumes", 0), ("stops", 0), ("fin", 0)]
    ),
)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Does what the path says."""
    path = scope["path"]
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event.get("text") or "octets"})
        return
    if path == "/raise":
        raise ValueError("on purpose")
    if path == "/wait":
        await asyncio.sleep(3600)
    while path == "/read" and (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200})
    if path == "/late":
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        raise ValueError("on purpose")
    octets = b"x" * (200_000 if path == "/large" else 10)
    await send({"type": "http.response.body", "body": octets})


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What is logged would be kept, and with it what is to be released."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class TestSequences:
    """S27: no exception escapes, and everything is released, whatever comes."""

    @SETTINGS
    @given(st.sampled_from([65535, 100, 0]), st.lists(STEP, max_size=25))
    def test_anything(self, room: int, steps: list[tuple[str, Any]]) -> None:
        memory = Memory(
            application, application_close_timeout=1, http_timeout=20, h2_ping_interval=0
        )
        peer = H2Peer(memory, {4: room})
        wire = peer.wire
        connection = weakref.ref(wire.protocol.upgraded_to)
        live: Any = None
        errors: list[Any] = []
        memory.loop.set_exception_handler(lambda loop, context: errors.append(context))
        memory.server.context.timers.tick()
        for kind, value in steps:
            if wire.lost:
                break
            if kind == "sends":
                wire.sends(value)
            elif kind == "rushes":  # all of it before anything else happens
                for part in value:
                    wire.protocol.dataReceived(part)
            elif kind == "passes":
                memory.passes(value)
            elif kind == "pauses" and wire.producer is not None:
                wire.stops_reading()
            elif kind == "resumes" and wire.producer is not None:
                wire.reads_on()
            elif kind == "stops":
                for one in list(memory.server.instances):
                    one.server_stops()
                for one in list(memory.server.connections):
                    one.close_when_idle()
                one = None  # type: ignore[assignment] # not to be kept
            elif kind == "fin":
                wire.fin()
            live = connection()
            if live is not None and not live._closing:
                self.holds_together(live)
            if live is not None and not wire.lost:
                self.waits_for_something(live)
        peer.read()  # the answers are frames, in an order that may be
        wire.vanishes()
        del live, wire.protocol, peer
        wire.producer = None
        memory.passes(2)
        memory.passes(2)
        assert errors == []
        assert not memory.server.connections
        assert not memory.server.instances
        memory.close()
        gc.collect()
        assert connection() is None

    @staticmethod
    def holds_together(connection: Any) -> None:
        """What one part of a connection knows is what the other does."""
        streams = set(connection.streams.values())
        assert set(connection._send_queue) <= streams
        assert set(connection._window_blocked) <= streams
        assert not connection._with_new_data or connection._held is not None
        assert not connection._pumping
        known = {*connection.streams, *connection._draining}
        assert {number for number, s in connection._h2.streams.items() if s.open} == known
        assert connection._extra_window == sum(stream.window - 65536 for stream in streams)
        for stream in streams:
            assert (
                stream.pending is None
                or stream in connection._send_queue
                or stream in connection._window_blocked
            )

    @staticmethod
    def waits_for_something(connection: Any) -> None:
        """S35: a connection has a deadline, or all that it carries has one."""
        carried = [
            stream.tunnel.protocol if stream.tunnel is not None else stream
            for stream in connection.streams.values()
        ]
        assert connection.deadline != NEVER or (
            carried and all(one.deadline != NEVER for one in carried)
        )

    @SETTINGS
    @given(st.lists(FRAMES | FRAMES | COSTLY, max_size=12), st.data())
    def test_cut_anywhere(self, frames: list[bytes], drawn: Any) -> None:
        """The same octets in other pieces have the same end, if nothing is answered in between."""
        octets = PREFACE + settings_frame() + b"".join(frames)
        cuts = sorted(drawn.draw(st.lists(st.integers(0, len(octets)), max_size=6)))
        ends = []
        for pieces in ([octets], [octets[a:b] for a, b in zip([0, *cuts], [*cuts, None])]):  # noqa: B905 # a slice to the end
            memory = Memory(never_answer)
            wire = memory.connect()
            for piece in pieces:
                if not wire.lost:
                    wire.sends(piece)
            ends.append((wire.closing, wire.written[-17:-8] if wire.closing else b""))
            wire.vanishes()
            memory.close()
        assert ends[0][0] == ends[1][0]
