"""A supervisor for development: it replaces its only worker after each change of the source code.

A worker that waits, with its interpreter and this package loaded, makes that fast.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import os
import time
from collections.abc import Iterable, Sequence
from typing import Any

from daphne_like.options import Options
from daphne_like.process.configuration import WorkerConfiguration
from daphne_like.process.slot import Slot
from daphne_like.process.supervisor import Supervisor
from daphne_like.process.watching import SourceFiles, Watcher, describe
from daphne_like.process.worker_process import WorkerFailed, WorkerProcess

log = logging.getLogger("daphne_like.server")

OVERLAP_SECONDS = 1.0
"""Seconds for the old worker to end before the new one loads the application all the same."""
KILL_SECONDS = 5.0
"""Seconds after which the old worker is killed, for example because a request blocks it."""
SPARE_SECONDS = 0.3
"""Seconds between the start of a worker and that of the next one that waits: the first requests
have the processor for themselves."""
OWN_CODE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


class ReloadingSupervisor(Supervisor):
    """Keeps one worker serving the present source code.

    The sockets stay open, so a browser waits while there is no worker. While the application cannot
    be loaded, a worker serves the error instead.

    Args:
        arguments: as for Supervisor.
    """

    event_level = logging.DEBUG

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.generation = 0  # each start counts
        options = self.configuration.options
        directories = options.reload_dir or (options.app_dir,)
        self._files = SourceFiles(directories, options.reload_include, options.reload_exclude)
        self._watcher = Watcher(directories, self._files, self._changed)
        self._directories = directories
        self._spare: WorkerProcess | None = None
        self._spare_start: Any = None
        self._message: dict[str, Any] = {}
        self._shows_error = False
        self._since: float | None = None
        self.replace = lambda _worker, _reason: self._reload()

    # What a command does.

    def restart(self) -> None:
        """Load the application again."""
        log.info("SIGHUP: reloading")
        self._reload()

    def more(self) -> None:
        """Say that there is one worker."""
        log.info("--reload runs one worker")

    fewer = more

    def cancel(self) -> None:
        """Do nothing: there is no operation that could wait."""

    def _changed(self, paths: list[str]) -> None:
        """Handle changes; called in the watcher's thread."""
        self.reactor.callFromThread(self._reload_after, paths)

    def _reload_after(self, paths: Sequence[str]) -> None:
        if self.stopping:
            return
        log.info("%s: reloading", describe(paths, self._files))
        forget_bytecode(paths)
        if any(path.startswith(OWN_CODE) for path in paths):
            self._drop_spare()
        self._reload()

    def _reload(self) -> None:
        """Let the worker leave, and start another one."""
        slot = self.slots.get(1)
        if self.stopping or slot is None:
            return
        self._since = time.monotonic()
        slot.cancel_start()
        before, slot.worker = slot.worker, None
        if before is not None:
            self.let_leave(before, "reload")
            self.reactor.callLater(KILL_SECONDS, _kill, before)
        self._start(slot, None)

    # The start of a worker.

    def start_worker(self, slot: Slot) -> None:
        """Start the worker of an empty slot."""
        slot.next_start = None
        if self.stopping or slot.worker is not None:
            return
        if self.generation == 0:
            named = ", ".join(map(os.path.abspath, self._directories))
            log.info("Watching for changes with watchfiles: %s", named)
            self._watcher.start()
        self._start(slot, None)

    def _start(self, slot: Slot, error: WorkerFailed | None) -> None:
        """Start a worker, which waits until the worker before it has ended, but not for long.

        Two workers at a time could want the same port, lock or file.
        """
        self.generation += 1
        worker = self._spare if self._spare is not None else self._spawn_waiting()
        self._spare = None
        slot.worker = worker
        self._shows_error = error is not None
        self._message = dataclasses.replace(self.configuration, error=error).to_message()
        if self.leavers:
            self.reactor.callLater(OVERLAP_SECONDS, self._configure, worker)
        else:
            self._configure(worker)

    def _configure(self, worker: WorkerProcess) -> None:
        if self.slots[1].worker is worker and worker.is_waiting and not self.stopping:
            seconds = self.configuration.options.worker_start_timeout
            worker.deadline = time.monotonic() + seconds
            worker.configure(self._message)

    def _spawn_waiting(self) -> WorkerProcess:
        return self._spawn(Slot(1), self.configuration, self.generation, waits=True)

    def _start_spare(self) -> None:
        if self._spare is None and not self.stopping:
            self._spare = self._spawn(
                Slot(1), self.configuration, self.generation + 1, waits=True
            )  # fmt: skip

    def _drop_spare(self) -> None:
        if self._spare_start is not None and self._spare_start.active():
            self._spare_start.cancel()
        if self._spare is not None:
            self._spare.expected = True
            self._spare.kill()
            self._spare = None

    # Events of the workers.

    def worker_ready(self, worker: WorkerProcess) -> None:
        """See WorkerEvents."""
        if self._since is not None and not self._shows_error:
            log.info("Reloaded in %.2f s", time.monotonic() - self._since)
            self._since = None
        super().worker_ready(worker)
        self._spare_start = self.reactor.callLater(SPARE_SECONDS, self._start_spare)

    def worker_ended(self, worker: WorkerProcess) -> None:
        """See WorkerEvents."""
        if worker is self._spare:
            self._spare = None
            worker.expected = True
        super().worker_ended(worker)
        slot = self.slots.get(1)
        if not self.leavers and slot is not None and slot.worker is not None:
            self._configure(slot.worker)

    def _log_ending(self, worker: WorkerProcess) -> None:
        if worker.error is None:  # otherwise logged below
            super()._log_ending(worker)

    def _after_failure(self, slot: Slot, worker: WorkerProcess) -> None:
        """Serve the error of a start that has failed, until the next change."""
        error = worker.error
        if error is None or self.stopping:
            super()._after_failure(slot, worker)
        elif self._shows_error:
            self._report(error)
            self.give_up(error.status)
        else:
            detail = error.detail and f"{error.detail}\n"
            log.error("%s%s; waiting for a change", detail, error)
            self._start(slot, error)

    # The end.

    def stop(self, kind: str) -> None:
        """Stop the worker; a developer does not wait long for open requests."""
        self._watcher.stop()
        super().stop("reload")
        self._drop_spare()

    def stop_with_stacks(self) -> None:
        """End every worker at once, after it has written its stacks."""
        self._watcher.stop()
        self._drop_spare()
        super().stop_with_stacks()


def _kill(worker: WorkerProcess) -> None:
    if worker.is_alive:
        log.warning("%s has not ended %.0f s after the change: killing it", worker, KILL_SECONDS)
        worker.kill()


def without_limits_of_workers(configuration: WorkerConfiguration) -> WorkerConfiguration:
    """Return a configuration in which a worker may be blocked, for example by a debugger."""
    options: Options = dataclasses.replace(configuration.options, worker_timeout=None)
    return dataclasses.replace(configuration, options=options, workers=1)


def forget_bytecode(paths: Iterable[str]) -> None:
    """Remove the compiled code of changed files.

    Python uses compiled code as long as the size of its source and the second of its last change
    are the same. Two changes within a second may leave both as they are.
    """
    for path in paths:
        if path.endswith(".py"):
            try:
                os.unlink(importlib.util.cache_from_source(path))
            except (OSError, NotImplementedError):
                pass  # there is none, or it is not ours
