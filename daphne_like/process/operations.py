"""Changes of the workers, one at a time: restart, replace one worker, one worker more or less."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, FirstError

from daphne_like.exceptions import ConfigurationError
from daphne_like.process.memory import room_for
from daphne_like.process.supervisor import Configuration, Slot, Supervisor
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
        load: Callable[[], Configuration],
        reloading: Callable[[], None],
        reloaded: Callable[[str], None],
    ) -> None:
        self._supervisor = supervisor
        self._load = load
        self._reloading = reloading
        self._reloaded = reloaded
        self._queue: deque[Callable[[], Coroutine[Any, Any, None]]] = deque()
        self._running: Deferred[Any] | None = None
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
        if not self._supervisor.stopping:
            log.error("An operation failed: %s", failure.getTraceback())

    # The operations.

    async def _restart(self) -> None:
        supervisor = self._supervisor
        self._reloading()
        before = supervisor.configuration
        try:
            configuration = self._load()
            supervisor.sockets.validate(configuration.strings, configuration.options)
            await supervisor.sockets.bind(configuration.strings, configuration.options)
        except ConfigurationError as error:
            self._restart_failed(f"the configuration is wrong: {error}", error.detail)
            return
        generation = supervisor.generation + 1
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
        self._reloaded("")

    def _restart_failed(self, reason: str, detail: str) -> None:
        log.error(
            "The restart has failed, and the workers before it go on serving: %s%s",
            reason, detail and f"\n{detail}",
        )  # fmt: skip
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
        self, slots: Sequence[Slot], configuration: Configuration, generation: int
    ) -> None:
        """Start successors, and let the workers before them leave when all are ready.

        Raises:
            WorkerFailed: one of them cannot start; the others are ended, nothing has changed.
        """
        supervisor = self._supervisor
        successors = [supervisor.start_successor(slot, configuration, generation) for slot in slots]
        waiting = DeferredList(
            [worker.became_ready for worker in successors],
            fireOnOneErrback=True, consumeErrors=True,
        )  # fmt: skip
        try:
            await waiting
        except FirstError as first:
            failure: Any = first.subFailure
            for slot, worker in zip(slots, successors, strict=True):
                slot.successor = None
                if worker.is_alive:
                    supervisor.leavers.append(worker)
                    worker.drain("restart", 1.0)
            raise failure.value from None
        for slot in slots:
            if slot.successor is not None:
                supervisor.promote(slot)

    async def _replace(self, worker: WorkerProcess, reason: str) -> None:
        supervisor = self._supervisor
        slot = supervisor.slots.get(worker.slot)
        if slot is None or slot.worker is not worker:
            return  # it has been replaced already, or has ended
        try:
            successor = supervisor.start_successor(
                slot, supervisor.configuration, supervisor.generation
            )
            await successor.became_ready
        except WorkerFailed as error:
            slot.successor = None
            log.error("%s has no successor: %s%s", worker, error,
                      error.detail and f"\n{error.detail}")  # fmt: skip
            if reason != "blocked":
                supervisor.reactor.callLater(RETRY_SECONDS, setattr, worker, "replacing", False)
        else:
            if reason != "blocked":
                supervisor.promote(slot)
                return
            slot.worker, slot.successor = successor, None
            supervisor.leavers.append(worker)
        if reason == "blocked" and worker.is_alive:
            worker.kill_with_stacks()

    async def _more(self) -> None:
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
