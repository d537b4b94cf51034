"""Connections and instances in words, and the samples of a server in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.process.control import MAX_LINE, to_line
from daphne_like.status.listing import Listing, masked, short
from daphne_like.status.recorder import Recorder
from daphne_like.status.rows import MAX_ROWS, MAX_STACK, MAX_TEXT, Query, Row, checked
from tests.support.applications import GET, body, post, sending, start
from tests.support.h2_peer import H2Peer
from tests.support.memory import Memory
from tests.support.websocket_frames import ACCEPTS, OPENING, text

Serve = Callable[..., Memory]
hello = sending(start(), body(b"hello"))


class Seen:
    """A server in memory, its recorder and its table."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.recorder = Recorder.of(memory.server)
        self._listing = Listing(self.recorder)

    def rows(self, **query: Any) -> list[Row]:
        """The table, as the supervisor gets it."""
        rows, self.omitted = self._listing.rows(Query(**query))
        assert checked(rows) == rows
        return rows

    @property
    def row(self) -> Row:
        (row,) = self.rows()
        return row


@pytest.fixture
def seen(serve: Serve) -> Callable[..., Seen]:
    """seen(application, **settings): a server that is recorded from the beginning."""
    return lambda application, **settings: Seen(serve(application, **settings))


class Held:
    """An application that waits for a lock that nobody releases."""

    def __init__(self) -> None:
        self.free = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.hold()
        await send(start())
        await send(body(b""))

    async def hold(self) -> None:
        await self.free.wait()


async def consume(scope: Any, receive: Any, send: Any) -> None:
    """A WebSocket that is stuck in its second message."""
    await receive()
    await send(ACCEPTS)
    await receive()
    await asyncio.Event().wait()


