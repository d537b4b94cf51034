"""Changes of the workers, one at a time: restart, replace one worker, one worker more or less."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, FirstError

from daphne_like.exceptions import ConfigurationError
from daphne_like.options import MAX_WORKERS
from daphne_like.process.configuration import WorkerConfiguration
from daphne_like.process.memory import room_for
from daphne_like.process.slot import Slot
from daphne_like.process.spawning import enter_directory
from daphne_like.process.supervisor import Supervisor
from daphne_like.process.worker_process import Phase, WorkerFailed, WorkerProcess
from daphne_like.wording import counted

log = logging.getLogger("daphne_like.server")

RETRY_SECONDS = 30.0
"""Seconds before a worker that exceeds a limit is tried to be replaced again."""


class Operations:
    """A queue of operations.

    Args:
        supervisor: the supervisor.
        load: reads the configuration again; raises a ConfigurationError if it is wrong.
        reloading: called when a restart begins.
        reloaded: called when a restart is over, with the reason of its failure or "".
    """

    def __init__(
        self,
        supervisor: Supervisor,
        load: Callable[[], WorkerConfiguration],
        reloading: Callable[[], None],
        reloaded: Callable[[str], None],
    ) -> None:
        self._supervisor = supervisor
        self._load = load
        self._reloading = reloading
        self._reloaded = reloaded
        self._queue: deque[Callable[[], Coroutine[Any, Any, None]]] = deque()
        self._running: Deferred[Any] | None = None
        self._last_generation = 0  # a restart that has failed has used its number
        supervisor.replace = self.replace

    def restart(self) -> None:
        """Read the configuration again and replace all workers; wait for the operation before."""
        if self._restart in self._queue:
            log.info("A restart is waiting already")
            return
        self._add(self._restart)

    def replace(self, worker: WorkerProcess, reason: str) -> None:
        """Replace one worker; "blocked" goes before other operations."""

        async def run() -> None:
            await self._replace(worker, reason)

        self._add(run, first=reason == "blocked")

    def more(self) -> None:
        """Add a worker."""
        self._add(self._more)

    def fewer(self) -> None:
        """Remove a worker, but never the last one."""
        self._add(self._fewer)

    def cancel(self) -> None:
        """Run no further operation, because the supervisor stops."""
        self._queue.clear()
        if self._running is not None:
            self._running.cancel()

    def _add(self, operation: Callable[[], Coroutine[Any, Any, None]], first: bool = False) -> None:
        if first:
            self._queue.appendleft(operation)
        else:
            self._queue.append(operation)
        if self._running is None:
            self._run_next()

    def _run_next(self, _result: object = None) -> None:
        self._running = None
        if self._queue and not self._supervisor.stopping:
            operation = self._queue.popleft()
            self._running = running = Deferred.fromCoroutine(operation())
            running.addErrback(self._failed)
            running.addCallback(self._run_next)

    def _failed(self, failure: Any) -> None:
        # The successors of a cancelled operation end with the other workers.
        if not self._supervisor.stopping and not failure.check(CancelledError):
            log.error("An operation failed: %s", failure.getTraceback())

    # The operations.

    async def _restart(self) -> None:
        supervisor = self._supervisor
        self._reloading()
        before = supervisor.configuration
        try:
            # A configuration file and relative paths in it are those of the present release.
            enter_directory(os.environ["PWD"])
            configuration = self._load()
            supervisor.sockets.validate(configuration.strings, configuration.options)
            await supervisor.sockets.bind(configuration.strings, configuration.options)
        except ConfigurationError as error:
            self._restart_failed(f"the configuration is wrong: {error}", error.detail)
            return
        self._last_generation = generation = max(self._last_generation, supervisor.generation) + 1
        log.info("Restarting: generation %d", generation)
        try:
            for batch in self._batches():
                await self._roll(batch, configuration, generation)
        except WorkerFailed as error:
            await supervisor.sockets.close(keep=before.strings)
            self._restart_failed(str(error), error.detail)
            return
        supervisor.configuration = configuration
        supervisor.generation = generation
        await self._resize(configuration.workers)
        await supervisor.sockets.close(keep=configuration.strings)
        log.info("Restarted: %s of generation %d",
                 counted(len(supervisor.slots), "worker"), generation)  # fmt: skip
        supervisor.tallies.restarted("")
        self._reloaded("")

    def _restart_failed(self, reason: str, detail: str) -> None:
        log.error(
            "The restart has failed, and the workers before it go on serving: %s%s",
            reason, detail and f"\n{detail}",
        )  # fmt: skip
        self._supervisor.tallies.restarted(reason)
        self._reloaded(reason)

    def _batches(self) -> list[list[Slot]]:
        """Return the slots in groups that are replaced together."""
        slots = list(self._supervisor.slots.values())
        surge = self._supervisor.configuration.options.restart_surge
        if surge is None:
            pids = [worker.pid for worker in self._supervisor.workers if worker.pid is not None]
            surge = len(slots) if room_for(pids) else 1
        return [slots[start : start + surge] for start in range(0, len(slots), surge)]

    async def _roll(
        self, slots: Sequence[Slot], configuration: WorkerConfiguration, generation: int
    ) -> None:
        """Start successors, and let the workers before them leave when all are ready.

        Raises:
            WorkerFailed: one of them cannot start, or ends while another one starts; the others
                are ended, nothing has changed.
        """
        supervisor = self._supervisor
        successors = [supervisor.start_successor(slot, configuration, generation) for slot in slots]
        waiting = DeferredList(
            [worker.became_ready for worker in successors],
            fireOnOneErrback=True, consumeErrors=True,
        )  # fmt: skip
        try:
            await waiting
            for worker in successors:
                if worker.phase != Phase.READY:
                    raise WorkerFailed(f"{worker} {worker.ending or 'has stopped'}", 1)
        except FirstError as first:
            failure: Any = first.subFailure
            self._dismiss(slots, successors)
            raise failure.value from None
        except WorkerFailed:
            self._dismiss(slots, successors)
            raise
        for slot in slots:
            supervisor.promote(slot)

    def _dismiss(self, slots: Sequence[Slot], successors: Sequence[WorkerProcess]) -> None:
        """End successors that are not needed any more."""
        supervisor = self._supervisor
        for slot, worker in zip(slots, successors, strict=True):
            slot.successor = None
            if worker.is_alive and worker not in supervisor.leavers:
                supervisor.let_leave(worker, "restart")  # a ready one has accepted connections
            supervisor.fill(slot)

    async def _replace(self, worker: WorkerProcess, reason: str) -> None:
        supervisor = self._supervisor
        slot = supervisor.slots.get(worker.slot)
        if slot is None or slot.worker is not worker:
            return  # it has been replaced already, or has ended
        successor = supervisor.start_successor(
            slot, supervisor.configuration, supervisor.generation
        )
        try:
            await successor.became_ready
        except WorkerFailed as error:
            slot.successor = None
            supervisor.fill(slot)
            log.error("%s has no successor: %s%s", worker, error,
                      error.detail and f"\n{error.detail}")  # fmt: skip
            if not self._end_if_blocked(worker, reason):
                supervisor.reactor.callLater(RETRY_SECONDS, setattr, worker, "replacing", False)
            return
        if slot.worker is worker and self._end_if_blocked(worker, reason):
            supervisor.leavers.append(worker)
            slot.worker = None
        supervisor.promote(slot)

    def _end_if_blocked(self, worker: WorkerProcess, reason: str) -> bool:
        """End a worker with its stacks if its event loop is still blocked; tell whether it is."""
        blocked = reason == "blocked" and self._supervisor.is_blocked(worker)
        if blocked and worker.is_alive:
            worker.kill_with_stacks()
        elif reason == "blocked" and worker.is_alive:
            log.warning("The event loop of %s runs again", worker)
        return blocked

    async def _more(self) -> None:
        if len(self._supervisor.slots) == MAX_WORKERS:
            log.info("%d workers are the most", MAX_WORKERS)
            return
        await self._resize(len(self._supervisor.slots) + 1)

    async def _fewer(self) -> None:
        if len(self._supervisor.slots) == 1:
            log.info("One worker is the least")
            return
        await self._resize(len(self._supervisor.slots) - 1)

    async def _resize(self, wanted: int) -> None:
        supervisor = self._supervisor
        while len(supervisor.slots) > wanted:
            supervisor.remove_slot()
        added = [supervisor.add_slot() for _ in range(wanted - len(supervisor.slots))]
        for slot in added:
            if slot.worker is not None and slot.worker.phase == Phase.STARTING:
                try:
                    await slot.worker.became_ready
                except WorkerFailed:
                    pass  # logged where it ended; it is started again
        if added:
            log.info("%s now", counted(len(supervisor.slots), "worker"))
