"""A worker: serves the application on the sockets of its supervisor.

The supervisor starts it as `python -m daphne_like.process.worker slot=1/2 generation=1 main:app`,
so that a list of processes shows its place; everything else comes over the control channel.
"""

from __future__ import annotations

import os

if "LISTEN_FDNAMES" in os.environ:
    # systemd's protocol names the process for which the sockets are meant. Twisted reads the
    # variables at import; in the supervisor it has removed all but the names (25.5 to 26.10).
    os.environ["LISTEN_FDS"] = str(len(os.environ["LISTEN_FDNAMES"].split(":")))
    os.environ["LISTEN_PID"] = str(os.getpid())

import dataclasses
import faulthandler
import itertools
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from daphne_like import __version__
from daphne_like.exceptions import ConfigurationError
from daphne_like.launch.command import CommandLineInterface, open_standard_descriptors
from daphne_like.listening.accepting import PauseReason
from daphne_like.listening.inherited import InheritedReactor
from daphne_like.metrics.counts import to_message
from daphne_like.metrics.exposition import has_client
from daphne_like.metrics.one_process import count
from daphne_like.options import Options
from daphne_like.process import control, group_signals, parent_death, process_name
from daphne_like.process.balance import Balance, watch_connections
from daphne_like.process.descriptors import VARIABLE, WorkerDescriptors
from daphne_like.process.error_page import ErrorPage
from daphne_like.process.exit import wait_for_threads
from daphne_like.process.orphaned_files import OrphanedFiles
from daphne_like.process.scoreboard import Scoreboard, WorkerState
from daphne_like.process.spawning import enter_directory
from daphne_like.process.thread_stacks import THREADS_SIGNAL
from daphne_like.runtime.descriptor_limit import raise_limit
from daphne_like.runtime.drain_plan import DrainPlan
from daphne_like.server import Server
from daphne_like.status.listing import Listing
from daphne_like.status.recorder import Recorder
from daphne_like.status.rows import Query

log = logging.getLogger("daphne_like.server")

PLANS = {
    "stop": DrainPlan.patient,
    "restart": DrainPlan.replaced,
    "quick": DrainPlan.quick,
    "reload": DrainPlan.reloaded,
}
"""The plan for each kind of drain in the supervisor's message."""

TICKS_PER_COUNTS = 2
"""Ticks of half a second between two messages with counts."""
REMOVED = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_PID",
           "WATCHDOG_USEC")  # fmt: skip
"""Environment variables of systemd that the application and its processes do not get."""


