"""Back-pressure both ways: an application that does not read, a peer that does not."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable

import pytest

from daphne_like.asgi.queue import EVENT_OVERHEAD, HIGH_WATER, LOW_WATER
from daphne_like.exceptions import ConnectionClosed
from daphne_like.websocket.output import MAX_FRAGMENT_SIZE
from tests.support.memory import Memory
from tests.support.websocket_compression import DEFLATE
from tests.support.websocket_frames import (
    Socket,
    binary,
    closes,
    closing,
    disconnected,
    got,
    sends_bytes,
    sends_text,
    text,
)
from tests.support.websocket_opcodes import BINARY, CLOSE, PING, PONG, TEXT
from tests.support.websocket_peer import Frame, close, frame

Serve = Callable[..., Memory]
END = b"\x00\x00\xff\xff"
RANDOM = random.Random(1).randbytes(300000)
Patch = pytest.MonkeyPatch

MESSAGE = 1000
COUNTED = MESSAGE + EVENT_OVERHEAD
"""What a message of 1000 octets counts."""
MARK = -(-HIGH_WATER // COUNTED)
"""Messages from which the peer is read no further."""


def numbered(first: int, last: int) -> list[bytes]:
    """Messages of 1000 octets that tell their place."""
    return [b"%1000d" % number for number in range(first, last)]


def fill(socket: Socket) -> None:
    """As many messages as make the server stop reading."""
    socket.wire.gets(*map(binary, numbered(0, MARK)))
    assert socket.wire.paused


class TestApplicationThatDoesNotRead:
    """K4: what an application does not read stops the socket."""

    def test_high_water(self, serve: Serve) -> None:
        """At 64 KiB unread the socket is read no further, and not before."""
        socket = Socket(serve)
        socket.wire.gets(*map(binary, numbered(0, MARK - 1)))
        assert not socket.wire.paused
        socket.wire.gets(binary(numbered(MARK - 1, MARK)[0]))
        assert socket.wire.paused

    def test_low_water(self, serve: Serve) -> None:
        """It is read again when the application has read on, to 16 KiB, and not before."""
        socket = Socket(serve)
        fill(socket)
        unread = MARK
        while unread * COUNTED > LOW_WATER:
            assert socket.wire.paused
            socket.receives()
            unread -= 1
        assert not socket.wire.paused

    @pytest.mark.parametrize("size", [1, 10, 1000, 65536, 200000])
    def test_nothing_is_lost(self, serve: Serve, size: int) -> None:
        """Whatever comes in one read, the order stays, and all of it comes."""
        messages = [b"%*d" % (size, number) for number in range(600000 // (size + 200))]
        socket = Socket(serve)
        socket.wire.gets(b"".join(map(binary, messages)))
        assert socket.wire.paused
        heard = []
        while len(heard) < len(messages):
            heard.append(socket.memory.loop.run_until_complete(socket.script.receive()))
        assert heard == [got(message) for message in messages]
        socket.memory.settle()
        assert not socket.wire.paused
        assert socket.frames() == []

    def test_what_comes_though_it_is_paused(self, serve: Serve) -> None:
        """A transport may deliver what it has read already: it is kept, behind the rest."""
        socket = Socket(serve)
        fill(socket)
        late = text("b")
        socket.wire.gets(text("a"), late[:3], late[3:])
        heard = [got(message) for message in numbered(0, MARK)]
        assert socket.events() == [*heard, got("a"), got("b")]

    def test_waiting_application(self, serve: Serve) -> None:
        """An application that waits for messages is never behind."""
        socket = Socket(serve)
        for message in numbered(0, 3 * MARK):
            socket.wire.gets(binary(message))
            assert socket.receives() == got(message)
            assert not socket.wire.paused

    def test_control_frames_below_the_mark(self, serve: Serve) -> None:
        """RFC 6455, 5.5.2: a ping is answered though the application is slow."""
        socket = Socket(serve)
        socket.wire.gets(*map(binary, numbered(0, MARK - 1)))
        socket.wire.sends(frame(PING, b"p"))
        assert socket.frames() == [Frame(PONG, b"p")]

    def test_sends_meanwhile(self, serve: Serve) -> None:
        """C09: writing does not wait for reading."""
        socket = Socket(serve)
        fill(socket)
        socket.sends(sends_text("a"))
        assert socket.frames() == [Frame(TEXT, b"a")]

    @pytest.mark.parametrize("end", ["close", "return"])
    def test_server_closes_meanwhile(self, serve: Serve, end: str) -> None:
        """RFC 6455, 7.1.1: the closing handshake goes on: the peer's answer is read and ends it."""
        socket = Socket(serve)
        fill(socket)
        if end == "close":
            socket.sends(closes(4000))
        else:
            socket.script.returns()
            socket.memory.settle()
        (found,) = socket.frames()
        assert found.opcode == CLOSE
        assert not socket.wire.paused
        socket.wire.sends(text("late"), close(4000))
        assert socket.wire.lost
        assert not socket.wire.aborted

    def test_server_closes_and_its_answer_is_held(self, serve: Serve) -> None:
        """RFC 6455, 7.1.1: the same where the answer was read before."""
        socket = Socket(serve)
        fill(socket)
        socket.wire.gets(text("late") + close(4001))
        socket.sends(closes(4000))
        assert socket.frames() == [closing(4000)]
        assert socket.wire.lost
        assert not socket.wire.aborted

    def test_close_frame_behind_the_mark(self, serve: Serve) -> None:
        """W26: the end comes when the application has read what came before it."""
        socket = Socket(serve)
        messages = numbered(0, 3 * MARK)
        socket.wire.gets(b"".join(map(binary, messages)) + close(4000))
        heard = socket.events()
        assert heard == [*map(got, messages), disconnected(4000)]
        assert socket.frames() == [closing(4000)]

    def test_loss_behind_the_mark(self, serve: Serve) -> None:
        """W26: what had been read when the connection was lost is the application's."""
        socket = Socket(serve)
        messages = numbered(0, 3 * MARK)
        socket.wire.gets(b"".join(map(binary, messages)))
        socket.wire.vanishes()
        assert socket.events() == [*map(got, messages), disconnected(1006)]

    def test_large_message(self, serve: Serve) -> None:
        """A message may be larger than the mark; the next one waits."""
        socket = Socket(serve)
        octets = bytes(3 * HIGH_WATER)
        whole = binary(octets)
        pieces = [whole[at : at + 4096] for at in range(0, len(whole), 4096)]
        socket.wire.gets(*pieces[:-1])
        assert not socket.wire.paused
        socket.wire.gets(pieces[-1])
        assert socket.wire.paused
        assert socket.receives() == got(octets)
        assert not socket.wire.paused


