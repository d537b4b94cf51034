"""The status of a supervisor and its workers.

Workers send samples once a second, and rows of connections and instances when they are asked. All
of it is checked, because an application may write to any descriptor of its process.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from daphne_like.process import control
from daphne_like.process.supervisor import Supervisor
from daphne_like.process.worker_process import Phase, WorkerProcess
from daphne_like.status.history import Gauges, History
from daphne_like.status.one_process import about, written
from daphne_like.status.rows import MAX_ROWS, Query, Row, checked
from daphne_like.status.sample import Sample, SampleError

log = logging.getLogger("daphne_like.server")

ANSWER_SECONDS = 1.0
"""Seconds in which a worker must answer; a blocked one does not."""
BLOCKED_SECONDS = 2.0
"""Seconds without a beat after which the event loop of a worker is shown as blocked."""
PHASES = {Phase.STARTING: "starting", Phase.READY: "ready", Phase.LEAVING: "draining",
          Phase.ENDED: "ended"}  # fmt: skip
MAX_LISTED = 1000
"""Rows of all workers together."""


class SupervisedStatus:
    """See Service.

    Args:
        supervisor: the supervisor.
        actions: name of an action -> carries it out, or begins to.
    """

    def __init__(self, supervisor: Supervisor, actions: Mapping[str, Callable[[], object]]) -> None:
        self._supervisor = supervisor
        self._actions = actions
        self._started = time.time()
        self._samples: dict[WorkerProcess, Sample] = {}
        self._numbers = itertools.count(1)
        self._asked: dict[tuple[WorkerProcess, int], asyncio.Future[control.Message]] = {}
        self._warned: set[WorkerProcess] = set()
        self.history = History(time.monotonic)
        supervisor.report_listeners.append(self._reported)
        supervisor.tick_listeners.append(self._tick)

    # What workers say.

    def _reported(self, worker: WorkerProcess, message: control.Message) -> None:
        if message["type"] == "sample":
            self._take_sample(worker, message["values"])
        elif message["type"] == "listing":
            future = self._asked.get((worker, message["number"]))
            if future is not None and not future.done():
                future.set_result(message)

    def _take_sample(self, worker: WorkerProcess, values: dict[str, Any]) -> None:
        try:
            sample = Sample.from_message(values)
        except SampleError as error:
            if worker not in self._warned:
                self._warned.add(worker)
                log.error("%s sends a sample that is wrong: %s", worker, error)
            return
        self._samples[worker] = sample
        self.history.add(sample)

    def _tick(self) -> None:
        if not self.history.is_due:
            return
        workers = self._supervisor.workers
        self._samples = {one: self._samples[one] for one in workers if one in self._samples}
        self._warned.intersection_update(workers)
        gauges = {}
        for slot in self._supervisor.slots.values():
            worker = slot.worker
            if worker is not None and worker.pid is not None:
                sample = self._samples.get(worker, Sample())
                delay = max(sample.delay, self._blocked(worker) or 0.0)
                cpu = cpu_seconds(worker.pid)
                values = Gauges(worker.resident, sample.cpu if cpu is None else cpu, delay)
                gauges[str(slot.number)] = (worker.pid, values)
        self.history.close(self._samples, gauges)

    def _blocked(self, worker: WorkerProcess) -> float | None:
        """Return for how many seconds the event loop of a worker has not turned, if too long."""
        if worker.phase not in (Phase.READY, Phase.LEAVING):
            return None
        seconds = time.monotonic() - worker.entry.read().beat / 1e9
        return round(seconds, 1) if seconds > BLOCKED_SECONDS else None

    # Service.

    @property
    def is_ready(self) -> bool:
        """See Service."""
        supervisor = self._supervisor
        least = supervisor.configuration.options.ready_workers or 1
        return not supervisor.stopping and supervisor.ready_workers >= least

    @property
    def is_stopping(self) -> bool:
        """See Service."""
        return self._supervisor.stopping

    @property
    def actions(self) -> tuple[str, ...]:
        """See Service."""
        return tuple(self._actions)

    def overview(self) -> dict[str, Any]:
        """See Service."""
        supervisor = self._supervisor
        return {
            **about(),
            "started": round(self._started, 1),
            "pid": os.getpid(),
            "application": supervisor.configuration.application,
            "addresses": written(supervisor.listening_addresses),
            "supervised": True,
            "generation": supervisor.generation,
            "wanted": len(supervisor.slots),
            "workers": [self._describe(worker) for worker in supervisor.workers],
        }

    def _describe(self, worker: WorkerProcess) -> dict[str, Any]:
        sample = self._samples.get(worker, Sample())
        snapshot = worker.entry.read()
        return {
            "slot": worker.slot,
            "pid": worker.pid,
            "generation": worker.generation,
            "age": round(worker.age, 1),
            "state": PHASES[worker.phase],
            "blocked": self._blocked(worker),
            "memory": worker.resident,
            "delay": sample.delay,
            "connections": max(0, snapshot.connections),
            "instances": sample.instances,
            "requests": max(0, snapshot.requests),
        }

    async def listing(self, query: Query) -> dict[str, Any]:
        """See Service."""
        number = next(self._numbers)
        asked = {}
        for worker in self._supervisor.workers:
            if worker.phase in (Phase.READY, Phase.LEAVING):
                asked[worker] = self._asked[worker, number] = asyncio.Future()
                worker.control.send("list", number=number, query=query.to_message())
        try:
            if asked:
                await asyncio.wait(asked.values(), timeout=ANSWER_SECONDS)
        finally:
            for worker in asked:
                self._asked.pop((worker, number), None)
        rows: list[Row] = []
        omitted = 0
        silent = []
        for worker, future in asked.items():
            if not future.done() or future.cancelled():
                silent.append({"worker": worker.slot, "blocked": self._blocked(worker)})
                continue
            message = future.result()
            omitted += max(0, message["omitted"])
            rows.extend({**row, "worker": worker.slot} for row in checked(message["rows"]))
        rows.sort(key=query.key, reverse=True)
        kept = rows[: max(MAX_LISTED, MAX_ROWS)]
        return {"rows": kept, "omitted": omitted + len(rows) - len(kept), "silent": silent}

    async def threads(self, slot: int) -> str | None:
        """See Service."""
        found = self._supervisor.slots.get(slot)
        worker = None if found is None else found.worker
        if worker is None or worker.phase not in (Phase.READY, Phase.LEAVING):
            return None
        text: str = await worker.write_threads().asFuture(asyncio.get_running_loop())
        return text

    def act(self, action: str) -> None:
        """See Service."""
        log.warning("The status page asks for: %s", action)
        self._actions[action]()


def cpu_seconds(pid: int) -> float | None:
    """Return the CPU time of a process, of user and system; None where /proc is missing."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None
