"""The load of TLS handshakes: ``python -m benchmarks.tls.handshakes '{...}'``.

It opens connections, makes one request on each, and closes them as fast as the server can. It uses
sockets under epoll and OpenSSL on memory, verifies nothing and parses only both ends of the
response: a client that does more would cost more than the server. Half of a handshake is the
client's work anyway, so this load does not keep a fast server busy. Therefore compare the processor
time of each connection rather than connections per second. :mod:`benchmarks.tls.checks` verifies
the server before; this module also checks that each session is resumed, or none.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from enum import Enum

from benchmarks.applications import HELLO_BODY
from benchmarks.dialogue import Order, Tally, WrongLoadError, finish, obey, ready
from benchmarks.tls.credentials import HOST
from benchmarks.tls.workloads import TLS_WORKLOADS, Exercise

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
OK = b"HTTP/1.1 200"
READ_OCTETS = 1 << 14
TIMEOUT_SECONDS = 10.0


class State(Enum):
    """The states of a connection."""

    HANDSHAKE = "the server's part of the handshake"
    ANSWER = "the answer to its request"
    END = "the server to close too"


def run(order: Order) -> None:
    """Open and close connections for the ordered time.

    Raises:
        WrongLoadError: a response was wrong, or a session was resumed against the order, or was
            not resumed.
    """
    (workload,) = (one for one in TLS_WORKLOADS if one.name == order.workload)
    load = Handshakes(order.port, resume=workload.exercise is Exercise.RESUMED)
    # Each of these connections provides a session for a counted one.
    load.run(order.connections, until=0.0)
    ready()
    load.count = 0
    started, cpu = time.perf_counter(), time.process_time()
    load.run(order.connections, started + order.seconds)
    used = time.process_time() - cpu
    finish(Tally(load.count, time.perf_counter() - started, used))


class Handshakes:
    """Open connections, each replaced by a new one until the time is over."""

    def __init__(self, port: int, resume: bool) -> None:
        self._address = (HOST, port)
        self._resume = resume
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._epoll = select.epoll()
        self._under_way: dict[int, Connection] = {}
        self._sessions: list[ssl.SSLSession] = []
        """Sessions; each is used once, because a stateful server (rustls) then forgets it."""
        self.count = 0

    def run(self, connections: int, until: float) -> None:
        """Keep a number of connections open until a time, then complete the last ones."""
        for _ in range(connections):
            self._open()
        while self._under_way:
            ready_now = self._epoll.poll(TIMEOUT_SECONDS)
            if not ready_now:
                waiting = {one.state.value for one in self._under_way.values()}
                raise WrongLoadError(f"waited in vain for {', '.join(sorted(waiting))}")
            ended = sum(self._advance(descriptor) for descriptor, _ in ready_now)
            if ended and time.perf_counter() < until:
                for _ in range(ended):
                    self._open()

    def _open(self) -> None:
        session = self._sessions.pop() if self._sessions else None
        connection = Connection(self._context, self._address, session)
        descriptor = connection.socket.fileno()
        self._under_way[descriptor] = connection
        self._epoll.register(descriptor, select.EPOLLIN)

    def _advance(self, descriptor: int) -> bool:
        """Take a step, and tell whether the connection is at its end."""
        connection = self._under_way[descriptor]
        if not connection.advance():
            return False
        self._epoll.unregister(descriptor)
        del self._under_way[descriptor]
        connection.socket.close()
        if connection.reused is not (connection.session is not None):
            raise WrongLoadError(f"session reused: expected {not connection.reused}")
        if self._resume:
            self._sessions.append(connection.next_session())
        self.count += 1
        return True


class Connection:
    """One handshake, one request, one response, and a close by both sides."""

    def __init__(
        self, context: ssl.SSLContext, address: tuple[str, int], session: ssl.SSLSession | None
    ) -> None:
        self.session = session
        self.reused = False
        self.state = State.HANDSHAKE
        self._answer = b""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, session=session)
        self.socket = socket.socket()
        self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._step()

    def advance(self) -> bool:
        """Read, take a step, and tell whether the server has closed after its answer.

        Raises:
            WrongLoadError: the server closed before, or sent a wrong response.
        """
        octets = self.socket.recv(READ_OCTETS)
        if self.state is State.END:
            return not octets
        if not octets:
            raise WrongLoadError(f"closed instead of {self.state.value}")
        self._incoming.write(octets)
        self._step()
        return False

    def next_session(self) -> ssl.SSLSession:
        """Return the session of the last ticket.

        Raises:
            WrongLoadError: the server sent no ticket.
        """
        session = self._tls.session
        if session is None or not session.has_ticket:
            raise WrongLoadError("no session ticket came")
        return session

    def _step(self) -> None:
        try:
            if self.state is State.HANDSHAKE:
                self._tls.do_handshake()
                self.reused = bool(self._tls.session_reused)
                self._tls.write(REQUEST)
                self.state = State.ANSWER
            else:
                self._read()
        except ssl.SSLWantReadError:
            pass
        if self._outgoing.pending:
            self.socket.send(self._outgoing.read())

    def _read(self) -> None:
        # Head and body may be in separate records, which may arrive together.
        while not self._answer.endswith(HELLO_BODY):
            octets = self._tls.read(READ_OCTETS)
            if not octets:
                raise WrongLoadError(f"closed after {self._answer[:40]!r}")
            self._answer += octets
        if not self._answer.startswith(OK):
            raise WrongLoadError(f"status: expected 200, got {self._answer[:40]!r}")
        self.state = State.END
        self._tls.unwrap()


if __name__ == "__main__":
    obey(run)
