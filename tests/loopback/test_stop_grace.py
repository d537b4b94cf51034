"""What is on its way when the server stops is answered, and no connection is reset."""

from __future__ import annotations

import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from daphne_like.process.signals import TOGETHER_SECONDS
from tests.support.certificates import Authority
from tests.support.real_server import DEADLINE, WITHOUT_UVLOOP, Running, rest

Start = Callable[..., Running]

REQUEST = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"
CONNECTIONS = 100
FEW = 10
IDLE = "2"
"""`--drain-idle`, in seconds."""
STOCK = (sys.executable, "on_stock_reactor.py")
AUTHORITY = Authority()


class Carrier:
    """A server on one kind of endpoint, and how a client connects to it."""

    def __init__(self, server: Start, program: Start, folder: Path, kind: str) -> None:
        self.kind = kind
        idle = ("--drain-idle", IDLE)
        self.context = ssl.create_default_context()
        self._connections: list[socket.socket] = []
        if kind == "unix":
            self.path = str(folder / "socket")
            self.running = program("-u", self.path, *idle, "stopping:application")
            self.running.wait_for("serves")
        elif kind == "tls":
            certificate, key = AUTHORITY.issue("localhost").write(folder, "site")
            self.context.check_hostname = False
            self.context.verify_mode = ssl.CERT_NONE
            self.running = server(
                "stopping:application", *idle, "--tls-certificate", certificate, "--tls-key", key
            )
        elif kind == "stock":
            self.running = program(
                "tcp:0:interface=127.0.0.1", "stopping:application", IDLE, program=STOCK
            ).wait_until_ready()
        elif kind == "asyncio":
            self.running = program(
                "-p", "0", *idle, "stopping:application", program=WITHOUT_UVLOOP
            ).wait_until_ready()
        else:
            self.running = server("stopping:application", *idle)

    def plain(self) -> socket.socket:
        """A connection as the kernel makes it."""
        if self.kind != "unix":
            connection = socket.create_connection(
                (self.running.host, self.running.port), timeout=DEADLINE
            )
            self._connections.append(connection)
            return connection
        connection = socket.socket(socket.AF_UNIX)
        self._connections.append(connection)
        connection.settimeout(DEADLINE)
        connection.connect(self.path)
        return connection

    def secure(self, connection: socket.socket) -> socket.socket:
        """The same, behind a TLS handshake if there is TLS."""
        if self.kind != "tls":
            return connection
        self._connections.append(self.context.wrap_socket(connection, server_hostname="localhost"))
        return self._connections[-1]

    def close(self) -> None:
        """Close the clients' ends."""
        for connection in self._connections:
            connection.close()

    def connect(self) -> socket.socket:
        """A connection that is ready for a request."""
        return self.secure(self.plain())


@pytest.fixture(params=["tcp", "unix", "tls", "asyncio", "stock"])
def carrier(
    request: pytest.FixtureRequest, server: Start, program: Start, tmp_path: Path
) -> Iterator[Carrier]:
    carrier = Carrier(server, program, tmp_path, request.param)
    yield carrier
    carrier.close()


def is_answered(connection: socket.socket) -> bool:
    """Whether all that comes is the whole answer to REQUEST, said to be the last, and FIN."""
    answer = rest(connection)
    return (
        answer.startswith(b"HTTP/1.1 200 OK\r\n")
        and b"\r\nConnection: close\r\n" in answer
        and answer.endswith(b"\r\n\r\nhello\n")
    )