async def listen(scope: Any, receive: Any, send: Any) -> None:
    """A WebSocket that listens."""
    await receive()
    await send(ACCEPTS)
    while (await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": "yes"})


class TestStates:
    """The state of a row in words."""

    def test_idle(self, seen: Callable[..., Seen]) -> None:
        """A connection without an instance."""
        found = seen(hello)
        found.memory.connect().sends(GET)
        found.memory.now += 3
        row = found.row
        assert (row["kind"], row["state"], row["age"]) == ("connection", "idle", 3)
        assert (row["peer"], row["protocol"]) == ("192.0.2.1:50000", "http/1.1")

    def test_no_response_yet(self, seen: Callable[..., Seen]) -> None:
        """It becomes slow after five seconds; its place is that of the application's own code."""
        found = seen(Held())
        found.memory.connect().sends(GET.replace(b"/", b"/report?token=secret", 1))
        row = found.row
        assert (row["state"], row["mood"], row["path"]) == ("no response yet", "", "/report?…")
        assert "Held.hold waits at" in row["where"]
        assert "await self.free.wait()" in row["where"]
        assert len(row["stack"]) >= 2
        found.memory.now += 6
        assert (found.row["mood"], found.row["age"]) == ("slow", 6)
        assert found.recorder.take().slow == 1
        assert "secret" not in str(found.row)

    def test_body(self, seen: Callable[..., Seen]) -> None:
        """An application that waits for the body is not slow: its peer is."""

        async def read(scope: Any, receive: Any, send: Any) -> None:
            while (await receive()).get("more_body"):
                pass

        found = seen(read)
        found.memory.connect().sends(post(b"x" * 10).replace(b"xxxxx", b"", 1))
        found.memory.now += 20
        assert (found.row["state"], found.row["mood"]) == (
            "waiting for the body of the request",
            "",
        )
        assert found.row["received"] == 5
        assert found.recorder.take().slow == 0

    def test_writing_paused(self, seen: Callable[..., Seen]) -> None:
        """Since when, and why."""

        async def pour(scope: Any, receive: Any, send: Any) -> None:
            await send(start())
            while True:
                await send(body(b"x" * 1000, True))

        found = seen(pour)
        wire = found.memory.connect()
        wire.sends(GET)
        wire.stops_reading()
        found.memory.settle()
        found.memory.now += 12
        assert found.row["state"] == "writing paused for 12 s: the peer does not read"
        assert found.row["mood"] == "paused"
        wire.reads_on()
        assert found.row["state"] == "sending the response"

    def test_lingers(self, seen: Callable[..., Seen]) -> None:
        """The peer has gone, and the application does not notice."""
        found = seen(Held())
        found.memory.connect().sends(GET).vanishes()
        found.memory.now += 4
        assert found.row["state"] == "the peer went 4 s ago; the application still runs"
        assert found.row["mood"] == "lingers"
        assert found.recorder.take().leaving == 1

    def test_websocket_that_listens(self, seen: Callable[..., Seen]) -> None:
        found = seen(listen)
        wire = found.memory.connect().sends(OPENING, text("hello"))
        row = found.row
        assert row["state"] == "open; the application waits for a message"
        assert (row["kind"], row["path"], row["received"], row["sent"]) == (
            "websocket", "/chat", 5, 3
        )  # fmt: skip
        assert found.recorder.take().websockets == 1
        wire.vanishes()
        assert found.rows() == []
        assert found.recorder.take().websockets == 0

    def test_websocket_that_is_stuck(self, seen: Callable[..., Seen]) -> None:
        """Messages that wait are told; it counts as slow in the second sample."""
        found = seen(consume)
        wire = found.memory.connect().sends(OPENING, text("one"))
        assert found.row["state"] == "open; the application is busy"
        wire.sends(text("two"), text("three"))
        assert found.row["state"] == "open; 2 messages not received by the application"
        assert found.row["mood"] == "slow"
        assert found.row["queue"] > len("twothree")
        assert [found.recorder.take().slow for _ in range(3)] == [0, 1, 1]

    def test_handshake(self, seen: Callable[..., Seen]) -> None:
        found = seen(Held())
        found.memory.connect().sends(OPENING)
        assert found.row["state"] == "the application has not accepted it yet"

    def test_http2(self, seen: Callable[..., Seen]) -> None:
        """A stream is named after its connection."""
        found = seen(Held())
        peer = H2Peer(found.memory)
        peer.asks()
        row = found.row
        assert row["protocol"] == "http/2"
        assert row["id"].endswith("/1")


class TestQuery:
    """Sorting, filtering, limits."""

    def test_filter_and_sort(self, seen: Callable[..., Seen]) -> None:
        found = seen(Held())
        for path in (b"/a", b"/b", b"/b"):
            found.memory.connect().sends(GET.replace(b"/", path, 1))
            found.memory.now += 1
        assert [row["path"] for row in found.rows()] == ["/a", "/b", "/b"]
        assert [row["age"] for row in found.rows(match="/B")] == [2, 1]
        assert [row["path"] for row in found.rows(limit=1)] == ["/a"]
        assert found.omitted == 2

    def test_a_code_place_matches(self, seen: Callable[..., Seen]) -> None:
        """What the page shows of the state can be searched for."""
        found = seen(Held())
        found.memory.connect().sends(GET)
        assert found.rows(match="no response")
        assert found.rows(match="held.hold")
        assert found.rows(match="self.free.wait()")
        assert not found.rows(match="idle")

    def test_a_message_has_room(self) -> None:
        """The longest rows fit into a line of the control channel."""
        from daphne_like.status.listing import _fitting

        longest = "\U0001f300" * MAX_TEXT
        row = {
            **dict.fromkeys(("kind", "id", "peer", "protocol", "method", "path"), longest),
            **dict.fromkeys(("state", "mood", "where"), longest),
            "age": 1, "received": 1, "sent": 1, "queue": 1, "stack": [longest] * MAX_STACK,
        }  # fmt: skip
        rows = _fitting([row] * MAX_ROWS)
        assert 1 < len(rows) < MAX_ROWS
        assert len(to_line("listing", number=1, rows=rows, omitted=0)) < MAX_LINE


class TestChecks:
    """Rows of a worker are input."""

    @pytest.mark.parametrize("found", [None, {}, "rows", [None, 1, "x", []]])
    def test_no_rows(self, found: Any) -> None:
        assert checked(found) == []

    def test_wrong_values(self) -> None:
        """They are left out, and long texts are cut."""
        (row,) = checked(
            [{"kind": "x", "mood": 3, "peer": "p" * 9999, "age": float("nan"), "sent": True,
              "queue": -1, "received": "9", "stack": [1, "two"] * 999, "other": "x"}]
        )  # fmt: skip
        assert (row["kind"], row["mood"], len(row["peer"])) == ("connection", "", MAX_TEXT)
        assert [row[name] for name in ("age", "sent", "queue", "received")] == [None] * 4
        assert row["stack"] == ["", "two"] * (MAX_STACK // 2)
        assert "other" not in row
        assert len(checked([{}] * 9999)) == MAX_ROWS


class TestWords:
    """Durations and paths."""

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [(0, "0.0 s"), (0.42, "0.4 s"), (12.4, "12 s"), (180, "3 min"), (7300, "2 h"),
         (400000, "5 d")],
    )  # fmt: skip
    def test_durations(self, seconds: float, words: str) -> None:
        assert short(seconds) == words

    def test_control_characters(self) -> None:
        """Nothing of a peer reaches a terminal as it is."""
        assert masked(b"/\x9b1m\xe9") == "/\\x9b1m\xe9"
        assert masked("/a?b?c") == "/a?…"
        assert len(masked(b"/" + b"x" * 9999)) <= MAX_TEXT


class TestSamples:
    """Counts since the last sample."""

    def test_requests(self, seen: Callable[..., Seen]) -> None:
        """Each ended response is counted once; errors are those of the server."""

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            found.memory.now += 0.02
            await send(start(500 if scope["path"] == "/fails" else 404))
            await send(body(b"12345"))

        found = seen(answer)
        wire = found.memory.connect()
        wire.sends(GET, GET, GET.replace(b"/", b"/fails", 1))
        sample = found.recorder.take()
        assert (sample.requests, sample.errors, sample.bytes_out) == (3, 1, 15)
        assert sum(sample.buckets.values()) == 3
        assert sample.connections == 1
        assert found.recorder.take().requests == 0

    def test_refusals(self, seen: Callable[..., Seen]) -> None:
        """A refused request is no request of the application."""
        found = seen(hello)
        found.memory.connect().sends(b"GET / HTTP/1.1\r\n\r\n")
        sample = found.recorder.take()
        assert (sample.requests, sample.refusals) == (0, 1)

    def test_delay(self, seen: Callable[..., Seen]) -> None:
        """The largest lateness since the last sample."""
        found = seen(hello)
        for seconds in (0, 0.5, 2.5, 0.5):
            found.memory.now += seconds
            found.recorder.tick()
        assert found.recorder.take().delay == 2.0
        assert found.recorder.take().delay == 0.0
