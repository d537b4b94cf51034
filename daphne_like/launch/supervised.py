"""The `daphne-like` command with `--workers`: runs a supervisor instead of a server."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure

from daphne_like import reactor as reactors
from daphne_like.exceptions import ConfigurationError
from daphne_like.launch import configuration as launch_configuration
from daphne_like.launch.banner import banner
from daphne_like.launch.supervisor_pages import SupervisorPages
from daphne_like.listening.strings import endpoint_strings
from daphne_like.options import AUTO, Options
from daphne_like.process.configuration import WorkerConfiguration
from daphne_like.process.cpus import available_cpus
from daphne_like.process.main_loop import stop_reactor
from daphne_like.process.operations import Operations
from daphne_like.process.reload import ReloadingSupervisor, without_limits_of_workers
from daphne_like.process.sighup import has_terminal
from daphne_like.process.supervisor import Supervisor
from daphne_like.process.supervisor_signals import SupervisorSignals
from daphne_like.process.supervisor_status import SupervisorStatus
from daphne_like.process.systemd import Notifier
from daphne_like.process.worker_process import WorkerFailed
from daphne_like.wording import counted

log = logging.getLogger("daphne_like.server")

REUSE_PORT_WARNING = (
    "--reuse-port: connections that wait for a worker are reset when it ends, unless the kernel "
    "moves them (Linux 5.14 with net.ipv4.tcp_migrate_req=1); a blocked worker still gets its share"
)


def supervise(
    command: type,
    configure: Callable[[], launch_configuration.Configuration],
    notifier: Notifier,
) -> int:
    """Serve with worker processes until a signal arrives.

    Args:
        command: class of the command, which each worker uses.
        configure: returns options and application; called again for each restart.
        notifier: reports the state of the process to systemd.
    Returns:
        The exit status: 0 after a stop in which every worker has drained, otherwise that of the
        worker that could not start, or 1.
    Raises:
        ConfigurationError: an option is wrong, or an endpoint cannot be bound.
    """

    def load() -> WorkerConfiguration:
        configured = configure()
        return to_configuration(command, configured.application, configured.options)

    reactor = reactors.install()
    return SupervisedCommand(reactor, load, notifier).run()


def to_configuration(
    command: type, path: str, options: Options, *, captures_output: bool = False
) -> WorkerConfiguration:
    """Return the configuration of workers.

    Args:
        command: class of the command, which each worker uses.
        path: the application, "module:attribute".
        options: the options.
        captures_output: the supervisor logs what workers print.
    Raises:
        ConfigurationError: an option is wrong, or a worker could not import the command.
    """
    option = "reload" if options.reload else "workers"
    if command.__module__ == "__main__" or "<locals>" in command.__qualname__:
        raise ConfigurationError(
            f"--{option}: {command.__qualname__} must be in a module that workers can import"
        )
    workers = available_cpus() if options.workers == AUTO else int(options.workers or 1)
    if options.ready_workers is not None and options.ready_workers > workers:
        raise ConfigurationError(
            f"--ready-workers: expected at most {workers}, the number of workers"
        )
    return WorkerConfiguration(
        application=path,
        options=options,
        command=f"{command.__module__}:{command.__qualname__}",
        endpoints=tuple(endpoint_strings(options)),
        redirects=tuple(options.https_redirect),
        workers=workers,
        captures_output=captures_output,
    )


def announce(supervisor: Supervisor) -> None:
    """Log what the workers serve and where."""
    reloads = supervisor.configuration.options.reload
    workers = "--reload" if reloads else counted(len(supervisor.slots), "worker")
    log.info("%s", banner(supervisor, supervisor.configuration.application, workers))


class SupervisedCommand:
    """A process whose reactor runs a supervisor.

    Args:
        reactor: a reactor on an asyncio event loop.
        load: returns the present configuration, or raises a ConfigurationError.
        notifier: reports the state of the process to systemd.
    """

    def __init__(
        self, reactor: Any, load: Callable[[], WorkerConfiguration], notifier: Notifier
    ) -> None:
        self._reactor = reactor
        self._error: ConfigurationError | None = None
        self._had_terminal = has_terminal()
        self.supervisor: Supervisor
        self._operations: Operations | ReloadingSupervisor
        configuration = load()
        told = (self._ready, self._ended, self._report)
        if configuration.options.reload:
            self.supervisor = self._operations = ReloadingSupervisor(
                reactor, without_limits_of_workers(configuration), *told
            )
            self._status = SupervisorStatus(self.supervisor, notifier)
        else:
            self.supervisor = Supervisor(reactor, configuration, *told)
            self._status = SupervisorStatus(self.supervisor, notifier)
            self._operations = Operations(
                self.supervisor, load, self._status.reloading, self._status.reloaded
            )

        self._pages = SupervisorPages(
            self.supervisor,
            {
                "restart": self._operations.restart,
                "reopen": self.supervisor.reopen_logs,
                "drain": lambda: self._stop("stop"),
            },
        )

    def run(self) -> int:
        """Run the reactor until all workers have ended.

        Returns:
            The exit status.
        Raises:
            ConfigurationError: an endpoint cannot be bound; no worker has been started.
        """
        self._take_signals()
        if self.supervisor.configuration.options.reuse_port:
            log.warning("%s", REUSE_PORT_WARNING)
        self._reactor.callWhenRunning(self._start)
        self._reactor.run(installSignalHandlers=False)
        if self._error is not None:
            raise self._error
        return self.supervisor.exit_status

    def _start(self) -> None:
        bound = self.supervisor.bind()
        bound.addCallback(lambda _none: self._pages.bind())
        bound.addCallback(lambda _none: self._pages.open())
        bound.addCallback(lambda _none: self.supervisor.start())
        bound.addCallback(lambda _none: self._status.start())
        bound.addErrback(self._not_bound)

    def _not_bound(self, failure: Failure) -> None:
        if failure.check(ConfigurationError):
            self._error = failure.value  # type: ignore[assignment] # checked
        else:
            self._error = ConfigurationError(failure.getErrorMessage(), exit_status=1)
            log.critical("Cannot start: %s", failure.getTraceback())
        self.supervisor.sockets.close().addBoth(lambda _result: stop_reactor(self._reactor))

    # What the supervisor calls.

    def _ready(self) -> None:
        announce(self.supervisor)
        self._status.ready()

    def _ended(self, _exit_status: int) -> None:
        self._status.stopping()
        if self.supervisor.ever_ready:
            log.info("Stopped")
        self._pages.close().addBoth(lambda _result: stop_reactor(self._reactor))

    def _report(self, error: WorkerFailed) -> None:
        detail = f"{error.detail}\n" if error.detail else ""
        sys.stderr.write(f"{detail}daphne-like: {error}\n")
        sys.stderr.flush()

    # Signals.

    def _take_signals(self) -> None:
        """Handle signals from now on; handlers run between two instructions of the main thread."""
        supervisor, operations = self.supervisor, self._operations
        SupervisorSignals(
            self._reactor,
            {
                "SIGTERM": lambda: self._stop("stop"),
                "SIGINT": lambda: self._stop("quick"),
                "SIGQUIT": supervisor.stop_with_stacks,
                "SIGHUP": self._hang_up,
                "SIGTTIN": operations.more,
                "SIGTTOU": operations.fewer,
                "SIGUSR1": supervisor.reopen_logs,
                "SIGUSR2": self._tell_stacks,
                "SIGWINCH": lambda: None,
            },
        ).install()

    def _tell_stacks(self) -> None:
        """Handle SIGUSR2, with which nginx and gunicorn start a second main process."""
        log.warning(
            "SIGUSR2: the supervisor does not replace itself (SIGHUP restarts the workers); "
            "the workers log where application instances wait"
        )
        self.supervisor.log_stacks()

    def _hang_up(self) -> None:
        """Handle SIGHUP: restart, or stop if it tells that the terminal has been closed."""
        if self._had_terminal and not has_terminal():
            self._stop("stop")
        else:
            self._operations.restart()

    def _stop(self, kind: str) -> None:
        self._status.stopping()
        if self.supervisor.stopping:
            self.supervisor.force()
        else:
            self._operations.cancel()
            self.supervisor.stop(kind)
