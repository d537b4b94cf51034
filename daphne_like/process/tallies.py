"""Counts for the metrics of a supervisor: its workers, how they end, and restarts."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

from daphne_like.metrics.application import MultiprocessFiles
from daphne_like.metrics.counts import Counts, CountsError
from daphne_like.metrics.series import (
    RESTARTS,
    WORKER_DESCRIPTORS,
    WORKER_EXITS,
    WORKER_MEMORY,
    WORKER_READY,
    WORKER_START,
    WORKERS,
)
from daphne_like.metrics.totals import Totals
from daphne_like.process.recycling import resident_memory
from daphne_like.process.worker_process import Phase, WorkerProcess

log = logging.getLogger("daphne_like.server")

EXIT_REASONS = ("crash", "wedged", "startup", "max_requests", "max_rss", "max_lifetime", "restart",
                "scale", "signal", "stop")  # fmt: skip
OUTCOMES = ("success", "failure")
PHASES = {Phase.STARTING: "starting", Phase.READY: "ready", Phase.LEAVING: "leaving"}


class Tallies:
    """The counts of a supervisor and of its workers.

    Attributes:
        files: of the application's own metrics; None without them.
    """

    def __init__(self) -> None:
        self.files: MultiprocessFiles | None = None
        self._totals = Totals()
        self._exits: Counter[str] = Counter(dict.fromkeys(EXIT_REASONS, 0))
        self._restarts: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self._warned: set[int] = set()

    def update(self, worker: WorkerProcess, message: dict[str, Any]) -> None:
        """Take the counts of a worker; wrong ones are logged once for each worker, and ignored."""
        try:
            self._totals.update(id(worker), worker.slot, message)
        except CountsError as error:
            if worker.pid is not None and worker.pid not in self._warned:
                self._warned.add(worker.pid)
                log.error("%s sends counts that are wrong: %s", worker, error)

    def ended(self, worker: WorkerProcess) -> None:
        """Count the end of a worker, and keep what it has counted."""
        self._totals.retire(id(worker))
        self._exits[exit_reason(worker)] += 1
        if worker.pid is not None:
            self._warned.discard(worker.pid)
            if self.files is not None:
                self.files.process_ended(worker.pid)

    def restarted(self, reason: str) -> None:
        """Count a restart.

        Args:
            reason: the reason of its failure, or "".
        """
        self._restarts["failure" if reason else "success"] += 1

    def counts(self, workers: list[WorkerProcess]) -> Counts:
        """Return all counts.

        Args:
            workers: the workers that live.
        """
        counts = self._totals.counts()
        states = Counter(dict.fromkeys(PHASES.values(), 0))
        states.update(PHASES[worker.phase] for worker in workers)
        counts[WORKERS.name] = {(state,): [number] for state, number in states.items()}
        counts[WORKER_EXITS.name] = {(word,): [number] for word, number in self._exits.items()}
        counts[RESTARTS.name] = {(word,): [number] for word, number in self._restarts.items()}
        counts |= of_workers(workers)
        return counts


def of_workers(workers: list[WorkerProcess]) -> Counts:
    """Return gauges of each slot: of the worker that is ready in it, or that starts."""
    by_slot: dict[int, WorkerProcess] = {}
    for worker in sorted(workers, key=lambda each: each.phase == Phase.READY):
        if worker.phase != Phase.LEAVING and worker.pid is not None:
            by_slot[worker.slot] = worker
    counts: Counts = {}
    for slot, worker in by_slot.items():
        assert worker.pid is not None
        values = {
            WORKER_READY: worker.phase == Phase.READY,
            WORKER_MEMORY: resident_memory(worker.pid),
            WORKER_DESCRIPTORS: open_descriptors(worker.pid),
            WORKER_START: time.time() - worker.age,
        }
        for series, value in values.items():
            if value is not None:
                counts.setdefault(series.name, {})[str(slot),] = [float(value)]
    return counts


def exit_reason(worker: WorkerProcess) -> str:
    """Return why a worker has ended, a word of EXIT_REASONS."""
    if worker.error is not None:
        return "startup"
    return worker.leaves_for or ("stop" if worker.expected else "crash")


def open_descriptors(pid: int) -> int | None:
    """Return the number of a process' open descriptors; None where /proc is missing."""
    try:
        return len(os.listdir(Path(f"/proc/{pid}/fd")))
    except OSError:
        return None
