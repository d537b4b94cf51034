"""`twistd daphne-like --workers`: a supervisor as a service of Twisted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed

from daphne_like.exceptions import ConfigurationError
from daphne_like.launch import configuration as launch_configuration
from daphne_like.launch.command import CommandLineInterface
from daphne_like.launch.supervised import announce, to_configuration
from daphne_like.launch.supervisor_pages import SupervisorPages
from daphne_like.process.main_loop import stop_reactor
from daphne_like.process.operations import Operations
from daphne_like.process.supervisor import Supervisor
from daphne_like.process.supervisor_signals import SupervisorSignals
from daphne_like.process.worker_process import WorkerFailed

log = logging.getLogger("daphne_like.server")


class SupervisedService(Service):
    """Serves an application with worker processes.

    `privilegedStartService` binds the sockets, and `startService` starts the workers, which have
    the user that twistd has changed to. It waits until they are ready, so that twistd can tell
    whether it starts. Signals of twistd stop it, SIGHUP restarts the workers.

    Args:
        configure: returns options and application; called again for each restart.
        failed: called if no worker can start and the reactor runs already.

    Attributes:
        supervisor: the Supervisor while the service runs, otherwise None.
    """

    def __init__(
        self,
        configure: Callable[[], launch_configuration.Configuration],
        failed: Callable[[ConfigurationError], None],
    ) -> None:
        self._configure = configure
        self._failed = failed
        self._stopped: Deferred[None] | None = None
        self._signals: SupervisorSignals | None = None
        self._starting: asyncio.Future[None] | None = None
        self._error: ConfigurationError | None = None
        self.supervisor: Supervisor | None = None

    def privilegedStartService(self) -> None:
        from twisted.internet import reactor

        super().privilegedStartService()  # type: ignore[no-untyped-call] # not typed

        def load() -> Any:
            configured = self._configure()
            return to_configuration(
                CommandLineInterface,
                configured.application,
                configured.options,
                captures_output=True,
            )

        supervisor = Supervisor(reactor, load(), self._ready, self._ended, self._report)
        self._operations = Operations(supervisor, load, lambda: None, lambda _reason: None)
        self._pages = pages = SupervisorPages(
            supervisor,
            {
                "restart": self._operations.restart,
                "reopen": supervisor.reopen_logs,
                "drain": lambda: stop_reactor(reactor),
            },
        )
        errors: list[Any] = []
        bound = supervisor.bind()
        bound.addCallback(lambda _none: pages.bind())
        bound.addErrback(errors.append)
        if errors:
            errors[0].raiseException()
        self.supervisor = supervisor

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call] # not typed
        if self.supervisor is None:
            self.privilegedStartService()
        supervisor = self.supervisor
        assert supervisor is not None
        self._signals = SupervisorSignals(
            supervisor.reactor,
            {
                "SIGHUP": self._operations.restart,
                "SIGTTIN": self._operations.more,
                "SIGTTOU": self._operations.fewer,
                "SIGUSR1": supervisor.reopen_logs,
                "SIGUSR2": supervisor.log_stacks,
            },
        )
        supervisor.reactor.callWhenRunning(self._signals.install)
        supervisor.reactor.callWhenRunning(self._pages.open)
        supervisor.start()
        if supervisor.loop.is_running() or supervisor.reactor.running:
            return
        self._wait_until_ready(supervisor)

    def _wait_until_ready(self, supervisor: Supervisor) -> None:
        """Run the event loop until all workers are ready; the reactor does not run yet.

        Raises:
            ConfigurationError: they cannot start, or a signal has stopped them.
        """
        self._starting = supervisor.loop.create_future()
        actions = {"SIGTERM": self._interrupt, "SIGINT": self._interrupt}
        signals = SupervisorSignals(supervisor.reactor, actions)  # twistd has no handlers yet
        signals.install()
        try:
            supervisor.loop.run_until_complete(self._starting)
        except BaseException:
            self.supervisor = None
            raise
        finally:
            signals.restore()

    def _interrupt(self) -> None:
        assert self.supervisor is not None
        self._error = ConfigurationError(
            "A signal has ended the start before the workers were ready", exit_status=1
        )
        self.supervisor.stop("quick")

    def stopService(self) -> Deferred[None]:
        """Let the workers drain.

        Returns:
            A Deferred that fires when all have ended.
        """
        super().stopService()  # type: ignore[no-untyped-call] # not typed
        supervisor, self.supervisor = self.supervisor, None
        if self._signals is not None:
            self._signals.restore()
        if supervisor is None or supervisor.has_ended:
            return succeed(None)
        self._stopped = Deferred()
        self._operations.cancel()
        supervisor.stop("stop")
        return self._stopped

    def _ready(self) -> None:
        assert self.supervisor is not None
        announce(self.supervisor)
        if self._starting is not None:
            self._starting.set_result(None)

    def _ended(self, status: int) -> None:
        self._pages.close().addBoth(lambda _result: self._closed(status))

    def _closed(self, status: int) -> None:
        starting, stopped = self._starting, self._stopped
        if stopped is not None:
            stopped.callback(None)
        elif starting is not None and not starting.done():
            starting.set_exception(
                self._error or ConfigurationError("No worker can start", exit_status=status)
            )
        elif self.supervisor is not None:  # it has given up by itself
            stop_reactor(self.supervisor.reactor)

    def _report(self, error: WorkerFailed) -> None:
        failure = ConfigurationError(str(error), exit_status=error.status, detail=error.detail)
        if self._starting is None:
            self._failed(failure)
        else:
            self._error = failure
