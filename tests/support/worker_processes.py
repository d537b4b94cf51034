"""A supervisor in memory: a clock in place of time, and worker processes that a test plays."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from daphne_like.exceptions import ConfigurationError
from daphne_like.options import Options
from daphne_like.process.configuration import WorkerConfiguration
from daphne_like.process.control import to_line
from daphne_like.process.descriptors import VARIABLE, WorkerDescriptors
from daphne_like.process.operations import Operations
from daphne_like.process.scoreboard import Entry, Scoreboard, WorkerState
from daphne_like.process.supervisor import Supervisor
from daphne_like.process.worker_process import WorkerFailed

KILL, ABORT = signal.SIGKILL, signal.SIGABRT
FIRST_PID = 2**22 + 1
"""No process of the system has such an id."""


class PlayedWorker:
    """A worker process that a test plays; it is the supervisor's process transport, too.

    Args:
        reactor: the supervisor's reactor.
        protocol: the supervisor's WorkerProcess.
        words: arguments that a list of processes shows.
        entry: its entry on the scoreboard.

    Attributes:
        pid: its process id.
        signals: signals that it has got.
        ignores: signals that do not end it.
        beating: its event loop turns.
    """

    def __init__(
        self, reactor: PlayedReactor, protocol: Any, words: Sequence[str], entry: Entry
    ) -> None:
        self.pid = FIRST_PID + len(reactor.started)
        self.words = words
        self.signals: list[int] = []
        self.ignores: set[int] = set()
        self.beating = True
        self.running = True
        self.pipes: dict[int, Any] = {}
        self.channel = StringTransport()
        self.requests = 0
        self._reactor = reactor
        self._protocol = protocol
        self._entry = entry

    @property
    def slot(self) -> int:
        """Number of its slot."""
        return int(self.words[0].removeprefix("slot=").partition("/")[0])

    @property
    def generation(self) -> int:
        """Number of its generation."""
        return int(self.words[1].removeprefix("generation="))

    @property
    def sent(self) -> list[dict[str, Any]]:
        """Messages of the supervisor."""
        return [json.loads(line) for line in self.channel.value().splitlines()]

    @property
    def drained(self) -> list[str]:
        """Kinds of the drains that it was told."""
        return [message["kind"] for message in self.sent if message["type"] == "drain"]

    def beat(self) -> None:
        """Let the event loop turn."""
        if self.beating and self.running:
            self._entry.beat(int(self._reactor.seconds() * 1e9), self.requests)

    def say(self, kind: str, **fields: Any) -> None:
        """Send a message."""
        self._protocol.control.dataReceived(to_line(kind, **fields))

    def become_ready(self) -> None:
        """Start well."""
        self.say("hello", pid=self.pid, version="1")
        self.beat()
        self._entry.set_state(WorkerState.READY)
        self.say("ready", seconds=0.1)

    def fail(self, sentence: str = "no settings", status: int = 2, detail: str = "") -> None:
        """Tell why it cannot serve, and exit."""
        self.say("failed", sentence=sentence, status=status, detail=detail)
        self.exit(status)

    def exit(self, status: int | None = 0, number: int | None = None) -> None:
        """End."""
        assert self.running
        self.running = False
        error = ProcessTerminated(status, number) if number or status else ProcessDone(0)
        self._protocol.processExited(Failure(error))
        self._reactor.advance(0)

    def signalProcess(self, number: int) -> None:
        if not self.running:
            raise ProcessExitedAlready
        self.signals.append(number)
        if number not in self.ignores:
            self._reactor.callLater(0, self._end_by, number)

    def _end_by(self, number: int) -> None:
        if self.running:
            self.exit(None, number)


class PlayedReactor(Clock):
    """A reactor whose time a test moves, and whose processes a test plays.

    Attributes:
        started: every worker process so far.
        full: errors that the next starts of a process raise.
    """

    loop = None

    def __init__(self) -> None:
        super().__init__()
        self.rightNow = 1000.0
        self.started: list[PlayedWorker] = []
        self.full: list[OSError] = []

    def spawnProcess(
        self, protocol: Any, executable: str, arguments: Sequence[str], **settings: Any
    ) -> PlayedWorker:
        if self.full:
            raise self.full.pop(0)
        numbers = WorkerDescriptors.from_text(settings["env"][VARIABLE])
        board = Scoreboard(settings["childFDs"][numbers.scoreboard])
        words = list(arguments)[list(arguments).index("-m") + 2 :]
        worker = PlayedWorker(self, protocol, words, board.entry(numbers.entry))
        self.started.append(worker)
        protocol.makeConnection(worker)
        return worker

    def adoptStreamConnection(self, descriptor: int, family: int, factory: Any) -> None:
        factory.buildProtocol(None).makeConnection(self.started[-1].channel)

    def callFromThread(self, call: Callable[[], object]) -> None:
        """Call in a later turn."""
        self.callLater(0, call)


class Supervision:
    """A supervisor with its operations, as the command has them.

    Attributes:
        reports: errors that end the start.
        ended: exit statuses that the supervisor has ended with.
        ready: how often the supervisor has told that all workers are ready.
        restarts: outcome of each restart: the reason of its failure, or "".
        problem: sentence with which the next load of the configuration fails.
    """

    def __init__(self, workers: int = 2, **options: Any) -> None:
        self.reactor = PlayedReactor()
        self.reports: list[WorkerFailed] = []
        self.ended: list[int] = []
        self.ready = 0
        self.restarts: list[str] = []
        self.problem = ""
        self.workers = workers
        self.options = Options(workers=workers, **{"restart_surge": 100, **options})
        self.supervisor = Supervisor(
            self.reactor,
            self._load(),
            self._count_ready,
            self.ended.append,
            self.reports.append,
            self.reactor.seconds,
        )
        self.operations = Operations(
            self.supervisor, self._load, lambda: None, self.restarts.append
        )
        self.supervisor.bind()
        self.supervisor.start()

    def _load(self) -> WorkerConfiguration:
        if self.problem:
            raise ConfigurationError(self.problem)
        return WorkerConfiguration("main:app", self.options, "a:b", (), (), self.workers)

    def _count_ready(self) -> None:
        self.ready += 1

    def close(self) -> None:
        """Release the memory of the scoreboard."""
        os.close(self.supervisor._scoreboard.descriptor)

    @property
    def started(self) -> list[PlayedWorker]:
        """Every worker process so far."""
        return self.reactor.started

    @property
    def running(self) -> list[PlayedWorker]:
        """The worker processes that have not ended."""
        return [worker for worker in self.started if worker.running]

    def new(self) -> list[PlayedWorker]:
        """Return the processes that run and have not been told their configuration yet."""
        return [worker for worker in self.running if not worker.sent]

    def make_ready(self) -> list[PlayedWorker]:
        """Let all new processes become ready; return them."""
        found = self.new()
        for worker in found:
            worker.become_ready()
        return found

    def pass_time(self, seconds: float) -> None:
        """Let time pass in steps of a tick, in which event loops turn."""
        end = self.reactor.seconds() + seconds
        while self.reactor.seconds() < end:
            for worker in self.running:
                worker.beat()
            self.reactor.advance(min(0.25, end - self.reactor.seconds()))

    def places(self) -> dict[int, tuple[int, int]]:
        """Return process id and generation of the worker of each slot."""
        return {
            number: (slot.worker.pid or 0, slot.worker.generation)
            for number, slot in self.supervisor.slots.items()
            if slot.worker is not None
        }
