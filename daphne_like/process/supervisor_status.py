"""Tells systemd the state of a supervisor and its workers."""

from __future__ import annotations

import time

from daphne_like.process.supervisor import MARGIN_SECONDS, TICK_SECONDS, Supervisor
from daphne_like.process.systemd import Notifier
from daphne_like.process.worker_process import Phase
from daphne_like.wording import counted

SILENT_SECONDS = 30.0
"""Seconds without a beat after which a worker is blocked, if `worker_timeout` is no limit."""


class SupervisorStatus:
    """Reports a supervisor's changes, and its beats while a worker's event loop turns.

    Args:
        supervisor: the supervisor.
        notifier: sends the reports.
    """

    def __init__(self, supervisor: Supervisor, notifier: Notifier) -> None:
        self._supervisor = supervisor
        self._notifier = notifier
        self._shown: str | None = None

    def start(self) -> None:
        """Report changes and beats from now on."""
        self._supervisor.reactor.callLater(TICK_SECONDS, self.start)
        now = time.monotonic()
        if self._turns(now):
            self._notifier.beat(now)
        if self._shown is not None and self._shown != self._describe():
            self._shown = self._describe()
            self._notifier.status(self._shown)

    def ready(self) -> None:
        """Report that all workers are ready."""
        self._shown = self._describe()
        self._notifier.ready(self._shown)

    def reloading(self) -> None:
        """Report that a restart begins."""
        self._shown = None
        self._notifier.reloading()

    def reloaded(self, reason: str) -> None:
        """Report that a restart is over.

        Args:
            reason: the reason of its failure, or "".
        """
        self._shown = self._describe()
        self._notifier.reloaded(f"Restart failed: {reason}" if reason else self._shown)

    def stopping(self) -> None:
        """Report that the stop has begun."""
        self._shown = None
        options = self._supervisor.configuration.options
        self._notifier.stopping(
            options.shutdown_delay + options.graceful_timeout + options.lifespan_timeout
            + 3 * MARGIN_SECONDS
        )  # fmt: skip

    def _describe(self) -> str:
        supervisor = self._supervisor
        ready, wanted = supervisor.ready_workers, counted(len(supervisor.slots), "worker")
        return f"{ready}/{wanted}, generation {supervisor.generation}"

    def _turns(self, now: float) -> bool:
        """Tell whether a worker's event loop turns, a worker starts, or the supervisor stops.

        The supervisor itself replaces a blocked worker and bounds starts and stops. Only if none
        of that helps, systemd is to restart the service.
        """
        supervisor = self._supervisor
        timeout = supervisor.configuration.options.worker_timeout or SILENT_SECONDS
        return supervisor.stopping or any(
            worker.phase == Phase.STARTING
            or (worker.phase == Phase.READY and now - worker.look().beat / 1e9 < timeout)
            for worker in supervisor.workers
        )