class TestGrace:
    """docs/discussion/stopping.rst: requests on their way are answered."""

    def test_a_fresh_connection(self, carrier: Carrier) -> None:
        """Connect, SIGTERM, 200 ms, request: it is answered, and FIN follows."""
        connections = [carrier.connect() for _ in range(CONNECTIONS)]
        carrier.running.signal()
        carrier.running.wait_for("Stopping")
        time.sleep(0.2)
        for connection in connections:
            connection.sendall(REQUEST)
        assert [is_answered(connection) for connection in connections] == [True] * CONNECTIONS
        carrier.close()
        assert carrier.running.ended() == 0

    def test_an_idle_connection(self, carrier: Carrier) -> None:
        """The next request on a kept connection likewise: its client cannot know of the stop."""
        connections = [carrier.connect() for _ in range(FEW)]
        for connection in connections:
            connection.sendall(REQUEST)
            received = b""
            while not received.endswith(b"hello\n"):
                received += connection.recv(65536)
        carrier.running.signal()
        carrier.running.wait_for("Stopping")
        time.sleep(0.2)
        for connection in connections:
            connection.sendall(REQUEST)
        assert [is_answered(connection) for connection in connections] == [True] * FEW

    def test_the_listen_queue(self, carrier: Carrier) -> None:
        """Who is in the kernel's queue is accepted and answered before the port closes."""
        carrier.running.signal(signal.SIGSTOP)
        connections = [carrier.plain() for _ in range(FEW)]
        if carrier.kind != "tls":
            for connection in connections:
                connection.sendall(REQUEST)
        carrier.running.signal()
        carrier.running.signal(signal.SIGCONT)
        if carrier.kind == "tls":
            connections = [carrier.secure(connection) for connection in connections]
            for connection in connections:
                connection.sendall(REQUEST)
        for connection in connections:  # the first may be answered before the signal is seen
            answer = rest(connection)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"\r\n\r\nhello\n")

    def test_who_sends_nothing(self, carrier: Carrier) -> None:
        """An idle connection gets FIN, no reset, when its time is over."""
        connection = carrier.connect()
        carrier.running.signal()
        began = time.monotonic()
        assert rest(connection) == b""
        assert float(IDLE) - 0.1 < time.monotonic() - began < float(IDLE) + 3
        carrier.close()
        assert carrier.running.ended() == 0

    def test_http2(self, carrier: Carrier) -> None:
        """GOAWAY announces the end, streams on their way are served, the last GOAWAY names them."""
        connection = carrier.plain()
        if carrier.kind == "tls":
            carrier.context.set_alpn_protocols(["h2"])
            connection = carrier.secure(connection)
        client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        client.initiate_connection()
        connection.sendall(client.data_to_send())
        assert connection.recv(65536)
        carrier.running.signal()
        carrier.running.wait_for("Stopping")
        time.sleep(0.2)
        fields = [
            (":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/hello"),
        ]  # fmt: skip
        client.send_headers(1, fields, end_stream=True)
        connection.sendall(client.data_to_send())
        came = rest(connection)
        frames = []
        while came:
            size = int.from_bytes(came[:3], "big")
            frames.append((came[3], came[9 : 9 + size]))
            came = came[9 + size :]
        assert (0, b"hello\n") in frames
        last_streams = [int.from_bytes(body[:4], "big") for kind, body in frames if kind == 7]
        assert last_streams == [2**31 - 1, 1]
        assert carrier.running.ended() == 0


class TestKinds:
    """SIGTERM drains patiently, Ctrl-C quickly."""

    def test_three_seconds_later(self, server: Start) -> None:
        """SIGTERM: an idle connection is served once more."""
        running = server("stopping:application")
        connection = running.connect()
        connection.sendall(REQUEST)
        received = b""
        while not received.endswith(b"hello\n"):
            received += connection.recv(65536)
        assert b"Connection: close" not in received
        running.signal()
        running.wait_for("Stopping")
        time.sleep(3)
        connection.sendall(REQUEST)
        assert is_answered(connection)
        connection.close()
        assert running.ended() == 0

    def test_interrupt(self, server: Start) -> None:
        """SIGINT: an idle connection is closed after half a second, whatever the options say."""
        running = server(
            "stopping:application", "--drain-idle", "9", "--shutdown-delay", "9",
            "--drain-spread", "9",
        )  # fmt: skip
        connection = running.connect()
        began = time.monotonic()
        running.signal(signal.SIGINT)
        assert rest(connection) == b""
        assert running.ended() == 0
        assert time.monotonic() - began < 8

    def test_delay(self, server: Start) -> None:
        """`--shutdown-delay`: new connections are accepted and kept; then the stop begins."""
        running = server("stopping:application", "--shutdown-delay", "2")
        began = time.monotonic()
        running.signal()
        running.wait_for("Stopping in 2 seconds; still accepting connections; a second signal")
        connection = running.connect()
        connection.sendall(REQUEST)
        received = b""
        while not received.endswith(b"hello\n"):
            received += connection.recv(65536)
        assert b"Connection: close" not in received
        connection.close()
        assert running.ended() == 0
        assert time.monotonic() - began > 1.9

    def test_delay_ends_with_a_second_signal(self, server: Start) -> None:
        """The stop is then forced, like any other."""
        running = server("stopping:application", "--shutdown-delay", "60")
        running.signal()
        running.wait_for("Stopping in 60 seconds")
        time.sleep(TOGETHER_SECONDS)
        running.signal()
        assert running.ended(10) == 0
        assert "lifespan.shutdown" in running.log


