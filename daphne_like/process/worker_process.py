"""One worker process, as the supervisor sees it."""

from __future__ import annotations

import enum
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from daphne_like.exceptions import DaphneLikeError
from daphne_like.process import control, endings
from daphne_like.process.recycling import Limits, resident_memory
from daphne_like.process.scoreboard import Entry, Snapshot
from daphne_like.process.spawning import Inheritance, spawn
from daphne_like.process.stacks import readable
from daphne_like.process.thread_stacks import THREADS_SIGNAL, ThreadStacks
from daphne_like.process.worker_output import WorkerOutput

log = logging.getLogger("daphne_like.server")
access_log = logging.getLogger("daphne_like.access")

STACK_SECONDS = 1.0
"""Seconds between SIGABRT, which makes a worker write its stacks, and SIGKILL."""
FORCED_SECONDS = 10.0
"""Seconds that a worker has to end after a second signal."""
MAX_STATUS = 255
MAX_STACKS = 65536
"""Maximum octets of stacks of one worker; later ones are dropped."""


class Phase(enum.IntEnum):
    """The phases of a worker, in order."""

    STARTING = 1
    READY = 2
    LEAVING = 3
    ENDED = 4


class WorkerFailed(DaphneLikeError):
    """A worker has ended, or was ended, before it was ready; the text is a sentence.

    Attributes:
        status: exit status for the supervisor.
        detail: the application's traceback, or "".
    """

    def __init__(self, sentence: str, status: int, detail: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.detail = detail


class WorkerEvents(Protocol):
    """The interface of a supervisor that its workers use."""

    def worker_ready(self, worker: WorkerProcess) -> None:
        """Handle that the worker serves."""

    def worker_asks(self, worker: WorkerProcess, reason: str) -> None:
        """Replace the worker, which serves until its successor is ready."""

    def worker_leaves(self, worker: WorkerProcess, reason: str) -> None:
        """Handle that the worker stops by itself."""

    def worker_counts(self, worker: WorkerProcess, counts: dict[str, Any]) -> None:
        """Handle what the worker has counted for the metrics; not checked yet."""

    def worker_reports(self, worker: WorkerProcess, message: control.Message) -> None:
        """Handle a message for the status page; its content is not checked yet."""

    def worker_ended(self, worker: WorkerProcess) -> None:
        """Handle the end of the process."""


class WorkerProcess(ProcessProtocol):
    """A worker process.

    Args:
        slot: number of its slot.
        generation: counts the restarts.
        entry: its entry on the scoreboard.
        limits: when it is to be replaced.
        events: told about the worker.
        clock: returns seconds of CLOCK_MONOTONIC.

    Attributes:
        phase: see Phase.
        pid: its process; None before the start.
        started_at: time of its start, in seconds of CLOCK_MONOTONIC.
        deadline: time at which the present phase must be over; None without one.
        expected: its end is wanted; otherwise it is a crash.
        replacing: a successor is wanted or starts.
        leaves_for: why it is to end, a word of tallies.EXIT_REASONS, or "".
        killed: the supervisor has sent SIGKILL.
        became_ready: fires when it serves; fails with WorkerFailed if it ends before.
        error: the reason of a failed start.
        ending: how it has ended, in words.
        exit_status: exit status for the supervisor after its end.
    """

    def __init__(
        self,
        slot: int,
        generation: int,
        entry: Entry,
        limits: Limits,
        events: WorkerEvents,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slot = slot
        self.generation = generation
        self.entry = entry
        self.limits = limits
        self.phase = Phase.STARTING
        self.pid: int | None = None
        self.started_at = clock()
        self.deadline: float | None = None
        self.expected = False
        self.replacing = False
        self.leaves_for = ""
        self.killed = False
        self.became_ready: Deferred[WorkerProcess] = Deferred()
        self.error: WorkerFailed | None = None
        self.ending = ""
        self.exit_status = 0
        self.control = control.ControlProtocol(
            control.FROM_WORKER, self._received, self._control_closed
        )
        self._clock = clock
        self._events = events
        self._last = Snapshot(0, 0, 0, 0)
        self._resident: int | None = None
        self._stacks = b""
        self._stacks_size = 0
        self._threads = ThreadStacks()
        self._memory_kills = endings.count_memory_kills()
        self._configuration: dict[str, Any] | None = None
        self._has_greeted = False
        self._reactor: Any = None
        self._stacks_descriptor = -1
        self._outputs = {1: WorkerOutput(access_log), 2: WorkerOutput(log)}

    def __str__(self) -> str:
        return f"Worker {self.slot} (process {self.pid}, generation {self.generation})"

    def start(
        self,
        reactor: Any,
        words: Sequence[str],
        configuration: dict[str, Any] | None,
        inheritance: Inheritance,
        scoreboard: int,
        *,
        captures_output: bool = False,
    ) -> None:
        """Start the process. If the system has no room for it, the start fails like any other.

        Args:
            reactor: the supervisor's reactor.
            words: arguments that a list of processes shows.
            configuration: what the worker is told when it says hello; with None it waits for
                `configure`.
            inheritance: the sockets.
            scoreboard: descriptor of the scoreboard.
            captures_output: log what the process prints.
        """
        self._reactor = reactor
        self._configuration = configuration
        try:
            transport, self._stacks_descriptor = spawn(
                reactor, self, self.control, words, inheritance, scoreboard, self.entry.index,
                captures_output=captures_output,
            )  # fmt: skip
        except OSError as error:
            self._not_started(error)
        else:
            self.pid = transport.pid

    def _not_started(self, error: OSError) -> None:
        self.error = WorkerFailed(f"Worker {self.slot} cannot be started: {error}", 1)
        if self.transport is not None:  # the process runs, but its control channel does not
            self.pid = self.transport.pid
            self.kill()
            return
        self.phase = Phase.ENDED
        self.exit_status = self.error.status
        self.ending = "has not been started"
        self._reactor.callLater(0, self._end)

    @property
    def age(self) -> float:
        """Seconds since the start of the process."""
        return self._clock() - self.started_at

    @property
    def resident(self) -> int | None:
        """Octets of its resident memory at the last look; None if not known."""
        return self._resident

    @property
    def serves(self) -> bool:
        """True from its being ready until its end."""
        return Phase.STARTING < self.phase < Phase.ENDED

    @property
    def is_alive(self) -> bool:
        """True until the process has ended."""
        return self.phase < Phase.ENDED

    def look(self) -> Snapshot:
        """Return the worker's present values on the scoreboard, and note its memory."""
        if self.is_alive and self.pid is not None:
            self._last = self.entry.read()
            self._resident = resident_memory(self.pid) or self._resident
        return self._last

    def exceeded_limit(self) -> str:
        """Return which limit the worker exceeds; "" if none."""
        return self.limits.exceeded(
            requests=self._last.requests, resident=self._resident, age=self.age
        )

    # What the supervisor does to it.

    @property
    def is_waiting(self) -> bool:
        """True if it waits for `configure`."""
        return self.is_alive and self._configuration is None

    def configure(self, configuration: dict[str, Any]) -> None:
        """Let a worker that waits load its application."""
        self._configuration = configuration
        self._send_configuration()

    def _send_configuration(self) -> None:
        if self._has_greeted and self._configuration is not None:
            self.control.send("configuration", **self._configuration)

    def drain(self, kind: str, seconds: float) -> None:
        """Let the worker finish its requests and end.

        Args:
            kind: the kind of drain.
            seconds: time after which it is killed.
        """
        self.expected = True
        if self.phase == Phase.STARTING:
            self.kill()
        elif self.phase == Phase.READY:
            self.phase = Phase.LEAVING
            self.deadline = self._clock() + seconds
            self.control.send("drain", kind=kind, seconds=seconds)
        elif self.phase == Phase.LEAVING and self.deadline is None:  # it stops by itself
            self.deadline = self._clock() + seconds

    def force(self) -> None:
        """Let the worker wait for nothing any more; kill it if it does not end soon."""
        self.control.send("force")
        if self.phase == Phase.LEAVING and self.deadline is not None:
            self.deadline = min(self.deadline, self._clock() + FORCED_SECONDS)

    def reopen(self) -> None:
        """Let the worker open its log files again; before the configuration it has none."""
        if self._has_greeted and self._configuration is not None:
            self.control.send("reopen")

    def kill(self) -> None:
        """End the process at once."""
        self.killed = True
        self._signal(signal.SIGKILL)

    def kill_with_stacks(self) -> None:
        """Let the process write the stacks of its threads, then end it."""
        self.deadline = None
        self._signal(signal.SIGABRT)
        self._reactor.callLater(STACK_SECONDS, self._kill_if_alive)

    def write_threads(self) -> Deferred[str]:
        """Let the process write the stacks of its threads, which it does even while it is blocked.

        Returns:
            A Deferred with the stacks.
        """
        if not self._threads.is_expected:
            self._signal(THREADS_SIGNAL)
        return self._threads.expect(self._reactor)

    def fail(self, sentence: str, status: int) -> None:
        """Give the start up: the worker takes too long, or is not wanted any more."""
        self.error = self.error or WorkerFailed(sentence, status)
        self.expected = True

    def _kill_if_alive(self) -> None:
        if self.is_alive:
            self.kill()

    def _signal(self, number: int) -> None:
        if self.transport is not None:
            try:
                self.transport.signalProcess(number)
            except ProcessExitedAlready:
                pass

    # What it says.

    def _received(self, message: control.Message) -> None:
        kind = message["type"]
        if kind == "hello" and not self._has_greeted:
            self._has_greeted = True
            self._send_configuration()
        elif kind == "ready" and self.phase == Phase.STARTING and self.error is None:
            self.phase = Phase.READY
            self.deadline = None
            self._events.worker_ready(self)
            if not self.became_ready.called:
                self.became_ready.callback(self)
        elif kind == "failed" and not self.became_ready.called:  # also just after its end
            status = message["status"]
            self.error = self.error or WorkerFailed(
                message["sentence"], status if 0 < status <= MAX_STATUS else 1, message["detail"]
            )
        elif kind == "counts":
            self._events.worker_counts(self, message["series"])
        elif kind in ("sample", "listing"):
            self._events.worker_reports(self, message)
        elif kind == "replace" and self.phase == Phase.READY and not self.replacing:
            self.replacing = True
            self._events.worker_asks(self, message["reason"])
        elif kind == "leaving" and self.phase == Phase.READY:
            self.phase = Phase.LEAVING
            self.expected = True
            self._events.worker_leaves(self, message["reason"])

    def _control_closed(self, sentence: str) -> None:
        if sentence:
            log.error("%s is ended, because it does not keep to the protocol: %s", self, sentence)
            if self.phase == Phase.STARTING:
                self.error = self.error or WorkerFailed(f"{self}: {sentence}", 1)
            self.kill()

    # ProcessProtocol.

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Receive what the process prints, or stacks of faulthandler."""
        if childFD in self._outputs:
            self._outputs[childFD].received(data)
            return
        if not self._stacks and self._threads.take(data):
            return
        room = MAX_STACKS - self._stacks_size
        self._stacks_size += len(data)
        self._stacks += data[: max(0, room)]

    def processExited(self, reason: Failure) -> None:
        # Not `processEnded`: a process of the application may keep the pipe open.
        value: Any = reason.value
        number = getattr(value, "signal", None)
        status = 0 if isinstance(value, ProcessDone) else value.exitCode
        self.look()
        self.phase = Phase.ENDED
        self.exit_status = 1 if number is not None else int(status or 0)
        self.ending = endings.describe_ending(
            status,
            number,
            age=self.age,
            requests=self._last.requests,
            resident=self._resident,
            killed_by_us=self.killed,
            memory_kills=endings.count_memory_kills() - self._memory_kills,
        )
        self._read_remaining_stacks()
        # In a later turn: this one may still bring the worker's last message.
        self._reactor.callLater(0, self._end)

    def _read_remaining_stacks(self) -> None:
        """Read what the process has written before its end, which has no later turn to come in."""
        transport: Any = self.transport  # a Process of Twisted, whose `pipes` no interface names
        pipe = transport.pipes.get(self._stacks_descriptor)
        if pipe is None:
            return
        try:
            while data := os.read(pipe.fileno(), MAX_STACKS):
                self.childDataReceived(self._stacks_descriptor, data)
        except OSError:
            pass  # nothing is left, and a process of the application keeps the pipe open

    def _end(self) -> None:
        for output in self._outputs.values():
            output.end()
        if self._stacks:
            text = readable(self._stacks.decode("utf-8", "replace"))
            log.critical("%s was executing:\n%s", self, text)
        self.control.read_rest()
        if self.control.transport is not None:
            self.control.transport.loseConnection()
        if not self.became_ready.called:
            error = self.error or WorkerFailed(f"{self} {self.ending}", self.exit_status or 1)
            if not self.expected:
                self.error = error
            self.became_ready.addErrback(lambda _failure: None)
            self.became_ready.errback(error)
        self._events.worker_ended(self)
