"""Several tasks of one application that send to a peer that does not read, on every carrier."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from daphne_like.exceptions import ConnectionClosed
from daphne_like.runtime.write_batch import MAX_WRITE_SIZE
from tests.support.applications import GET, Script, body, start
from tests.support.h2_codes import INTERNAL
from tests.support.h2_frames import window
from tests.support.h2_peer import H2Peer
from tests.support.memory import Memory, Wire
from tests.support.web_tree import Tree

PART = 65536


class Rules:
    """ASGI C09: what several tasks send waits in the tasks, not in the transport."""

    script: Script
    memory: Memory
    wire: Wire

    def asks(self) -> tuple[Memory, Wire]:
        """A server whose application is `self.script`, and a connection with one request on it."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def connected(self) -> Iterator[None]:
        self.script = Script()
        self.memory, self.wire = self.asks()
        self.memory.settle()
        yield
        self.memory.close()

    def sends(self, *messages: Any) -> list[asyncio.Task[None]]:
        """Each message in a task of its own; then everything that can happen happens."""
        tasks = [self.memory.loop.create_task(self.script.send(message)) for message in messages]
        self.memory.settle()
        return tasks

    @property
    def octets(self) -> bytes:
        """All that was written."""
        return b"".join(self.wire.writes)

    @property
    def content(self) -> bytes:
        """The body, as far as it was written; perhaps behind a head."""
        return self.octets

    @property
    def is_cut(self) -> bool:
        """True if the response was aborted."""
        return self.wire.aborted

    def reads(self) -> None:
        """The peer reads what there is."""
        self.wire.reads_on()

    @pytest.mark.parametrize("size", [1000, PART, MAX_WRITE_SIZE + 1])
    def test_wait_first(self, size: int) -> None:
        """200 tasks that send to a paused transport put next to nothing into it."""
        self.sends(start(), body(b"-", True))
        self.wire.stops_reading()
        before = len(self.octets)
        tasks = self.sends(*[body(b"x" * size, True)] * 200)
        assert len(self.octets) - before <= MAX_WRITE_SIZE
        assert not any(task.done() for task in tasks)

    def test_order(self) -> None:
        """Messages go out in the order in which they were sent, and no sender is left behind."""
        self.sends(start(), body(b"-", True))
        self.wire.stops_reading()
        sizes = (10, 20_000, MAX_WRITE_SIZE + 10, 1)
        messages = [body(b"<%03d>" % n + b"." * sizes[n % 4], True) for n in range(40)]
        tasks = self.sends(*messages, body(b"<end>"))
        for _ in range(300):
            self.reads()
            self.wire.stops_reading()
            self.memory.settle()
        for _ in range(60):
            self.reads()
        assert [task.exception() for task in tasks] == [None] * 41
        octets = self.octets
        places = [octets.index(b"<%03d>" % n) for n in range(40)]
        assert places == sorted(places)
        assert octets.index(b"<end>") > places[-1]

    def test_late_sender_does_not_overtake(self) -> None:
        """A message that is sent when the first of the waiting ones goes out is behind them all."""
        self.sends(start(), body(b"-", True))
        self.wire.stops_reading()
        self.sends(*[body(b"<%d>" % n, True) for n in range(5)])
        self.wire.producer.resumeProducing()
        self.memory.loop.run_until_complete(asyncio.sleep(0))
        self.sends(body(b"<5>", True))
        self.memory.settle()
        places = [self.octets.index(b"<%d>" % n) for n in range(6)]
        assert places == sorted(places)

    def test_cancelled_in_the_queue(self) -> None:
        """A sender that is cancelled while it waits behind others sends nothing; they go on."""
        self.sends(start(), body(b"-", True))
        self.wire.stops_reading()
        tasks = self.sends(*[body(b"<%d>" % n, True) for n in range(4)], body(b"<end>"))
        tasks[1].cancel()
        tasks[3].cancel()
        self.memory.settle()
        self.wire.reads_on()
        self.memory.settle()
        assert [task.cancelled() for task in tasks] == [False, True, False, True, False]
        found = [self.octets.find(b"<%d>" % n) >= 0 for n in range(4)]
        assert found == [True, False, True, False]
        assert b"<end>" in self.octets
        assert not self.wire.aborted

    def test_lost(self) -> None:
        """All of them hear that the connection is lost, or that nobody is there any more."""
        self.sends(start(), body(b"-", True))
        self.wire.stops_reading()
        tasks = self.sends(*[body(b"x" * PART, True)] * 30)
        self.wire.vanishes()
        for _ in range(5):
            self.memory.settle()
        assert all(task.done() for task in tasks)
        errors = {type(task.exception()) for task in tasks}
        assert errors <= {ConnectionClosed, type(None)}
        assert ConnectionClosed in errors

    @pytest.mark.parametrize("size", [1000, MAX_WRITE_SIZE + 1])
    def test_cancelled_before_its_part(self, size: int) -> None:
        """A sender that is cancelled while it waits for room sends nothing; others go on."""
        length = b"%d" % (size + 1)
        self.sends(start(headers=[(b"content-length", length)]), body(b"-", True))
        self.wire.stops_reading()
        (task,) = self.sends(body(b"x" * size, True))
        task.cancel()
        self.memory.settle()
        self.sends(body(b"<ok>".rjust(size)))
        for _ in range(20):
            self.reads()
        self.memory.settle()
        assert task.cancelled()
        assert self.content.endswith(b"-" + b"<ok>".rjust(size))
        assert not self.is_cut


