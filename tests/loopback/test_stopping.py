"""A stop loses nothing it need not lose, and is bounded (defects K5, K9, K10)."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.real_server import DEADLINE, PROJECTS, Running, rest

Start = Callable[..., Running]


def ask(server: Running, path: str, until: bytes = b"started\n") -> socket.socket:
    """Send a request; return when its answer has come as far as `until`."""
    connection = server.connect()
    connection.sendall(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
    received = b""
    while until not in received:
        data = connection.recv(65536)
        assert data, received
        received += data
    return connection


def rest_of_one(server: Running, path: str) -> bytes:
    """The whole answer to one request, on a connection of its own."""
    connection = server.connect()
    connection.sendall(b"GET /%b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
    return rest(connection)


def asked_when_there(path: Path) -> bytes:
    """The answer of a server on a UNIX socket, as soon as it listens and serves."""
    deadline = time.monotonic() + DEADLINE
    while True:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE)
            try:
                connection.connect(str(path))
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
                continue
            connection.sendall(b"GET /hello HTTP/1.0\r\n\r\n")
            return rest(connection)


class TestStop:
    """The stop, as docs/discussion/stopping.rst describes it."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_request_in_flight_is_answered(self, server: Start, number: int) -> None:
        """K5: then lifespan.shutdown, then exit status 0; idle connections do not delay it."""
        running = server("stopping:application", "--drain-idle", "0.5")
        idle = running.connect()
        asking = running.connect()
        asking.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        running.wait_for("slow is called")
        running.signal(number)
        answer = rest(asking)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"hello\n")
        assert b"Connection: close" in answer
        assert running.ended() == 0
        assert "lifespan.shutdown" in running.log
        assert rest(idle) == b""

    def test_nothing_is_accepted_any_more(self, server: Start) -> None:
        """While it drains, a new connection is refused."""
        running = server("stopping:application")
        ask(running, "listening")
        running.signal()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                running.connect().close()
            except (ConnectionRefusedError, ConnectionResetError):
                break
        else:
            raise AssertionError("still accepting")
        running.signal()
        assert running.ended() == 0

    def test_streams_are_told_after_the_graceful_timeout(self, server: Start) -> None:
        """http.disconnect, and what the application still sends arrives."""
        running = server("stopping:application", "--graceful-timeout", "1")
        asking = ask(running, "listening")
        running.signal()
        assert rest(asking).endswith(b"goodbye\n\r\n0\r\n\r\n")
        assert running.ended() == 0
        assert "listening is told" in running.log

    def test_who_does_not_end_is_cancelled_and_named(self, server: Start) -> None:
        """The warning has the innermost line the application waits at."""
        running = server("stopping:application", "--graceful-timeout", "0")
        asking = ask(running, "stubborn")
        running.signal()
        assert running.ended(15) == 0
        assert "stopping.py" in running.log
        assert "in waits_for_ever: await asyncio.Event().wait()" in running.log
        assert rest(asking) in (b"<reset>", b"")

    def test_a_second_signal_forces(self, server: Start) -> None:
        """It does not wait out the graceful timeout; lifespan.shutdown is still sent."""
        running = server("stopping:application", "--graceful-timeout", "60")
        ask(running, "deaf")
        running.signal()
        with pytest.raises(subprocess.TimeoutExpired):
            running.ended(1)
        running.signal()
        assert running.ended(10) == 0
        assert "lifespan.shutdown" in running.log

    def test_two_at_once_are_one(self, server: Start) -> None:
        """A terminal and a parent process both pass on a Ctrl-C: nobody has asked twice."""
        running = server("stopping:application")
        asking = running.connect()
        asking.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        running.wait_for("slow is called")
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            running.signal(number)
        assert running.ended(15) == 0
        assert rest(asking).endswith(b"hello\n")
        assert "Second signal" not in running.log

    def test_a_blocked_loop_is_reported_and_can_be_forced(self, server: Start) -> None:
        """The warning says where it is blocked; the second signal ends the process."""
        running = server("stopping:application", "--stall-warning", "1")
        running.connect().sendall(b"GET /blocking HTTP/1.1\r\nHost: a\r\n\r\n")
        running.wait_for("has been blocked for")
        running.wait_for(r"stopping\.py:\d+ in blocking: time\.sleep\(60\)")
        running.signal()
        with pytest.raises(subprocess.TimeoutExpired):
            running.ended(1)
        running.signal()
        assert running.ended(10) == 128 + signal.SIGTERM