class Worker:
    """A worker process.

    Args:
        descriptors: what it has inherited.
        slot: number of its slot, from 1.
        generation: counts the restarts.
    """

    def __init__(self, descriptors: WorkerDescriptors, slot: str, generation: str) -> None:
        self.started = time.monotonic()
        self.slot = slot
        self._generation = generation
        self._descriptors = descriptors
        self._scoreboard = Scoreboard(descriptors.scoreboard)
        self._entry = self._scoreboard.entry(descriptors.entry)
        self._protocol = control.ControlProtocol(
            control.FROM_SUPERVISOR, self._received, self._orphaned
        )
        self._set_state(WorkerState.STARTING)
        self._server: Server | None = None
        self._files = OrphanedFiles()
        self._supervisor = os.getppid()
        self._balance: Balance
        self._requests = 0
        self._listing: Listing | None = None
        self._asked = False
        self._leaving = False

    # The start.

    def receive_configuration(self) -> control.Message:
        """Say hello and wait for the supervisor's first message; the event loop does not run yet.

        The wait has no limit: under --reload a worker waits for the next change. It ends when the
        supervisor dies.

        Raises:
            ConfigurationError: the supervisor has died, or sends another message.
        """
        number = os.dup(self._descriptors.control)
        with socket.socket(fileno=number) as channel:
            channel.setblocking(True)
            channel.sendall(control.to_line("hello", pid=os.getpid(), version=__version__))
            line = b""
            # One octet at a time: what follows the line belongs to the event loop.
            while not line.endswith(b"\n") and len(line) < control.MAX_LINE:
                received = channel.recv(1)
                if not received:
                    raise ConfigurationError("the supervisor has closed the control channel")
                line += received
            channel.setblocking(False)  # the descriptors share this flag
        try:
            message = control.parse(line, control.FROM_SUPERVISOR)
        except control.ControlError as error:
            raise ConfigurationError(f"The supervisor's first message: {error}")
        if message is None or message["type"] != "configuration":
            raise ConfigurationError("the supervisor has sent no configuration")
        return message

    def serve(self, command: CommandLineInterface, application: str, options: Options) -> int:
        """Serve until the supervisor, or a SIGTERM, ends it.

        Returns:
            The exit status.
        """
        signal.signal(signal.SIGTERM, self._terminated)
        command.options = dataclasses.replace(options, workers=None, metrics=(), status=None)
        command.announce = self._accepts  # type: ignore[method-assign] # told when it serves
        command.start_logging(options)
        raise_limit()  # if the supervisor, a part of another program, has not
        server = command.make_server(application, command.options)
        server.signal_handlers = False
        server.give_up = self._give_up  # type: ignore[method-assign] # the supervisor reports it
        self._adopt_sockets(server, options)
        if options.metrics or (options.status and has_client()):
            self._count(server)
        if options.status:
            self._record(server)
        limit = server.drainer.limit
        parent_death.exit_when_orphaned(self._descriptors.control, limit, self._files.remove)
        self._server = server
        try:
            return command.run_server(server)
        finally:
            self._beat()  # the last count of requests

    def fail(self, error: ConfigurationError) -> None:
        """Tell the supervisor why this worker cannot serve; the event loop does not run."""
        # If it does not arrive, the exit status tells it as well.
        self._say_at_last(
            "failed",
            sentence=str(error),
            detail=error.detail[-control.MAX_TEXT :],
            status=error.exit_status,
        )

    def _say_at_last(self, kind: str, /, **fields: Any) -> None:
        """Send a message without the event loop, which does not run or is about to stop."""
        with socket.socket(fileno=os.dup(self._descriptors.control)) as channel:
            channel.setblocking(True)
            channel.settimeout(1.0)
            try:
                channel.sendall(control.to_line(kind, **fields))
            except OSError:
                pass  # the supervisor is gone

    def _count(self, server: Server) -> None:
        """Count for the metrics of the supervisor, and send the counts once a second."""
        counters = count(server)
        ticks = itertools.count()

        def send() -> None:
            if next(ticks) % TICKS_PER_COUNTS == 0:
                self._protocol.send_if_room("counts", series=to_message(counters.counts()))

        server.lifecycle.add_check(send)
        self._say_after_drain(
            server, lambda: self._say_at_last("counts", series=to_message(counters.counts()))
        )

    @staticmethod
    def _say_after_drain(server: Server, say: Callable[[], None]) -> None:
        """Say something as the last act of a worker.

        Not later: the reactor shuts the socket down when it stops, with what it has not sent.
        """
        drain = server.drain

        async def drain_and_say(plan: DrainPlan | None = None) -> None:
            await drain(plan)
            say()

        server.drain = drain_and_say  # type: ignore[method-assign] # the end of a worker

    def _record(self, server: Server) -> None:
        """Record for the status page of the supervisor, and send a sample once a second."""
        recorder = Recorder.of(server)
        self._listing = Listing(recorder)
        ticks = itertools.count()

        def send() -> None:
            if next(ticks) % TICKS_PER_COUNTS == 0 and self._protocol.has_room:
                self._protocol.send("sample", values=recorder.take().to_message())

        server.lifecycle.add_check(send)
        self._say_after_drain(
            server, lambda: self._say_at_last("sample", values=recorder.take().to_message())
        )

    def _adopt_sockets(self, server: Server, options: Options) -> None:
        """Prepare a server to listen on the inherited sockets when it starts."""
        reactor = server_reactor()
        inherited = InheritedReactor(
            reactor, self._descriptors.sockets, self._files.add, reuse_port=options.reuse_port
        )
        server.ports.parse(inherited)
        for name in REMOVED:
            os.environ.pop(name, None)
        ports = server.ports
        self._balance = Balance(
            self._scoreboard,
            self._entry,
            reactor.loop,
            partial(ports.accepting.pause, PauseReason.BALANCE),
            partial(ports.accepting.resume, PauseReason.BALANCE),
        )
        server.descriptors.changed = self._entry.set_full
        watch_connections(server.context, self._balance, server.connections)
        self._count_requests(server.context)
        server.lifecycle.add_check(self._beat)
        reactor.callWhenRunning(self._open_channel, reactor)

    def _count_requests(self, context: Any) -> None:
        """Count application instances, for the supervisor; a single process does not count them."""
        create = context.create_application

        def create_application(*args: Any) -> Any:
            self._requests += 1
            return create(*args)

        context.create_application = create_application

    def _open_channel(self, reactor: Any) -> None:
        factory = OneProtocolFactory(self._protocol)
        reactor.adoptStreamConnection(self._descriptors.control, socket.AF_UNIX, factory)

    def _give_up(self, sentence: str, exit_status: int) -> None:
        """Stop without having served; see Server.give_up."""
        assert self._server is not None
        self._leaving = True
        self._protocol.send("failed", sentence=sentence, detail="", status=exit_status)
        self._server.abort_start = True
        self._server.exit_status = exit_status
        self._server.stop()

    def _accepts(self, path: str) -> None:
        """Tell the supervisor, after one more turn of the event loop, that this worker serves."""
        if "django.conf" in sys.modules:
            warn_of_channel_layers(self.slot)
        server_reactor().loop.call_soon(self._tell_ready)

    def _tell_ready(self) -> None:
        self._beat()
        self._set_state(WorkerState.READY)
        seconds = time.monotonic() - self.started
        self._protocol.send("ready", seconds=seconds)

    def _set_state(self, state: WorkerState) -> None:
        self._entry.set_state(state)
        process_name.set_name(f"w{self.slot}g{self._generation} {state.name.lower()}")

    def _beat(self) -> None:
        assert self._server is not None
        self._entry.beat(time.monotonic_ns(), self._requests)

    # The end.

    def _terminated(self, _number: int, _frame: Any) -> None:
        """Handle SIGTERM: sent by an operator, or by the kernel because the supervisor died."""
        server = self._server
        if server is None or server.end is None:
            os._exit(128 + signal.SIGTERM)
        server_reactor().callFromThread(self._ask_for_successor, "SIGTERM")

    def _ask_for_successor(self, reason: str) -> None:
        """Serve until the supervisor has a successor; leave at once when asked again."""
        if self._asked:
            self._leave(reason)
        self._asked = True
        self._protocol.send("replace", reason=reason)

    def _leave(self, reason: str) -> None:
        """Drain and end; tell the supervisor, which starts another worker."""
        if not self._leaving:
            self._protocol.send("leaving", reason=reason)
            self._drain("restart")

    def _drain(self, kind: str) -> None:
        server = self._server
        assert server is not None
        if not self._leaving:
            server.drainer.plan = PLANS.get(kind, DrainPlan.quick)(server.options)
        self._leaving = True
        self._balance.stop()
        self._set_state(WorkerState.DRAINING)
        server.stop()

    def _orphaned(self, sentence: str) -> None:
        """Handle the end of the control channel: the supervisor has died."""
        if sentence:
            log.critical("The supervisor does not keep to the protocol: %s", sentence)
        if not self._leaving:
            log.critical("The supervisor is gone: stopping")
            # The thread of `exit_when_orphaned` may be too late for a worker that is idle.
            if parent_death.is_gone(self._supervisor):
                self._files.remove()
            self._drain("quick")

    def _received(self, message: control.Message) -> None:
        server = self._server
        assert server is not None
        kind = message["type"]
        if kind == "drain":
            self._drain(message["kind"])
        elif kind == "force":
            server.force_stop()
        elif kind == "reopen":
            server.reopen_logs()
        elif kind == "stacks":
            server.log_stacks()
        elif kind == "list" and self._listing is not None:
            rows, omitted = self._listing.rows(Query.from_message(message["query"]))
            number = message["number"]
            self._protocol.send("listing", number=number, rows=rows, omitted=omitted)