class TestHTTP1(Rules):
    """HTTP/1.1."""

    def asks(self) -> tuple[Memory, Wire]:
        memory = Memory(self.script, application_close_timeout=0)
        return memory, memory.connect().sends(GET)

    def test_early_hints(self) -> None:
        """Heads that are not the final one wait, too."""
        self.wire.stops_reading()
        hint = {"type": "http.response.early_hint", "links": [b"</a>; rel=preload" + b"x" * 1000]}
        tasks = self.sends(*[hint] * 100)
        assert self.octets == b""
        assert not any(task.done() for task in tasks)
        self.wire.reads_on()
        self.memory.settle()
        assert self.octets.count(b"HTTP/1.1 103 ") == 100
        assert all(task.done() for task in tasks)


class TestHTTP2(Rules):
    """HTTP/2."""

    def asks(self) -> tuple[Memory, Wire]:
        memory = Memory(self.script, application_close_timeout=0)
        self.peer = H2Peer(memory, {4: (1 << 31) - 1}, reads=True)
        self.peer.asks()
        return memory, self.peer.wire

    @property
    def content(self) -> bytes:
        return self.peer.answer(1).body

    @property
    def is_cut(self) -> bool:
        return self.peer.answer(1).reset is not None

    def reads(self) -> None:
        super().reads()
        self.peer.read()
        self.memory.settle()


class TestHTTP2Window:
    """HTTP/2, to a peer that reads and opens no window."""

    @pytest.fixture
    def script(self) -> Script:
        return Script()

    @pytest.fixture
    def memory(self, script: Script) -> Iterator[Memory]:
        memory = Memory(script, application_close_timeout=0, write_timeout=10)
        yield memory
        memory.close()

    def asks(self, memory: Memory, script: Script, size: int) -> H2Peer:
        """A connection with one request on it, whose stream has so much of a window."""
        peer = H2Peer(memory, {4: size})
        peer.asks()
        memory.loop.run_until_complete(script.send(start()))
        return peer

    def cancel(self, memory: Memory, script: Script, message: Any) -> None:
        """Send a message that the window does not take, and cancel its sender."""
        task = memory.loop.create_task(script.send(message))
        memory.settle()
        task.cancel()
        memory.settle()
        assert task.cancelled()

    def test_nothing_is_out(self, memory: Memory, script: Script) -> None:
        """A part is withdrawn if its sender is cancelled before an octet of it is out."""
        peer = self.asks(memory, script, 0)
        self.cancel(memory, script, body(b"x" * 1000, True))
        self.cancel(memory, script, body(b"y" * 1000))
        memory.passes(25)  # nothing waits for the window: no deadline runs
        memory.loop.create_task(script.send(body(b"<ok>")))
        peer.sends(window(1, 5000))
        memory.settle()
        answer = peer.answer(1)
        assert (answer.body, answer.ended, answer.reset) == (b"<ok>", True, None)

    def test_a_part_is_out(self, memory: Memory, script: Script) -> None:
        """A stream is reset if a sender is cancelled in the middle of its part."""
        peer = self.asks(memory, script, 10)
        self.cancel(memory, script, body(b"x" * 1000, True))
        peer.read()
        assert (peer.answer(1).body, peer.answer(1).reset) == (b"x" * 10, INTERNAL)


class TestTwistedWeb(Rules):
    """twisted.web."""

    def asks(self) -> tuple[Memory, Wire]:
        tree = Tree(self.script, application_close_timeout=0)
        return tree, tree.connect().sends(GET.replace(b" / ", b" /app/ "))
