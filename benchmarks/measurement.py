"""The order of measuring: the contenders take turns in short slices, for several rounds.

A machine's speed drifts, and contenders that take turns drift together. Each round begins with
another contender, so that no contender always follows the slowest one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import ParamSpec, TypeVar

from benchmarks import load
from benchmarks.checks import WrongAnswerError
from benchmarks.contenders import Contender
from benchmarks.methods import Method, Settings
from benchmarks.results import Outcome, Sample
from benchmarks.serving import Server, StartError, serving
from benchmarks.workloads import Workload

MEMORY_ROUNDS = 3
"""Maximum rounds of a memory workload: each round starts new servers, and figures vary little."""

P = ParamSpec("P")
T = TypeVar("T")

FAILURES = (StartError, WrongAnswerError, load.LoadError, subprocess.TimeoutExpired, OSError)
"""Exceptions that exclude one contender from a workload."""


def rotated(sequence: Sequence[T], places: int) -> list[T]:
    """Return the sequence rotated by `places` to the left."""
    cut = places % len(sequence) if sequence else 0
    return [*sequence[cut:], *sequence[:cut]]


def progress(text: str) -> None:
    """Print the progress on stderr."""
    print(text, file=sys.stderr, flush=True)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


class Trial:
    """One workload over all contenders; those that fail are excluded, with the reason."""

    def __init__(
        self, workload: Workload, contenders: Sequence[Contender], settings: Settings
    ) -> None:
        self._workload = workload
        self._method = Method(workload, settings)
        self._contenders = contenders
        self._settings = settings
        self._samples: dict[str, list[Sample]] = {one.name: [] for one in contenders}
        self._refusals = {
            one.name: one.refusals[workload.name]
            for one in contenders
            if workload.name in one.refusals
        }

    def run(self) -> list[Outcome]:
        """Measure, and return one outcome for each contender, in the same order."""
        progress(f"{self._workload.name}: {self._workload.title}")
        if self._workload.unit.is_memory:
            self._measure_memory()
        else:
            self._measure_load()
        return [
            Outcome(one.name, tuple(self._samples[one.name]), self._refusals.get(one.name))
            for one in self._contenders
        ]

    def _attempt(
        self, name: str, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T | None:
        """Call a function for a contender; exclude the contender if that fails."""
        try:
            return act(*args, **kwargs)
        except FAILURES as error:
            self._refusals[name] = _reason(error)
            progress(f"  {name}: n/a, {self._refusals[name]}")
            return None

    def _record(self, round_number: int, name: str, sample: Sample | None) -> None:
        if sample is not None:
            self._samples[name].append(sample)
            busy = [
                f"{who} {share:4.0%}"
                for who, share in (("server", sample.server_busy), ("load", sample.load_busy))
                if share is not None
            ]
            line = f"  round {round_number + 1}: {name:12} {sample.figure:9.2f}"
            grown = [] if sample.growth_mib is None else [f"growth {sample.growth_mib:.1f} MiB"]
            progress("  ".join([line, *busy, *grown]))

    def _in_turn(self, round_number: int) -> list[Contender]:
        order = rotated(self._contenders, round_number)
        return [one for one in order if one.name not in self._refusals]

    def _measure_load(self) -> None:
        """Start all servers once, and load them in turns."""
        with ExitStack() as stack:
            servers: dict[str, Server] = {}
            for one in self._in_turn(0):
                started = self._attempt(one.name, self._start, stack, one)
                if started is not None:
                    servers[one.name] = started
            for round_number in range(self._settings.rounds):
                for one in self._in_turn(round_number):
                    server = servers[one.name]
                    with server.awake():
                        sample = self._attempt(one.name, self._method.measure, server)
                    self._record(round_number, one.name, sample)

    def _start(self, stack: ExitStack, contender: Contender) -> Server:
        server = stack.enter_context(self._serving(contender))
        self._method.check(server)
        self._method.warm_up(server)
        server.pause()
        return server

    def _measure_memory(self) -> None:
        """Start each server again for each of its turns, so that no state remains."""
        for round_number in range(min(self._settings.rounds, MEMORY_ROUNDS)):
            for one in self._in_turn(round_number):
                sample = self._attempt(one.name, self._measure_memory_of, one)
                self._record(round_number, one.name, sample)

    def _measure_memory_of(self, contender: Contender) -> Sample:
        with self._serving(contender) as server:
            return self._method.measure(server)

    def _serving(self, contender: Contender) -> AbstractContextManager[Server]:
        settings = self._settings
        credentials = settings.credentials if self._workload.tls else None
        return serving(
            contender, settings.peers, settings.server_core, credentials, self._workload.name
        )