class OneProtocolFactory:
    """A factory, as adoptStreamConnection needs one, for a protocol that exists."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def buildProtocol(self, _address: Any) -> Any:
        return self._protocol


def warn_of_channel_layers(slot: str) -> None:
    """Warn if Channels' layer exists once per worker: outside manage.py Django checks nothing.

    One worker of a generation warns: the first, or the one that SIGTTIN adds to a single one.
    """
    from daphne_like import checks  # imports Django, which the application has imported before

    first = "2" if sys.argv[1].endswith("/1") else "1"
    aliases = checks.in_memory_layers() if slot == first else []
    if aliases:
        log.warning("%s; use channels_redis", checks.in_memory_sentence(aliases))


def server_reactor() -> Any:
    """Return the reactor of this process."""
    from twisted.internet import reactor

    return reactor


def to_options(values: dict[str, Any]) -> Options:
    """Return the Options that a supervisor has sent as JSON."""
    known: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if name in Options.__dataclass_fields__
    }
    return Options(**known)


def main() -> int:
    """Run a worker.

    Returns:
        The exit status, as of the `daphne-like` command.
    """
    try:
        descriptors = WorkerDescriptors.from_text(os.environ.pop(VARIABLE, ""))
    except ValueError:
        sys.stderr.write("A worker is started by `daphne-like --workers N`, not by hand\n")
        return 2
    descriptors.close_on_exec()
    parent_death.signal_at_parent_death()
    group_signals.disregard()
    faulthandler.enable(descriptors.stacks, all_threads=True)
    if THREADS_SIGNAL:
        faulthandler.register(THREADS_SIGNAL, descriptors.stacks, all_threads=True)
    open_standard_descriptors()
    slot = sys.argv[1].removeprefix("slot=").partition("/")[0]
    worker = Worker(descriptors, slot, sys.argv[2].removeprefix("generation="))
    try:
        enter_release(os.environ["PWD"])
        message = worker.receive_configuration()
        options = to_options(message["options"])
        command = command_class(message["command"])()
        command.log_prefix = "" if options.reload else f"worker {slot}: "
        if "error" in message:
            options = serve_error(command, message, options)
        return worker.serve(command, message["application"], options)
    except ConfigurationError as error:
        worker.fail(error)
        return error.exit_status


def enter_release(path: str) -> None:
    """Change to the directory of the present release, which the supervisor's may not be any more.

    Raises:
        ConfigurationError: there is no such directory any more.
    """
    try:
        before = os.getcwd()
    except OSError:  # the release of the supervisor has been removed
        before = ""
    enter_directory(path)
    if before and sys.path[0] == before:  # as `python -m` has found it
        sys.path[0] = path


def serve_error(
    command: CommandLineInterface, message: control.Message, options: Options
) -> Options:
    """Let a command serve an error page instead of the application; return its options."""
    error = message["error"]
    page = ErrorPage(message["application"], error["sentence"], error["detail"])
    command.load_asgi_app = lambda path: page  # type: ignore[method-assign] # path is unused
    return dataclasses.replace(options, interface="asgi3", lifespan="off")


def command_class(name: str) -> type[CommandLineInterface]:
    """Return the class of the command that the supervisor runs, which may be a subclass."""
    module, _, attribute = name.partition(":")
    __import__(module)
    found: Any = sys.modules[module]
    for part in attribute.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return] # a class of the supervisor


if __name__ == "__main__":
    status = main()
    if not wait_for_threads():
        logging.shutdown()
        sys.stdout.flush()
        os._exit(status)
    sys.exit(status)
