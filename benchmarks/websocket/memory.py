"""Resident memory of idle WebSockets."""

from __future__ import annotations

import time
from contextlib import ExitStack

from benchmarks.checks import WrongAnswerError
from benchmarks.memory import KIB, MIB, WARM_UP_CHECKS
from benchmarks.results import Sample
from benchmarks.serving import Server
from benchmarks.websocket.checks import check, connect, expect
from benchmarks.websocket.workloads import WebSocketWorkload

QUIET_SECONDS = 8
"""Shorter than any contender's ping interval."""


def measure(server: Server, workload: WebSocketWorkload) -> Sample:
    """Measure a workload of memory on a server that has just started.

    Raises:
        WrongAnswerError: the server closed connections, or does not do what the workload needs.
        OSError: the server did not respond.
    """
    for _ in range(WARM_UP_CHECKS):
        check(server.port, workload)
    figure = idle(server, workload)
    return Sample(figure, per_second=None, resident_mib=server.resident_octets() / MIB)


def idle(server: Server, workload: WebSocketWorkload) -> float:
    """Return KiB of resident memory per connection, after a time without messages."""
    count = workload.connections or 1
    before = server.resident_octets()
    with ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(connect(server.port, workload))
            if not workload.silent:
                client.send(workload.messages[0])
                expect(client, workload.answers[0])
            clients.append(client)
        time.sleep(QUIET_SECONDS)
        grown = server.resident_octets() - before
        closed = sum(client.is_closed() for client in clients)
    if closed:
        raise WrongAnswerError(f"{closed} of {count} idle connections were closed")
    return grown / count / KIB
