"""Our server does what the TLS workloads need: a short real run, with no time held."""

from __future__ import annotations

import os
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from benchmarks import generators
from benchmarks.applications import HELLO_BODY
from benchmarks.checks import WrongAnswerError
from benchmarks.contenders import CONTENDERS, OURS
from benchmarks.generators import Generator
from benchmarks.load import LoadError
from benchmarks.serving import HOST, Server, free_port, serving
from benchmarks.tls import credentials, transfers, workloads
from benchmarks.tls.checks import check
from benchmarks.tls.credentials import Credentials
from benchmarks.tls.workloads import TLSWorkload
from tests.support import needed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="figures are read from /proc")

NAMED = {one.name: one for one in CONTENDERS}
MEGABYTES = 64
FLAT_MIB = 16
"""What is held of a body of 64 MB must be less; a server that keeps all of it grows by 61."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(HELLO_BODY)


def core() -> int:
    return min(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return credentials.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=[OURS, "ours-ssl"])
def server(request: pytest.FixtureRequest, files: Credentials) -> Iterator[Server]:
    with serving(NAMED[request.param], Path(), core(), files) as found:
        yield found


@pytest.fixture(scope="module")
def floor(files: Credentials) -> Iterator[Server]:
    """The floor with this interpreter: Python's TLS resumes sessions."""
    needed.module("uvloop")
    with serving(NAMED["uvloop-floor"], Path(sys.prefix), core(), files) as found:
        yield found


def server_context(files: Credentials) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


class ReactorProxy(socketserver.ThreadingTCPServer):
    """A backlog of 5 would lose some of the load's first connections for a second."""

    request_queue_size = 64


@contextmanager
def answering(context: Callable[[], ssl.SSLContext], files: Credentials) -> Iterator[Server]:
    """A server of this process: a context for each connection, two records for each answer."""

    class Answering(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(10)
            # A client that refuses the handshake is what some of the tests are about.
            with suppress(OSError), context().wrap_socket(self.request, server_side=True) as own:
                while own.recv(1 << 16):
                    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
                    own.sendall(HEAD)
                    own.sendall(HELLO_BODY)
                    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    with ReactorProxy((HOST, 0), Answering) as found:
        thread = threading.Thread(target=partial(found.serve_forever, poll_interval=0.05))
        thread.start()
        try:
            yield Server(NAMED[OURS], os.getpid(), found.server_address[1], files)
        finally:
            found.shutdown()
            thread.join()


def connections(workload: TLSWorkload) -> Generator:
    return Generator(Path(sys.executable), core(), 1, 8, workload, generators.TLS)


class TestOurs:
    """No figure without a checked response, for the event loop's TLS and Twisted's."""

    def test_check(self, server: Server) -> None:
        """TLS 1.3, the run's certificate, and two answers on one connection."""
        check(server, workloads.TLS)

    def test_full_handshakes(self, server: Server) -> None:
        """A slice counts connections, none of them resumed."""
        sample = connections(workloads.HANDSHAKE).measure(server)
        assert sample.per_second is not None
        assert sample.per_second > 0
        assert sample.load_busy is not None

    @pytest.mark.parametrize("workload", [workloads.UPLOAD, workloads.DOWNLOAD])
    def test_transfers_are_flat(self, server: Server, workload: TLSWorkload) -> None:
        """Upload and download cost no memory."""
        sample = transfers.measure(server, workload, MEGABYTES, core())
        assert sample.growth_mib is not None
        assert sample.growth_mib < FLAT_MIB


class TestFloor:
    def test_application_runs(self, files: Credentials) -> None:
        """The floor of ASGI answers over TLS what every contender is asked before."""
        needed.module("uvloop")
        with serving(NAMED["asgi-floor"], Path(sys.prefix), core(), files) as found:
            check(found, workloads.TLS)


class TestResumption:
    """A session is resumed really, or the contender is out."""

    def test_resumed(self, floor: Server) -> None:
        """The check asks OpenSSL whether the session was reused."""
        check(floor, workloads.RESUME)

    def test_every_connection(self, floor: Server) -> None:
        """The load asks for each connection: one that is not resumed would end it."""
        sample = connections(workloads.RESUME).measure(floor)
        assert sample.per_second is not None
        assert sample.per_second > 0

    def test_no_ticket(self, files: Credentials) -> None:
        """A server that sends no ticket does not offer resumption."""
        context = server_context(files)
        context.num_tickets = 0
        with answering(lambda: context, files) as server:
            check(server, workloads.TLS)
            with pytest.raises(WrongAnswerError, match="no ticket comes"):
                check(server, workloads.RESUME)
            with pytest.raises(LoadError, match="no session ticket came"):
                connections(workloads.RESUME).measure(server)

    def test_ticket_not_taken(self, files: Credentials) -> None:
        """A server that forgets its tickets does a full handshake, and that is seen."""
        with (
            answering(partial(server_context, files), files) as server,
            pytest.raises(WrongAnswerError, match="a ticket comes, but is not taken"),
        ):
            check(server, workloads.RESUME)


class TestRecords:
    """TLS 1.3, 5.1: records know nothing of what they carry."""

    def test_two_at_once(self, files: Credentials) -> None:
        """Head and body in a record each, received together, are one answer."""
        context = server_context(files)
        with answering(lambda: context, files) as server:
            sample = connections(workloads.HANDSHAKE).measure(server)
        assert sample.per_second is not None
        assert sample.per_second > 0


class TestFailure:
    """Who does not speak TLS as all the others do is out, with the reason."""

    def test_another_certificate(self, files: Credentials, tmp_path: Path) -> None:
        """A certificate that was not made for the run is not trusted."""
        others = credentials.make(tmp_path)
        with (
            answering(partial(server_context, files), others) as server,
            pytest.raises(WrongAnswerError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            check(server, workloads.TLS)

    def test_older_version(self, files: Credentials) -> None:
        """TLS 1.2 would be measured against TLS 1.3."""
        context = server_context(files)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with (
            answering(lambda: context, files) as server,
            pytest.raises(WrongAnswerError, match="(?i)version"),
        ):
            check(server, workloads.TLS)

    def test_nobody_listens(self, server: Server) -> None:
        """The load's own last words are the reason."""
        nobody = Server(server.contender, server.pid, free_port())
        with pytest.raises(LoadError, match="^ConnectionRefusedError: "):
            connections(workloads.HANDSHAKE).measure(nobody)
