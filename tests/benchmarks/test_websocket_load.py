"""Our server does what the WebSocket workloads need: a short real run, with no figure held."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.contenders import CONTENDERS, OURS
from benchmarks.generators import Generator
from benchmarks.load import LoadError
from benchmarks.serving import Server, free_port, serving
from benchmarks.websocket import workloads
from benchmarks.websocket.checks import check
from benchmarks.websocket.workloads import WEBSOCKET_WORKLOADS, WebSocketWorkload

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="figures are read from /proc")


def core() -> int:
    return min(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    (ours,) = (one for one in CONTENDERS if one.name == OURS)
    with serving(ours, Path(), core()) as found:
        yield found


def handshakes() -> Generator:
    """Handshakes need no picows, so they run with this interpreter."""
    return Generator(Path(sys.executable), core(), 1, 8, workloads.HANDSHAKE)


class TestOurs:
    """No figure without a checked response."""

    @pytest.mark.parametrize("workload", WEBSOCKET_WORKLOADS, ids=lambda one: one.name)
    def test_check(self, server: Server, workload: WebSocketWorkload) -> None:
        """Every workload's messages come as they should, compressed where they should be."""
        check(server.port, workload)

    def test_slice(self, server: Server) -> None:
        """A slice counts what was done, and the processor time of server and load."""
        sample = handshakes().measure(server)
        assert sample.per_second is not None
        assert sample.per_second > 0
        assert sample.figure > 0
        assert sample.load_busy is not None


class TestFailure:
    """Who does not cope is out, with the reason."""

    def test_nobody_listens(self, server: Server) -> None:
        """The load's own last words are the reason."""
        nobody = Server(server.contender, server.pid, free_port())
        with pytest.raises(LoadError, match="^ConnectionRefusedError: "):
            handshakes().measure(nobody)