class TestEventStreams:
    """A stream of events has no end of its own."""

    def stops_within(self, server: Start, name: str, grace: int, end: bytes) -> Running:
        """Stop a server within a response, whose last chunk ends as given; return the server."""
        running = server("stopping:application", "--graceful-timeout", str(grace))
        connection = running.connect()
        connection.sendall(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % name.encode())
        running.wait_for(f"{name} begins?")
        running.signal()
        assert rest(connection).endswith(end + b"\r\n0\r\n\r\n")
        assert running.ended(20) == 0
        return running

    def test_told_at_the_beginning(self, server: Start) -> None:
        """`http.disconnect` comes at once; its response is whole where the application ends it."""
        running = self.stops_within(server, "events", 60, b"data: 1\n\n")
        assert "events are told" in running.log
        assert "without completing" not in running.log

    def test_unread_octets(self, server: Start) -> None:
        """The connection ends with FIN although octets of the client are still unread."""
        running = server("stopping:application")
        connection = running.connect()
        connection.sendall(
            b"POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 300_000
        )
        running.wait_for("events begin")
        running.signal()
        running.wait_for("events are told")
        connection.sendall(b"x" * 300_000)
        assert rest(connection).endswith(b"data: 1\n\n\r\n0\r\n\r\n")
        connection.close()
        assert running.ended(20) == 0

    def test_spread(self, server: Start) -> None:
        """`--drain-spread`: one after the other."""
        running = server("stopping:application", "--drain-spread", "2")
        connections = [running.connect() for _ in range(4)]
        for connection in connections:
            connection.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
            while b"data: 1" not in connection.recv(65536):
                pass
        running.signal()
        times = []
        for connection in connections:
            assert rest(connection).endswith(b"0\r\n\r\n")
            times.append(time.monotonic())
        assert 1.2 < times[-1] - times[0] < 4
        assert running.ended(20) == 0

    def test_others_are_not(self, server: Start) -> None:
        """A download that listens for its client's end goes on."""
        self.stops_within(server, "download", 2, b"whole\n")


class TestTold:
    """`-v 1` says what a stop does."""

    def test_nothing_connected(self, server: Start) -> None:
        """It begins and ends at once, in two lines."""
        running = server("stopping:application")
        running.signal()
        assert running.ended() == 0
        assert "waiting" not in running.log
        assert running.log.index("Stopping") < running.log.index("Stopped")

    def test_what_it_waits_for(self, server: Start) -> None:
        """Said at the beginning and every five seconds, with the way to end it at once."""
        running = server("stopping:application", "--graceful-timeout", "60")
        connection = running.connect()
        connection.sendall(b"GET /deaf HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(1)
        running.signal()
        running.wait_for(
            r"Stopping: waiting at most 60 s for 1 application "
            r"\(\[\d+ 127.0.0.1:\d+\] Application for GET '/deaf'\) "
            "and 1 connection; a second signal stops it at once"
        )
        running.wait_for(
            r"Still stopping: waiting 5[45] s more for 1 application .* and 1 connection; "
            "a second signal stops it at once"
        )
        running.signal()
        assert running.ended(20) == 0
        assert "Stopped" in running.log