class TestPeerThatDoesNotRead:
    """ASGI, "Applications": `send` returns once the send has been completed (C09)."""

    @pytest.mark.parametrize("size", [1, 200, 70000, MAX_FRAGMENT_SIZE])
    def test_send_waits(self, serve: Serve, size: int) -> None:
        """C09: while the transport is full `send` waits, and goes on when it is not."""
        socket = Socket(serve)
        socket.wire.stops_reading()
        task = socket.starts(sends_bytes(bytes(size)))
        assert not task.done()
        socket.wire.reads_on()
        assert task.result() is None
        socket.sends(sends_text("a"))
        assert socket.frames() == [Frame(BINARY, bytes(size)), Frame(TEXT, b"a")]

    def test_full_before_the_accept(self, serve: Serve) -> None:
        """C09: a transport that was full when the protocols changed is so still."""
        socket = Socket(serve, accept=None)
        socket.wire.stops_reading()
        socket.sends({"type": "websocket.accept"})
        task = socket.starts(sends_text("a"))
        assert not task.done()
        socket.wire.reads_on()
        assert task.result() is None

    def test_every_sender_waits(self, serve: Serve) -> None:
        """C09: several tasks wait before their messages are written, in their order."""
        socket = Socket(serve)
        socket.wire.stops_reading()
        tasks = [socket.starts(sends_text(each)) for each in "abcde"]
        assert [task.done() for task in tasks] == [False] * 5
        assert socket.frames() == []
        socket.wire.reads_on()
        assert [task.result() for task in tasks] == [None] * 5
        assert socket.frames() == [Frame(TEXT, each.encode()) for each in "abcde"]

    @pytest.mark.parametrize("which", range(5))
    def test_cancelled_sender(self, serve: Serve, which: int) -> None:
        """C09: a sender that is cancelled before its turn sends nothing; the others do."""
        socket = Socket(serve)
        socket.wire.stops_reading()
        tasks = [socket.starts(sends_text(each)) for each in "abcde"]
        tasks[which].cancel()
        socket.memory.settle()
        socket.wire.reads_on()
        assert [task.cancelled() for task in tasks] == [number == which for number in range(5)]
        expected = [each for number, each in enumerate("abcde") if number != which]
        assert socket.frames() == [Frame(TEXT, each.encode()) for each in expected]

    def test_newcomer_does_not_overtake(self, serve: Serve) -> None:
        """C09: a message that is sent when the peer reads on is behind those that wait."""
        socket = Socket(serve)
        socket.wire.stops_reading()
        tasks = [socket.starts(sends_text(each)) for each in "abc"]
        socket.wire.producer.resumeProducing()
        tasks.append(socket.starts(sends_text("d")))
        assert [task.result() for task in tasks] == [None] * 4
        assert socket.frames() == [Frame(TEXT, each.encode()) for each in "abcd"]

    @pytest.mark.parametrize("lines", [(), (DEFLATE + b"; server_max_window_bits=15",)])
    def test_one_message_a_pause(
        self, serve: Serve, lines: tuple[bytes, ...], monkeypatch: Patch
    ) -> None:
        """C09: when the first one fills the transport again the others wait on, in their order."""
        socket = Socket(serve, *lines)
        write = socket.wire.write

        def fills(data: bytes) -> None:
            write(data)
            socket.wire.stops_reading()

        socket.wire.stops_reading()
        monkeypatch.setattr(socket.wire, "write", fills)
        sizes = [10, 200000, 20, 300000, 30]
        tasks = [socket.starts(sends_bytes(RANDOM[:size])) for size in sizes]
        written = []
        while not all(task.done() for task in tasks):
            before = len(socket.wire.written)
            socket.wire.reads_on()
            written.append(len(socket.wire.written) - before)
        assert max(written) <= MAX_FRAGMENT_SIZE + 10
        payloads = [b""]
        inflate = zlib.decompressobj(-15)
        for each in socket.frames():
            payloads[-1] += each.payload
            if each.fin:
                payloads.append(b"")
        if lines:
            payloads = [inflate.decompress(each + b"\0\0\xff\xff") for each in payloads[:-1]] + [
                b""
            ]
        assert payloads == [*[RANDOM[:size] for size in sizes], b""]

    @pytest.mark.parametrize("end", ["loss", "close frame", "our close"])
    def test_senders_at_the_end(self, serve: Serve, end: str) -> None:
        """W40: waiting senders fail at once, and nothing is sent after the close frame."""
        socket = Socket(serve, application_close_timeout=0)
        socket.wire.stops_reading()
        tasks = [socket.starts(sends_text(each)) for each in "abc"]
        if end == "loss":
            socket.wire.vanishes()
        elif end == "close frame":
            socket.wire.sends(close())
        else:
            socket.sends(closes())
        assert all(task.done() for task in tasks)
        assert [type(task.exception()) for task in tasks] == [ConnectionClosed] * 3
        assert [each.opcode for each in socket.frames()] == [CLOSE] * (end != "loss")

    def test_many_senders_fill_no_memory(self, serve: Serve) -> None:
        """K4: what many tasks send to a peer that does not read is not written."""
        socket = Socket(serve)
        socket.wire.stops_reading()
        tasks = [socket.starts(sends_bytes(bytes(100000))) for _ in range(20)]
        assert socket.wire.written == b""
        socket.wire.reads_on()
        assert all(task.done() for task in tasks)
        assert len(socket.frames()) == 20

    @pytest.mark.parametrize("end", ["loss", "close frame"])
    def test_released_by_the_end(self, serve: Serve, end: str) -> None:
        """C09: "or the connection has been closed"."""
        socket = Socket(serve)
        socket.wire.stops_reading()
        task = socket.starts(sends_text("a"))
        if end == "loss":
            socket.wire.vanishes()
        else:
            socket.wire.sends(close())
        socket.memory.passes(61)
        assert task.done()
        assert socket.wire.lost

    def test_has_a_deadline(self, serve: Serve) -> None:
        """`--write-timeout`: a peer that never reads again is cut off; the application is told."""
        socket = Socket(serve, write_timeout=5)
        socket.wire.stops_reading()
        task = socket.starts(sends_text("a"))
        socket.memory.passes(4.9)
        assert not socket.wire.aborted
        socket.memory.passes(0.7)
        assert socket.wire.aborted
        assert task.done()
        assert socket.events() == [disconnected(1006)]
        assert socket.memory.server.connections == set()

    def test_deadline_of_further_writes(self, serve: Serve) -> None:
        """S35: a transport that asks again, as Twisted's do, gives the peer no new time."""
        socket = Socket(serve, write_timeout=5)
        for _ in range(6):
            socket.wire.stops_reading()
            socket.memory.passes(1)
        assert socket.wire.aborted

    def test_progress_has_none(self, serve: Serve) -> None:
        """`--write-timeout`: one that reads slowly, but does, may take its time."""
        socket = Socket(serve, write_timeout=5, ping_interval=None)
        for _ in range(5):
            socket.wire.stops_reading()
            socket.memory.passes(4)
            socket.wire.reads_on()
        socket.memory.passes(10)
        assert not socket.wire.closing

    def test_deadline_after_the_close(self, serve: Serve, monkeypatch: Patch) -> None:
        """`--write-timeout`: nor does a peer that has said goodbye keep the connection for ever."""
        socket = Socket(serve, write_timeout=5)
        # The transport waits until the peer has read what it holds.
        monkeypatch.setattr(socket.wire, "loseConnection", lambda: None)
        socket.wire.stops_reading()
        socket.wire.sends(close())
        socket.memory.passes(4.9)
        assert not socket.wire.aborted
        socket.memory.passes(0.7)
        assert socket.wire.aborted

    def test_reads_the_peer_still(self, serve: Serve) -> None:
        """A peer that does not read may send."""
        socket = Socket(serve)
        socket.wire.stops_reading()
        socket.wire.sends(text("a"))
        assert socket.events() == [got("a")]
