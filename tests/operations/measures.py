"""What is measured: each function starts its servers and returns lines of the report."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.operations.contenders import (
    MAX_REQUESTS,
    OURS,
    Contender,
    Server,
    answers,
    running,
    wait_until,
)
from tests.operations.generators import Counted, H2Load, Wrk
from tests.support.constant_load import Load
from tests.support.counted_sockets import count_by_worker
from tests.support.supervised import descriptors, is_alive, resident

MEBIBYTE = 1048576
HTTP2 = ("daphne-like", "h2corn")
WRK_SECONDS = 20
H2_REQUESTS = 20_000
BLOCKED_TIMEOUT = 2
WORK_SECONDS = 0.002
FRESH = 100
RESTART_SECONDS = 60.0
Enough = Callable[[], bool]


def load_until(server: Server, enough: Enough) -> Counted:
    """Keep wrk and h2load running, again and again, until it is enough; what they counted."""
    total = Counted()
    started: list[Wrk | H2Load] = []
    while True:
        started = [one for one in started if not finished(one, total)]
        if not started and enough():
            return total
        if not enough():
            kinds = {type(one) for one in started}
            if Wrk not in kinds:
                started.append(Wrk(server.url, WRK_SECONDS))
            if H2Load not in kinds:
                started.append(H2Load(server.url, H2_REQUESTS))
        time.sleep(0.05)


def finished(one: Wrk | H2Load, total: Counted) -> bool:
    """Add a generator that has ended to the total."""
    if not one.is_over:
        return False
    total.add(one.result())
    return True


def restart(server: Server, number: int) -> None:
    """Send SIGHUP, and wait until all workers are other processes."""
    before = set(server.workers)
    os.kill(server.pid, signal.SIGHUP)

    def is_over() -> bool:
        now = set(server.workers)
        return len(now) == number and not now & before

    wait_until(is_over, RESTART_SECONDS)


def restarts(contender: Contender, python: Path, number: int, requests: int) -> list[str]:
    """Restart so many times under load, and go on until so many requests are counted."""
    ours = contender is OURS
    http2 = contender.name in HTTP2
    with running(contender, python) as server:
        done = threading.Event()
        problem: list[str] = []
        sizes: list[tuple[int, int]] = []
        with Load(
            server.address, keeping=1, connecting=1, streams=2 * http2, sockets=8 * ours
        ) as load:

            def restart_all() -> None:
                try:
                    for _ in range(number):
                        restart(server, 2)
                        sizes.append((descriptors(server.pid), resident(server.pid)))
                        time.sleep(0.5)
                except (RuntimeError, OSError) as error:
                    problem.append(f"after {len(sizes)} restarts: {error}")
                done.set()

            thread = threading.Thread(target=restart_all)
            thread.start()
            end = time.monotonic() + 20 * number
            counted = Counted()

            def enough() -> bool:
                total = counted.requests + load.answered
                return done.is_set() and (total >= requests or time.monotonic() > end)

            while not enough():
                counted.add(load_until(server, done.is_set))
            thread.join()
    lines = [
        (
            f"{contender.name}: {len(sizes)} restarts, "
            f"{counted.requests + load.answered} requests and messages, "
            f"{counted.failed + sum(load.failures.values())} failed"
        )
    ]
    lines += [f"    {reason}: {times}" for reason, times in load.failures.most_common(5)]
    lines += [f"    {reason}" for reason in problem]
    if ours:
        lines.append(f"    WebSockets closed, by code: {dict(load.closed)}")
    if sizes:
        first, last = sizes[0], sizes[-1]
        lines.append(
            f"    supervisor after the first and the last restart: {first[0]} and {last[0]} "
            f"descriptors, {first[1] / MEBIBYTE:.1f} and {last[1] / MEBIBYTE:.1f} MiB"
        )
    return lines


def limits(contender: Contender, python: Path) -> list[str]:
    """Replace workers after a number of requests, for the time of one wrk."""
    more = (contender.limit, str(MAX_REQUESTS), contender.jitter, str(MAX_REQUESTS // 10))
    with running(contender, python, more=more) as server:
        seen = set(server.workers)
        with Load(server.address, keeping=1, connecting=1) as load:
            wrk = Wrk(server.url, WRK_SECONDS)
            while not wrk.is_over:
                seen |= set(server.workers)
                time.sleep(0.05)
            counted = wrk.result()
    return [
        (
            f"{contender.name}: {max(0, len(seen) - 2)} workers replaced, "
            f"{counted.requests + load.answered} requests, "
            f"{counted.failed + sum(load.failures.values())} failed"
        ),
        *(f"    {reason}: {times}" for reason, times in load.failures.most_common(5)),
    ]


def fresh(contender: Contender, python: Path) -> list[str]:
    """Send requests on connections that are older than a SIGTERM, 200 ms after it."""
    with running(contender, python) as server, ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(server.address, RESTART_SECONDS))
            for _ in range(FRESH)
        ]
        time.sleep(1)  # they are accepted
        os.kill(server.pid, signal.SIGTERM)
        time.sleep(0.2)
        answered = sum(map(is_answered, connections))
    return [
        f"{contender.name}: connect, SIGTERM, 200 ms, request: {answered} of {FRESH} are answered"
    ]


def is_answered(connection: socket.socket) -> bool:
    """Send a request, and tell whether an answer begins."""
    try:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return connection.recv(100).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def until_ready(server: Server) -> None:
    """Wait until all workers of our server are ready, as the list of processes shows."""
    wait_until(
        lambda: all(
            Path(f"/proc/{pid}/comm").read_text().endswith(" ready\n") for pid in server.workers
        )
    )


def balance(python: Path) -> list[str]:
    """Open 1 000 WebSockets over 4 workers."""
    with running(OURS, python, workers=4) as server:
        until_ready(server)
        counts = asyncio.run(count_by_worker(server.address, 1000))
    numbers = sorted(counts.values())
    share = numbers[-1] / numbers[0]
    return [f"1000 WebSockets over 4 workers: {numbers}, fullest / emptiest {share:.3f}"]


def speed(python: Path, rounds: int = 3) -> list[str]:
    """Compare 1 and 2 workers with an application that computes; best of some rounds each."""
    best = {1: 0.0, 2: 0.0}
    environment = {"WORK_SECONDS": str(WORK_SECONDS)}
    for _ in range(rounds):
        for workers in best:
            with running(OURS, python, workers=workers, environment=environment) as server:
                until_ready(server)
                rate = Wrk(server.url, 5, 32).result().per_second
                best[workers] = max(best[workers], rate)
    return [
        (
            f"an application that computes {WORK_SECONDS * 1000:g} ms: 1 worker {best[1]:.0f}, "
            f"2 workers {best[2]:.0f} requests/s, ratio {best[2] / best[1]:.2f}"
        )
    ]


def sizes(contender: Contender, python: Path) -> list[str]:
    """Measure memory of both kinds of processes, and the time to the first answer."""
    started = time.monotonic()
    with running(contender, python) as server:
        first = time.monotonic() - started
        for _ in range(50):
            answers(server.port)
        memory = [resident(pid) / MEBIBYTE for pid in server.workers]
        victim = server.workers[0]
        before = set(server.workers)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: bool(set(server.workers) - before))
        return [
            f"{contender.name}: supervisor {resident(server.pid) / MEBIBYTE:.1f} MiB, "
            f"worker {sum(memory) / len(memory):.1f} MiB, "
            f"all workers serve after {first:.2f} s"
            + ("" if is_alive(victim) else " (workers are ended before others are ready)")
        ]


def blocked(contender: Contender, python: Path, option: str) -> list[str]:
    """Measure the time from the request that blocks a worker to each step of its replacement."""
    with running(contender, python, workers=1, more=(option, str(BLOCKED_TIMEOUT))) as server:
        (before,) = server.workers
        with socket.create_connection(server.address, 5) as connection:
            connection.sendall(b"GET /sleep HTTP/1.1\r\nHost: x\r\n\r\n")
            started = time.monotonic()
            times = []
            steps: list[Enough] = [
                lambda: bool(set(server.workers) - {before}),
                lambda: answers(server.port),
                lambda: not is_alive(before),
            ]
            for step in steps:
                wait_until(step)
                times.append(time.monotonic() - started)
    starts, served, ended = times
    name = f"{contender.name}, {option} {BLOCKED_TIMEOUT}"
    steps_told = f"starts after {starts:.2f} s, answers after {served:.2f} s"
    return [f"{name}: a successor {steps_told}; the blocked worker is gone after {ended:.2f} s"]
