"""Our server does what the HTTP/2 workloads need: a short real run, with no figure held."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.checks import WrongAnswerError
from benchmarks.contenders import CONTENDERS, OURS, Contender
from benchmarks.http2.checks import check
from benchmarks.http2.load import FEWEST, H2Load
from benchmarks.http2.workloads import HTTP2_WORKLOADS, HTTP2Workload
from benchmarks.load import LoadError
from benchmarks.serving import Server, free_port, serving
from benchmarks.tls import credentials
from tests.support import needed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="figures are read from /proc")

(CONTENDER,) = (one for one in CONTENDERS if one.name == OURS)
NAMED = {one.name: one for one in HTTP2_WORKLOADS}
HTTP_1 = ("--http", "1")


def core() -> int:
    return min(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> credentials.Credentials:
    return credentials.make(tmp_path_factory.mktemp("h2"))


@pytest.fixture(scope="module")
def clear() -> Iterator[Server]:
    with serving(CONTENDER, Path(), core()) as found:
        yield found


@pytest.fixture(scope="module")
def secured(files: credentials.Credentials) -> Iterator[Server]:
    with serving(CONTENDER, Path(), core(), files) as found:
        yield found


@pytest.fixture(params=HTTP2_WORKLOADS, ids=lambda one: one.name)
def workload(request: pytest.FixtureRequest) -> HTTP2Workload:
    found: HTTP2Workload = request.param
    return found


@pytest.fixture
def server(workload: HTTP2Workload, clear: Server, secured: Server) -> Server:
    return secured if workload.secured else clear


def without_http_2() -> Contender:
    """Ours, told to speak HTTP/1.1 alone."""
    return replace(
        CONTENDER,
        command=(*CONTENDER.command, *HTTP_1),
        tls_command=(*CONTENDER.tls_command, *HTTP_1),
    )


class TestOurs:
    """No figure without a checked response."""

    def test_answers_are_right(self, server: Server, workload: HTTP2Workload) -> None:
        """Each workload's request has its whole answer, and the scope says 2."""
        check(server, workload)

    def test_load(self, server: Server, workload: HTTP2Workload) -> None:
        """Not one of 512 requests at the same time fails."""
        needed.program("h2load", "nghttp2-client")
        small = replace(workload, body=workload.body[:1000])
        summary = H2Load(core(), 1, small).run(server.port, FEWEST)
        assert summary.count == FEWEST
        assert summary.cpu_seconds

    def test_slice(self, clear: Server) -> None:
        """A slice has a figure, and the load tells its own time."""
        needed.program("h2load", "nghttp2-client")
        sample = H2Load(core(), 1, NAMED["h2"]).measure(clear)
        assert sample.figure > 0
        assert sample.load_busy


class TestRefusals:
    """What puts a contender out."""

    def test_other_answer(self, clear: Server) -> None:
        """Another body than is owed."""
        with pytest.raises(WrongAnswerError, match=r"^body: expected b'no', got b'Hello, world!'$"):
            check(clear, replace(NAMED["h2"], answer=b"no"))

    def test_other_status(self, clear: Server) -> None:
        """Another status than 200."""
        with pytest.raises(WrongAnswerError, match="^status: expected 200, got 404$"):
            check(clear, replace(NAMED["h2"], target="/nowhere"))

    def test_no_http_2(self) -> None:
        """Prior knowledge that is wrong."""
        with (
            serving(without_http_2(), Path(), core()) as found,
            pytest.raises(WrongAnswerError, match="HTTP/2|before the answer"),
        ):
            check(found, NAMED["h2"])

    def test_no_alpn(self, files: credentials.Credentials) -> None:
        """TLS that settles on something else."""
        with (
            serving(without_http_2(), Path(), core(), files) as found,
            pytest.raises(WrongAnswerError, match=r"^(ALPN: expected h2, got|SSLError)"),
        ):
            check(found, NAMED["h2tls"])

    def test_nobody_there(self) -> None:
        """No connection is no measurement."""
        needed.program("h2load", "nghttp2-client")
        with pytest.raises(LoadError):
            H2Load(core(), 1, NAMED["h2"]).run(free_port(), FEWEST)
