"""The load of messages: picows, in Cython, on uvloop."""

# picows is in the peers' virtual environment only, where no type checker runs.
# mypy: disable-error-code="import-not-found, misc"

from __future__ import annotations

import asyncio
import time
from itertools import cycle

import picows
import uvloop

from benchmarks.dialogue import Order, Tally, WrongLoadError, finish, ready
from benchmarks.websocket import frames
from benchmarks.websocket.frames import Opcode
from benchmarks.websocket.workloads import Exercise, WebSocketWorkload

AT_A_TIME = 50
"""Concurrent handshakes while connections are opened."""
TIMEOUT_SECONDS = 10.0
CLOSE_SECONDS = 3.0
ROUNDS_AHEAD = 2
"""Broadcasts requested before the previous one is complete, so that the server never waits."""


def run(workload: WebSocketWorkload, order: Order) -> None:
    """Exchange messages for the ordered time.

    Raises:
        WrongLoadError: a wrong message arrived, or a message is missing.
    """
    uvloop.run(_run(workload, order))


async def _run(workload: WebSocketWorkload, order: Order) -> None:
    load: Load
    if workload.exercise is Exercise.BROADCAST:
        load = Broadcast(workload, order.connections)
    else:
        load = Echo(workload)
    await load.open(order)
    ready()
    started, cpu = time.perf_counter(), time.process_time()
    load.start()
    await asyncio.sleep(order.seconds)
    await load.stop()
    used = time.process_time() - cpu
    finish(Tally(load.count, time.perf_counter() - started, used))
    await load.close()


class Load:
    """Connections, and the number of messages that arrived on them."""

    def __init__(self, workload: WebSocketWorkload) -> None:
        self._workload = workload
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running = False
        self.transports: list[picows.WSTransport] = []
        self.count = 0

    def listener(self) -> picows.WSListener:
        """Create the listener of one connection."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin to send."""
        raise NotImplementedError

    async def open(self, order: Order) -> None:
        """Open all connections."""
        url = f"ws://{frames.HOST}:{order.port}{self._workload.target}"
        fields = {"Sec-WebSocket-Extensions": frames.OFFER} if self._workload.deflate else {}
        left = order.connections
        while left:
            some = min(left, AT_A_TIME)
            opened = await asyncio.gather(
                *(
                    picows.ws_connect(
                        self.listener, url, extra_headers=fields, logger_name="benchmarks"
                    )
                    for _ in range(some)
                )
            )
            self.transports += [transport for transport, _ in opened]
            left -= some

    async def stop(self) -> None:
        """Stop sending, and wait for the outstanding messages.

        Raises:
            WrongLoadError: see :func:`run`.
        """
        self._running = False
        try:
            await asyncio.wait_for(self._done, TIMEOUT_SECONDS)
        except asyncio.TimeoutError:
            raise WrongLoadError("messages that were owed did not come") from None

    async def close(self) -> None:
        """Close all connections with a closing handshake, so that no server logs an error."""
        for transport in self.transports:
            transport.send_close(picows.WSCloseCode.OK)
        closing = [asyncio.ensure_future(one.wait_disconnected()) for one in self.transports]
        await asyncio.wait(closing, timeout=CLOSE_SECONDS)

    def unexpected(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        """Handle another frame than an expected message: at the end, the answer to the close."""
        self.fail(f"not the message owed: {frame}")
        transport.disconnect()

    def fail(self, reason: str) -> None:
        """Make :meth:`stop` raise."""
        if not self._done.done():
            self._done.set_exception(WrongLoadError(reason))

    def done(self) -> None:
        """Report that all messages have arrived."""
        if not self._done.done():
            self._done.set_result(None)


class Echo(Load):
    """Keeps one message outstanding on each connection."""

    def __init__(self, workload: WebSocketWorkload) -> None:
        super().__init__(workload)
        messages = [frames.message(one, workload.deflate) for one in workload.messages]
        self.payloads = [one.payload for one in messages]
        self.text = messages[0].opcode is Opcode.TEXT
        self.rsv1 = workload.deflate
        self._under_way = 0

    def listener(self) -> picows.WSListener:
        return EchoListener(self)

    def start(self) -> None:
        self._running = True
        self._under_way = len(self.transports)
        for transport in self.transports:
            self.send(transport, self.payloads[0])

    def send(self, transport: picows.WSTransport, payload: bytes) -> None:
        """Send one message."""
        kind = picows.WSMsgType.TEXT if self.text else picows.WSMsgType.BINARY
        transport.send(kind, payload, True, self.rsv1)

    def received(self) -> bool:
        """Count a message, and tell whether to send another one."""
        self.count += 1
        if not self._running:
            self._under_way -= 1
            if not self._under_way:
                self.done()
        return self._running


class EchoListener(picows.WSListener):
    """Send the next message when one has come.

    The content was compared before; here its type, and its length or its compression.
    """

    def __init__(self, load: Echo) -> None:
        self._load = load
        self._kind = picows.WSMsgType.TEXT if load.text else picows.WSMsgType.BINARY
        self._rsv1 = load.rsv1
        self._octets = len(load.payloads[0])
        self._next = cycle(load.payloads).__next__

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        rsv1 = self._rsv1
        if (
            frame.msg_type != self._kind
            or frame.rsv1 != rsv1
            or (not rsv1 and frame.payload_size != self._octets)
        ):
            self._load.unexpected(transport, frame)
        elif self._load.received():
            transport.send(self._kind, self._next(), True, rsv1)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._load.fail("a connection was closed")


class Broadcast(Load):
    """The last connection requests a broadcast; all connections receive it."""

    def __init__(self, workload: WebSocketWorkload, connections: int) -> None:
        super().__init__(workload)
        self.octets = len(frames.message(workload.answers[0], workload.deflate).payload)
        self._connections = connections
        self._round_left = connections
        self._rounds_under_way = 0

    def listener(self) -> picows.WSListener:
        return BroadcastListener(self)

    def start(self) -> None:
        self._running = True
        for _ in range(ROUNDS_AHEAD):
            self._ask()

    def _ask(self) -> None:
        self._rounds_under_way += 1
        self.transports[-1].send(picows.WSMsgType.TEXT, b"go")

    def received(self) -> None:
        """Count a message; when all have received a broadcast, request another one."""
        self.count += 1
        self._round_left -= 1
        if self._round_left:
            return
        self._round_left = self._connections
        self._rounds_under_way -= 1
        if self._running:
            self._ask()
        elif not self._rounds_under_way:
            self.done()


class BroadcastListener(picows.WSListener):
    """Counts the broadcasts that it receives."""

    def __init__(self, load: Broadcast) -> None:
        self._load = load

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.payload_size == self._load.octets:
            self._load.received()
        else:
            self._load.unexpected(transport, frame)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._load.fail("a connection was closed")
