"""`--max-concurrent-requests`: further requests wait in a bounded queue, then get 503."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.exceptions import ConfigurationError
from daphne_like.options import Options, check_workers
from tests.support.h2_peer import H2Peer
from tests.support.memory import Memory
from tests.support.peers import get, post, read_answers

Serve = Callable[..., Memory]

HANDSHAKE = (
    b"GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Gate:
    """An application that answers each path when the test lets it."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.bodies: list[bytes] = []
        self._doors: dict[str, asyncio.Event] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        self.started.append(path)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            return
        self.bodies.append((await receive()).get("body", b""))
        door = self._doors[path] = asyncio.Event()
        await door.wait()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": path.encode()})

    def release(self, memory: Memory, path: str) -> None:
        """Let a request be answered, and those behind it begin."""
        self._doors[path].set()
        memory.settle()


def statuses(wire: Any) -> list[int]:
    """The statuses of all responses on a connection."""
    return [answer.status for answer in read_answers(wire.written)]


class TestQueue:
    """Requests that wait."""

    def test_in_order(self, serve: Serve) -> None:
        """As many as the option says run; the others follow in the order of their arrival."""
        gate = Gate()
        memory = serve(gate, max_concurrent_requests=2, lifespan="off")
        wires = [memory.connect().sends(get(b"/%d" % n)) for n in range(4)]
        assert gate.started == ["/0", "/1"]
        gate.release(memory, "/1")
        assert gate.started == ["/0", "/1", "/2"]
        gate.release(memory, "/0")
        gate.release(memory, "/3")
        gate.release(memory, "/2")
        assert [statuses(wire) for wire in wires] == [[200]] * 4
        wires[0].sends(get(b"/again"))
        assert gate.started[-1] == "/again"

    def test_full(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """One more than the queue takes is refused at once, with Retry-After and a log line."""
        caplog.set_level("INFO")
        gate = Gate()
        memory = serve(gate, max_concurrent_requests=1, max_queued_requests=1, lifespan="off")
        wires = [memory.connect().sends(get(b"/%d" % n)) for n in range(3)]
        memory.settle()
        assert [statuses(wire) for wire in wires] == [[], [], [503]]
        (answer,) = read_answers(wires[2].written)
        assert answer.fields[b"retry-after"] == b"1"
        assert any("Refused with 503: Too many requests" in line for line in caplog.messages)
        gate.release(memory, "/0")
        gate.release(memory, "/1")
        assert [statuses(wire) for wire in wires[:2]] == [[200], [200]]

    def test_no_queue(self, serve: Serve) -> None:
        """With --max-queued-requests 0 nothing waits."""
        gate = Gate()
        memory = serve(gate, max_concurrent_requests=1, max_queued_requests=0, lifespan="off")
        memory.connect().sends(get(b"/0"))
        wire = memory.connect().sends(post(b"body", path=b"/1"))
        memory.settle()
        assert (statuses(wire), gate.started) == ([503], ["/0"])

    def test_too_long(self, serve: Serve) -> None:
        """A request that has waited for --request-queue-timeout is refused, and never starts."""
        gate = Gate()
        memory = serve(gate, max_concurrent_requests=1, request_queue_timeout=3, lifespan="off")
        memory.connect().sends(get(b"/0"))
        wire = memory.connect().sends(get(b"/1"))
        memory.passes(2)
        assert statuses(wire) == []
        memory.passes(1.6)
        assert statuses(wire) == [503]
        gate.release(memory, "/0")
        assert gate.started == ["/0"]

    def test_client_that_leaves(self, serve: Serve) -> None:
        """A client that has gone takes no place in the queue, and its request never starts."""
        gate = Gate()
        memory = serve(gate, max_concurrent_requests=1, max_queued_requests=1, lifespan="off")
        memory.connect().sends(get(b"/0"))
        memory.connect().sends(get(b"/1")).vanishes()
        wire = memory.connect().sends(get(b"/2"))
        gate.release(memory, "/0")
        gate.release(memory, "/2")
        assert (gate.started, statuses(wire)) == (["/0", "/2"], [200])

    def test_body(self, serve: Serve) -> None:
        """The application receives the body that arrived while the request waited."""
        gate = Gate()
        memory = serve(gate, max_concurrent_requests=1, lifespan="off")
        memory.connect().sends(get(b"/0"))
        memory.connect().sends(post(b"the body", path=b"/1"))
        gate.release(memory, "/0")
        assert gate.bodies == [b"", b"the body"]


class TestCarriers:
    """What else carries requests."""

    def test_http2(self, serve: Serve) -> None:
        """Streams of one connection wait for each other; the refused one is answered with 503."""
        gate = Gate()
        memory = serve(
            gate, max_concurrent_requests=1, max_queued_requests=1, http="2", lifespan="off"
        )
        peer = H2Peer(memory)
        first, second, third = (peer.asks(path=path) for path in (b"/0", b"/1", b"/2"))
        memory.settle()
        peer.read()
        assert peer.answer(third).status == 503
        gate.release(memory, "/0")
        gate.release(memory, "/1")
        peer.read()
        assert (peer.answer(first).status, peer.answer(second).status) == (200, 200)

    def test_websockets_do_not_count(self, serve: Serve) -> None:
        """A WebSocket opens although the limit is reached, and takes no place of a request."""
        gate = Gate()
        memory = serve(gate, max_concurrent_requests=1, max_queued_requests=0, lifespan="off")
        sockets = [memory.connect().sends(HANDSHAKE) for _ in range(3)]
        wire = memory.connect().sends(get(b"/0"))
        sockets.append(memory.connect().sends(HANDSHAKE))
        memory.settle()
        assert all(socket.written.startswith(b"HTTP/1.1 101") for socket in sockets)
        gate.release(memory, "/0")
        assert statuses(wire) == [200]


@pytest.mark.parametrize("name", ["max_queued_requests", "request_queue_timeout"])
def test_options_without_the_limit(name: str) -> None:
    """Nothing waits without the limit, so that the options of the queue would have no effect."""
    values: dict[str, Any] = {name: 7}
    with pytest.raises(ConfigurationError, match="needs --max-concurrent-requests"):
        check_workers(Options(**values))
    check_workers(Options(max_concurrent_requests=3, **values))
