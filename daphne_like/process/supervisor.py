"""The supervisor: starts worker processes, watches them and replaces them.

It binds the sockets, and never loads the application: a new worker is a new interpreter with the
present code. Every change of the workers (a restart, one worker more) is an operation of
`process/operations.py`, and one operation runs at a time.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from daphne_like.listening.ports import Address
from daphne_like.process.bound_sockets import BoundSockets
from daphne_like.process.configuration import WorkerConfiguration
from daphne_like.process.control import Message
from daphne_like.process.liveness import Liveness
from daphne_like.process.recycling import Limits
from daphne_like.process.scoreboard import Scoreboard, create_memory
from daphne_like.process.slot import Slot
from daphne_like.process.spawning import working_directory
from daphne_like.process.tallies import Tallies
from daphne_like.process.worker_process import Phase, WorkerFailed, WorkerProcess
from daphne_like.wording import counted

log = logging.getLogger("daphne_like.server")

TICK_SECONDS = 0.5
MAX_FAILED_STARTS = 5
"""Failed starts in a row, while no worker is ready, after which the supervisor gives up."""
SILENT_SECONDS = 2.0
"""Seconds without a beat after which a worker cannot answer at once."""
MARGIN_SECONDS = 6.0
"""Seconds that a worker has beyond the limit of its own stop before it is killed."""


class Supervisor:
    """Keeps the wanted number of workers serving.

    Args:
        reactor: a reactor on an asyncio event loop.
        configuration: the configuration of the workers.
        on_ready: called when all workers are ready for the first time.
        on_end: called once, when no process is left, with the exit status.
        report: called with each sentence about a failed start that ends everything.
        clock: returns seconds of CLOCK_MONOTONIC, as the beats of the workers.

    Attributes:
        slots: the slots by number.
        leavers: workers that drain, oldest first.
        generation: counts the restarts, from 1.
        stopping: a stop has begun.
        has_ended: no process is left.
        exit_status: exit status of the supervisor.
        event_level: level of log lines about single workers that start and end as they should.
        report_listeners: called with each message of a worker for the status page.
        tick_listeners: called twice a second.
    """

    event_level = logging.INFO

    def __init__(
        self,
        reactor: Any,
        configuration: WorkerConfiguration,
        on_ready: Callable[[], None],
        on_end: Callable[[int], None],
        report: Callable[[WorkerFailed], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reactor = reactor
        self.loop = reactor.loop
        self.configuration = configuration
        self.sockets = BoundSockets(reactor)
        self.slots: dict[int, Slot] = {}
        self.leavers: list[WorkerProcess] = []
        self.generation = 1
        self.stopping = False
        self.exit_status = 0
        self._scoreboard = Scoreboard(create_memory())
        self._on_ready = on_ready
        self._on_end = on_end
        self._report = report
        self._clock = clock
        self.ever_ready = False
        self._announced = False
        self._failed_starts = 0
        self.has_ended = False
        self._tick: Any = None
        self._liveness = Liveness(TICK_SECONDS)
        self.tallies = Tallies()
        self.report_listeners: list[Callable[[WorkerProcess, Message], None]] = []
        self.tick_listeners: list[Callable[[], None]] = []
        self.replace: Callable[[WorkerProcess, str], None]

    # The start.

    def bind(self) -> Deferred[None]:
        """Bind the sockets; clients wait in the listen queues.

        Returns:
            A Deferred.
        Raises:
            ConfigurationError: an endpoint cannot be bound; nothing has been started.
        """
        return self.sockets.bind(self.configuration.strings, self.configuration.options)

    def start(self) -> None:
        """Start the workers; the sockets are bound."""
        os.environ["PWD"] = working_directory()  # each worker changes to it
        for number in range(1, self.configuration.workers + 1):
            slot = self.slots[number] = Slot(number)
            self.start_worker(slot)
        self._run_tick()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Endpoint strings of the server."""
        return self.configuration.endpoints

    @property
    def listening_addresses(self) -> list[Address]:
        """Addresses on which the workers listen."""
        return self.sockets.addresses(self.configuration.endpoints)

    @property
    def redirect_addresses(self) -> list[Address]:
        """Addresses of `--https-redirect`."""
        return self.sockets.addresses(self.configuration.redirects)

    def start_worker(self, slot: Slot) -> None:
        """Start the worker of an empty slot."""
        slot.next_start = None
        if not self.stopping and slot.worker is None:
            slot.worker = self._spawn(slot, self.configuration, self.generation)

    def start_successor(
        self, slot: Slot, configuration: WorkerConfiguration, generation: int
    ) -> WorkerProcess:
        """Start the worker that will take the place of a slot's worker."""
        slot.successor = self._spawn(slot, configuration, generation)
        return slot.successor

    def _spawn(
        self,
        slot: Slot,
        configuration: WorkerConfiguration,
        generation: int,
        *,
        waits: bool = False,
    ) -> WorkerProcess:
        options = configuration.options
        entry = self._scoreboard.allocate()
        worker = WorkerProcess(
            slot.number, generation, entry, Limits.draw(options), self, self._clock
        )
        if not waits:
            worker.deadline = worker.started_at + options.worker_start_timeout
        words = (
            f"slot={slot.number}/{configuration.workers}",
            f"generation={generation}",
            configuration.application,
        )
        worker.start(
            self.reactor,
            words,
            None if waits else configuration.to_message(),
            self.sockets.inheritance(configuration.strings),
            self._scoreboard.descriptor,
            captures_output=configuration.captures_output,
        )
        return worker

    # Events of the workers.

    def worker_ready(self, worker: WorkerProcess) -> None:
        """See WorkerEvents."""
        self._failed_starts = 0
        self.ever_ready = True
        log.log(self.event_level, "%s is ready after %.2f s", worker, worker.age)
        self._announce_once_ready()

    def _announce_once_ready(self) -> None:
        if not self._announced and self.ready_workers == len(self.slots):
            self._announced = True
            self._on_ready()

    def worker_asks(self, worker: WorkerProcess, reason: str) -> None:
        """See WorkerEvents."""
        if not self.stopping:
            log.info("%s asks for a successor: %s", worker, reason)
            worker.leaves_for = "signal"
            self.replace(worker, "limit")

    def worker_leaves(self, worker: WorkerProcess, reason: str) -> None:
        """See WorkerEvents."""
        log.warning("%s stops by itself: %s", worker, reason)
        worker.leaves_for = "signal"
        slot = self.slots.get(worker.slot)
        self.let_leave(worker, "restart")
        if slot is not None and slot.successor is worker:
            slot.successor = None
        if slot is not None and slot.worker is worker:
            slot.worker = None
            if slot.successor is None:
                self.start_worker(slot)

    def worker_counts(self, worker: WorkerProcess, counts: dict[str, Any]) -> None:
        """See WorkerEvents."""
        self.tallies.update(worker, counts)

    def worker_reports(self, worker: WorkerProcess, message: Message) -> None:
        """See WorkerEvents."""
        for listener in self.report_listeners:
            listener(worker, message)

    def worker_ended(self, worker: WorkerProcess) -> None:
        """See WorkerEvents."""
        self.tallies.ended(worker)
        self._scoreboard.free(worker.entry)
        if worker.pid is not None:
            self._liveness.forget(worker.pid)
        if worker in self.leavers:
            self.leavers.remove(worker)
        self._log_ending(worker)
        slot = self.slots.get(worker.slot)
        if slot is not None and slot.successor is worker:
            slot.successor = None
        if slot is not None and slot.worker is worker:
            slot.worker = None
            self._after_failure(slot, worker)
        if self.stopping:
            self._finish_when_empty()

    def _log_ending(self, worker: WorkerProcess) -> None:
        if worker.expected and worker.error is None:
            log.log(self.event_level, "%s %s", worker, worker.ending)
        elif worker.error is not None and worker.error.status and not self.ever_ready:
            pass  # reported below
        else:
            log.error("%s %s", worker, worker.ending)

    def _after_failure(self, slot: Slot, worker: WorkerProcess) -> None:
        """Start a worker again that has crashed, or give up."""
        if self.stopping:
            return
        error = worker.error
        if not self.ever_ready:
            assert error is not None
            self._report(error)
            self.give_up(error.status)
            return
        if error is not None:
            self._failed_starts += 1
            log.error(
                "%s could not start: %s%s", worker, error, error.detail and f"\n{error.detail}"
            )
            if self.ready_workers == 0 and self._failed_starts >= MAX_FAILED_STARTS:
                log.critical("No worker is ready, and %d starts in a row have failed: stopping",
                             self._failed_starts)  # fmt: skip
                self.give_up(error.status)
                return
        self.fill(slot, worker.age)

    def fill(self, slot: Slot, age: float = 0.0) -> None:
        """Start a worker, perhaps later, if the slot has none and none is planned.

        Args:
            slot: the slot.
            age: seconds that the worker before it has lived.
        """
        empty = slot.worker is None and slot.successor is None and slot.next_start is None
        if empty and not self.stopping:
            delay = slot.backoff.next_delay(age)
            if delay:
                log.info("Worker %d is started again in %.1f s", slot.number, delay)
            slot.next_start = self.reactor.callLater(delay, self.start_worker, slot)

    # What is done to workers.

    @property
    def ready_workers(self) -> int:
        """Number of slots whose worker is ready."""
        return sum(
            slot.worker is not None and slot.worker.phase == Phase.READY
            for slot in self.slots.values()
        )

    def promote(self, slot: Slot) -> None:
        """Give the slot to the successor, which is ready, and let the worker before it leave."""
        before, slot.worker, slot.successor = slot.worker, slot.successor, None
        slot.cancel_start()
        if before is not None:
            self.let_leave(before, "restart")
        self._announce_once_ready()

    def add_slot(self) -> Slot:
        """Add a slot, with a worker that starts."""
        slot = self.slots[len(self.slots) + 1] = Slot(len(self.slots) + 1)
        self.start_worker(slot)
        return slot

    def remove_slot(self) -> None:
        """Remove the last slot; its worker leaves."""
        slot = self.slots.pop(len(self.slots))
        slot.cancel_start()
        for worker in (slot.worker, slot.successor):
            if worker is not None:
                worker.leaves_for = "scale"
                self.let_leave(worker, "restart")
        self._announce_once_ready()

    def let_leave(self, worker: WorkerProcess, kind: str) -> None:
        """Let a worker drain; one that is not ready yet is killed.

        Args:
            worker: a worker that is in no slot any more, or soon will not be.
            kind: see `drain` of the control channel.
        """
        options = self.configuration.options
        seconds = (
            options.graceful_timeout + options.lifespan_timeout
            + options.shutdown_delay + 2 * MARGIN_SECONDS
        )  # fmt: skip
        self.leavers.append(worker)
        worker.leaves_for = worker.leaves_for or ("restart" if kind == "restart" else "stop")
        worker.drain(kind, seconds)
        leaving = [each for each in self.leavers if not each.killed]
        if kind == "restart" and len(leaving) > max(1, 2 * len(self.slots)):
            log.warning("%s is ended, because too many workers are leaving", leaving[0])
            leaving[0].kill()

    # The tick.

    def _run_tick(self) -> None:
        self._tick = self.reactor.callLater(TICK_SECONDS, self._run_tick)
        now = self._clock()
        self._liveness.tick(now)
        for worker in self.workers:
            snapshot = worker.look()
            if worker.deadline is not None and now >= worker.deadline:
                self._deadline_over(worker)
            elif worker.phase == Phase.READY and not worker.replacing and not self.stopping:
                self._check(worker, snapshot.beat / 1e9, now)
        for listener in self.tick_listeners:
            listener()

    def is_blocked(self, worker: WorkerProcess) -> bool:
        """Tell whether the event loop of a worker is blocked at present."""
        timeout = self.configuration.options.worker_timeout
        if not timeout or worker.pid is None or not worker.is_alive:
            return False
        beat = worker.entry.read().beat / 1e9
        return self._liveness.is_blocked(worker.pid, beat, self._clock(), timeout)

    def _check(self, worker: WorkerProcess, beat: float, now: float) -> None:
        """Ask for a successor if the worker is blocked or exceeds a limit."""
        if self.is_blocked(worker):
            log.critical("The event loop of %s has been blocked for %.0f seconds: replacing it",
                         str(worker).replace("W", "w", 1), now - beat)  # fmt: skip
            worker.replacing = True
            worker.leaves_for = "wedged"
            self.replace(worker, "blocked")
        elif limit := worker.exceeded_limit():
            log.info("%s is replaced: %s", worker, limit)
            worker.replacing = True
            worker.leaves_for = limit.rpartition("--")[2].rstrip(")").replace("-", "_")
            self.replace(worker, "limit")

    def _deadline_over(self, worker: WorkerProcess) -> None:
        if worker.phase == Phase.STARTING:
            seconds = counted(self.configuration.options.worker_start_timeout, "second")
            worker.fail(f"{worker} was not ready within {seconds} (--worker-start-timeout)", 3)
        else:
            log.critical("%s does not end: killing it", worker)
            if self.stopping:
                self.exit_status = self.exit_status or 1
        worker.kill_with_stacks()

    @property
    def workers(self) -> list[WorkerProcess]:
        """All worker processes that have not ended."""
        found = [
            worker
            for slot in self.slots.values()
            for worker in (slot.worker, slot.successor)
            if worker is not None
        ]
        # During a stop the workers of the slots are leavers as well.
        return [worker for worker in dict.fromkeys([*found, *self.leavers]) if worker.is_alive]

    # The end.

    def give_up(self, status: int) -> None:
        """Stop because no worker can serve."""
        self.exit_status = status
        self.stop("quick")

    def stop(self, kind: str) -> None:
        """Stop all workers.

        Args:
            kind: see `drain` of the control channel.
        """
        if self.stopping:
            return
        self.stopping = True
        workers = self.workers
        for slot in self.slots.values():
            slot.cancel_start()
            for worker in (slot.worker, slot.successor):
                if worker is not None and worker not in self.leavers:
                    self.let_leave(worker, kind)
        if self._announced:
            log.info("Stopping: waiting for %s", counted(len(workers), "worker"))
        delay = self.configuration.options.shutdown_delay if kind == "stop" else 0
        self.reactor.callLater(delay, self.sockets.close)
        self._finish_when_empty()

    def force(self) -> None:
        """Let the stop wait for nothing any more."""
        log.warning("Second signal: stopping without waiting any longer")
        for worker in self.workers:
            worker.force()

    def stop_with_stacks(self) -> None:
        """End every worker at once, after it has written its stacks."""
        self.stopping = True
        self.exit_status = 1
        for slot in self.slots.values():
            slot.cancel_start()
        for worker in self.workers:
            worker.expected = True
            worker.kill_with_stacks()
        self._finish_when_empty()

    def reopen_logs(self) -> None:
        """Let every worker open its log files again."""
        for worker in self.workers:
            worker.reopen()

    def log_stacks(self) -> None:
        """Let every worker log where its instances wait; log the threads of a blocked one."""
        for worker in self.workers:
            if not worker.serves:
                continue
            if self._clock() - worker.entry.read().beat / 1e9 > SILENT_SECONDS:
                written = worker.write_threads()
                written.addCallback(partial(log.warning, "%s is blocked:\n%s", worker))
            else:
                worker.control.send("stacks")

    def _finish_when_empty(self) -> None:
        # A leaver stays in the list until its end has been logged.
        if self.has_ended or self.workers or self.leavers:
            return
        self.has_ended = True
        if self._tick is not None and self._tick.active():
            self._tick.cancel()
        closed = self.sockets.close()
        closed.addBoth(lambda _result: self._on_end(self.exit_status))