class TestBadApplications:
    """K1: one bad application instance harms nobody else; each has its defined outcome."""

    @pytest.mark.parametrize("path", ["exits", "interrupts", "raises", "returns"])
    def test_500_and_the_server_goes_on(self, server: Start, path: str) -> None:
        """Also SystemExit and KeyboardInterrupt end that exchange alone, and are logged."""
        running = server("stopping:application", expects_traceback=True)
        for _ in range(3):
            assert rest(ask(running, path, b"\r\n\r\nInternal Server Error\n")) == b""
        assert rest(ask(running, "raises_late")).endswith(b"<reset>")
        ask(running, "hello", b"hello\n")
        running.signal(signal.SIGINT)
        assert running.ended() == 0
        assert "\x1b" not in running.log

    def test_an_application_that_stays_after_its_peer_has_gone(self, server: Start) -> None:
        """It is cancelled after --application-close-timeout, as often as it takes."""
        running = server("stopping:application", "--application-close-timeout", "1")
        ask(running, "stubborn").close()
        running.wait_for("still runs 1 seconds? after its peer has gone; cancelling it")
        running.wait_for("in waits_for_ever")
        running.wait_for("stubborn goes on")
        running.wait_for("(?s)cancelling it.*it was cancelled but still runs")

    def test_the_event_loop_is_stopped(self, server: Start) -> None:
        """`loop.stop()`: it is told, requests are finished, and the exit status is not 0."""
        running = server("stopping:application")
        assert rest(ask(running, "stops_the_loop")).endswith(b"goodbye\n\r\n0\r\n\r\n")
        assert running.ended() == 1
        assert "The application has stopped the event loop" in running.log
        assert "lifespan.shutdown" in running.log

    @pytest.mark.parametrize(("path", "status"), [("forks", b"7"), ("forks_and_raises", b"1")])
    def test_a_fork(self, server: Start, path: str, status: bytes) -> None:
        """A process that the application forks ends with its call, and serves nobody."""
        running = server("stopping:application", expects_traceback=True)
        assert b"\r\n" + status + b"\n\r\n" in rest_of_one(running, path)
        ask(running, "hello", b"hello\n")
        running.signal(signal.SIGINT)
        assert running.ended() == 0

    @pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
    def test_closed_descriptors(self, tmp_path: Path, closed: str) -> None:
        """Standard descriptors that are closed at the start do no harm."""
        path = tmp_path / "socket"
        process = subprocess.Popen(
            ["sh", "-c", f'exec "$0" -m daphne_like -u "$1" stopping:application {closed}',
             sys.executable, str(path)],
            cwd=PROJECTS, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert b"hello\n" in asked_when_there(path)
            process.terminate()
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
            process.wait()


class TestStartup:
    """Never a request before startup completes (ASGI L05, L06)."""

    def test_requests_wait_for_startup(self, program: Start, tmp_path: Path) -> None:
        """Who connects while the application starts is accepted, and answered, after that."""
        path = tmp_path / "socket"
        running = program("-u", str(path), "stopping:slow_startup")
        running.wait_for("starting\n")
        assert "started" not in running.log
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(path))
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert rest(connection).endswith(b"hello\n")
        running.wait_for("(?s)started.*serves.*a request|started.*a request")

    def test_a_failed_startup_is_exit_status_3(
        self, command: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        """L07: the application's message on standard error; nothing ever listened."""
        ended = command("-p", "0", "stopping:unstartable")
        assert ended.returncode == 3
        assert "Application startup failed: no database" in ended.stderr
        assert "serves" not in ended.stderr

    def test_a_startup_that_hangs_is_bounded(
        self, command: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        """--lifespan-timeout, with exit status 3."""
        ended = command("-p", "0", "--lifespan-timeout", "1", "stopping:hanging_startup")
        assert ended.returncode == 3
        assert "Application startup took longer than 1 second" in ended.stderr


class TestThreads:
    """README: every stop is bounded, whatever threads the application has started."""

    def test_a_synchronous_endpoint(self, server: Start) -> None:
        """Starlette's run in anyio's threads; both warnings name the endpoint's own line."""
        running = server("threaded:application", "--graceful-timeout", "0")
        running.connect().sendall(b"GET /blocks HTTP/1.1\r\nHost: a\r\n\r\n")
        running.wait_for("blocks is called")
        running.signal()
        assert running.ended() == 0
        place = r"threaded\.py:\d+(?: in pauses)?: time\.sleep\(100\)"
        assert re.search(
            f"does not end; cancelling it; pauses, in a thread, which cannot be cancelled, "
            f"waits at .*{place}",
            running.log,
        )
        assert re.search(
            f"CRITICAL Thread AnyIO worker thread does not end; leaving without it. "
            f"It is at .*{place}\n",
            running.log,
        )
        assert "_bootstrap" not in running.log

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_forced(self, server: Start, number: int) -> None:
        """A second signal ends the wait for the request; a thread has three seconds more."""
        running = server("threaded:application", "--graceful-timeout", "60")
        running.connect().sendall(b"GET /blocks HTTP/1.1\r\nHost: a\r\n\r\n")
        running.wait_for("blocks is called")
        running.signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            running.ended(1)
        running.signal(number)
        assert running.ended() == 0
        assert "Thread AnyIO worker thread does not end" in running.log

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_thread_of_its_own(self, server: Start, number: int) -> None:
        """One that is no daemon is named and left, too."""
        running = server("threaded:application")
        ask(running, "spawns", b"spawned").close()
        running.signal(number)
        assert running.ended() == 0
        assert re.search(
            r"CRITICAL Thread collector does not end; leaving without it. "
            r"It is at .*threaded\.py:\d+ in pauses: time\.sleep\(100\)\n  .* in collects: pauses",
            running.log,
        )

    def test_a_thread_of_the_reactor(self, server: Start) -> None:
        """The same for `deferToThread`, whose threads Twisted would join before anything ends."""
        running = server("threaded:application")
        ask(running, "defers", b"deferred").close()
        running.signal()
        assert running.ended(15) == 0
        assert re.search(
            r"CRITICAL Thread .+ does not end; leaving without it. "
            r"It is at .*threaded\.py:\d+ in pauses: time\.sleep\(100\)\n",
            running.log,
        )

    def test_idle_ones(self, server: Start) -> None:
        """Threads that have nothing to do keep nobody, and are not told of."""
        running = server("threaded:application")
        ask(running, "quick", b"quick").close()
        running.signal()
        began = time.monotonic()
        assert running.ended() == 0
        assert time.monotonic() - began < 2.5
        assert "Thread" not in running.log
