"""The supervisor: workers that start, crash, hang and end."""

from __future__ import annotations

import dataclasses
import errno
import itertools
from collections.abc import Callable

import pytest

from daphne_like.process.supervisor import MARGIN_SECONDS, MAX_FAILED_STARTS
from daphne_like.process.worker_process import FORCED_SECONDS, STACK_SECONDS
from tests.support.worker_processes import ABORT, KILL, Supervision

SECONDS_TO_STOP = 10 + 60 + 2 * MARGIN_SECONDS + 1
"""More than graceful and lifespan timeouts, by default, and the margins."""


class TestStart:
    """From the first process to the last that is ready."""

    def test_all_become_ready(self, starting: Callable[..., Supervision]) -> None:
        """Each worker has its slot, is told its configuration once, and all are announced once."""
        supervision = starting(3)
        assert [worker.words for worker in supervision.started] == [
            [f"slot={number}/3", "generation=1", "main:app"] for number in (1, 2, 3)
        ]
        first, *others = supervision.started
        first.become_ready()
        assert supervision.ready == 0
        for worker in others:
            worker.become_ready()
        assert supervision.ready == 1
        first.say("hello", pid=first.pid, version="1")
        first.say("ready", seconds=1)
        (configuration,) = first.sent
        assert (configuration["type"], configuration["options"]["workers"]) == ("configuration", 3)
        assert supervision.supervisor.ready_workers == 3

    def test_the_first_failure_ends_everything(self, starting: Callable[..., Supervision]) -> None:
        """Before any worker was ready: the worker's own sentence and status, the others killed."""
        supervision = starting(3)
        _, second, _ = supervision.started
        second.fail("no settings", 3, "Traceback")
        supervision.pass_time(1)
        (error,) = supervision.reports
        assert (str(error), error.status, error.detail) == ("no settings", 3, "Traceback")
        assert [worker.signals for worker in supervision.started] == [[KILL], [], [KILL]]
        assert (supervision.ended, supervision.running) == ([3], [])

    @pytest.mark.parametrize("status", [0, -1, 256, 10**30])
    def test_a_failure_is_no_success(
        self, status: int, starting: Callable[..., Supervision]
    ) -> None:
        """A worker's number that is no exit status of a failure becomes 1."""
        supervision = starting(1)
        supervision.started[0].say("failed", sentence="no", detail="", status=status)
        supervision.started[0].exit(0)
        assert supervision.ended == [1]

    @pytest.mark.parametrize(
        ("status", "number", "found"), [(0, None, 1), (2, None, 2), (None, 11, 1)]
    )
    def test_a_crash_before_ready(
        self,
        status: int | None,
        number: int | None,
        found: int,
        starting: Callable[..., Supervision],
    ) -> None:
        """Without a sentence of the worker the end is told in words; it never counts as success."""
        supervision = starting(1)
        supervision.started[0].exit(status, number)
        (error,) = supervision.reports
        assert "ended" in str(error)
        assert supervision.ended == [found]

    def test_too_slow(self, starting: Callable[..., Supervision]) -> None:
        """A worker that is not ready in time writes its stacks, and is killed."""
        supervision = starting(1, worker_start_timeout=20)
        (worker,) = supervision.started
        worker.ignores = {ABORT}
        supervision.pass_time(19)
        assert worker.signals == []
        supervision.pass_time(1 + STACK_SECONDS + 1)
        assert worker.signals == [ABORT, KILL]
        assert "was not ready within 20 seconds" in str(supervision.reports[0])
        assert supervision.ended == [3]

    def test_ready_too_late(self, starting: Callable[..., Supervision]) -> None:
        """A worker that has been given up does not serve for the second until it is killed."""
        supervision = starting(1, worker_start_timeout=20)
        (worker,) = supervision.started
        worker.ignores = {ABORT}
        supervision.pass_time(20.5)
        worker.become_ready()
        assert supervision.supervisor.ready_workers == 0
        supervision.pass_time(2)
        assert supervision.ended == [3]

    @pytest.mark.parametrize("number", [errno.EAGAIN, errno.EMFILE, errno.ENOENT])
    def test_no_process(self, number: int, starting: Callable[..., Supervision]) -> None:
        """The system starts no process: that is a failed start like any other."""
        supervision = starting(1)
        supervision.make_ready()
        supervision.reactor.full = [OSError(number, "no room"), OSError(number, "no room")]
        supervision.started[0].exit(1)
        supervision.pass_time(10)
        assert supervision.reactor.full == []
        assert len(supervision.make_ready()) == 1
        assert supervision.supervisor.ready_workers == 1

    def test_no_first_process(self, starting: Callable[..., Supervision]) -> None:
        """The reason is reported."""
        supervision = starting(1)
        supervision.started[0].exit(1)
        assert supervision.ended == [1]


class TestCrashes:
    """A worker that ends by itself after the start."""

    def test_it_is_started_again(
        self, serving: Callable[..., Supervision], caplog: pytest.LogCaptureFixture
    ) -> None:
        """After a second or so, in the same slot; the others are left alone."""
        supervision = serving(2)
        first, second = supervision.started
        second.exit(None, 11)
        assert "was ended by SIGSEGV" in caplog.text
        supervision.pass_time(0.9)
        assert supervision.running == [first]
        supervision.pass_time(0.5)
        (again,) = supervision.make_ready()
        assert (again.slot, again.generation, first.sent[1:]) == (2, 1, [])
        assert supervision.ready == 1

    def test_after_a_long_life(self, serving: Callable[..., Supervision]) -> None:
        """A worker that has lived a minute is replaced at once."""
        supervision = serving(1)
        supervision.pass_time(61)
        supervision.started[0].exit(1)
        supervision.reactor.advance(0)
        assert len(supervision.new()) == 1

    def test_delays_grow(self, serving: Callable[..., Supervision]) -> None:
        """Each failed start in a row waits longer; a healthy sibling serves on."""
        supervision = serving(2)
        sibling = supervision.started[0]
        supervision.started[1].exit(1)
        starts: list[float] = []
        while len(starts) < 8:
            supervision.pass_time(0.25)
            for worker in supervision.new():
                starts.append(supervision.reactor.seconds())
                worker.fail()
        gaps = [after - before for before, after in itertools.pairwise(starts)]
        assert gaps[0] < gaps[1] < gaps[2] < gaps[3]
        assert all(30 <= gap <= 36.5 for gap in gaps[5:])
        assert (sibling.running, supervision.ended) == (True, [])

    def test_failed_starts_in_a_row(
        self, serving: Callable[..., Supervision], caplog: pytest.LogCaptureFixture
    ) -> None:
        """While no worker is ready, the fifth failed start ends all, with the last one's status."""
        supervision = serving(2)
        for worker in supervision.running:
            worker.exit(1)
        failed = 0
        while not supervision.ended:
            assert supervision.reactor.seconds() < 1200
            supervision.pass_time(0.25)
            for worker in supervision.new():
                if not supervision.supervisor.stopping:
                    worker.fail(status=3)
                    failed += 1
        assert (failed, supervision.ended) == (MAX_FAILED_STARTS, [3])
        assert "5 starts in a row have failed" in caplog.text

    def test_a_worker_that_breaks_the_protocol(
        self, serving: Callable[..., Supervision], caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is killed and started again; its words say nothing about other workers."""
        supervision = serving(2)
        first, second = supervision.started
        second.say("replace", reason=1)
        supervision.started[1]._protocol.control.connectionLost()
        supervision.pass_time(2)
        assert "does not keep to the protocol: replace: no valid field 'reason'" in caplog.text
        assert "could not start" not in caplog.text
        assert (first.running, second.signals, len(supervision.new())) == (True, [KILL], 1)

    def test_words_at_the_wrong_time(self, serving: Callable[..., Supervision]) -> None:
        """Messages that do not fit the phase of the worker change nothing."""
        supervision = serving(1)
        (worker,) = supervision.started
        for _ in range(3):
            worker.say("ready", seconds=0)
            worker.say("failed", sentence="x", detail="", status=2)
            worker.say("bound")
            worker.say("later")
        supervision.pass_time(5)
        assert (supervision.started, worker.running) == ([worker], True)
        assert [message["type"] for message in worker.sent] == ["configuration"]


class TestBlocked:
    """A worker whose event loop does not turn."""

    def test_the_successor_comes_first(
        self, serving: Callable[..., Supervision], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Stacks are written and the process is killed when its successor is ready."""
        supervision = serving(1, worker_timeout=30)
        (worker,) = supervision.started
        worker.beating = False
        worker.ignores = {ABORT}
        supervision.pass_time(29)
        assert supervision.started == [worker]
        supervision.pass_time(2)
        assert (len(supervision.started), worker.signals) == (2, [])
        assert "has been blocked for 30 seconds" in caplog.text
        supervision.make_ready()
        assert (worker.signals, worker.drained) == ([ABORT], [])
        assert supervision.places() == {1: (supervision.started[1].pid, 1)}
        supervision.pass_time(1.5)
        assert (worker.signals, worker.running) == ([ABORT, KILL], False)
        assert len(supervision.running) == 1

    def test_a_loop_that_runs_again(
        self, serving: Callable[..., Supervision], caplog: pytest.LogCaptureFixture
    ) -> None:
        """While its successor starts, it has come back: it drains, and nothing is lost."""
        supervision = serving(1, worker_timeout=30)
        (worker,) = supervision.started
        worker.beating = False
        supervision.pass_time(31)
        worker.beating = True
        supervision.pass_time(1)
        supervision.make_ready()
        assert (worker.signals, worker.drained) == ([], ["restart"])
        assert "runs again" in caplog.text

    def test_no_successor(self, serving: Callable[..., Supervision]) -> None:
        """A blocked worker is of no use: it is killed, and the next start has its turn."""
        supervision = serving(2, worker_timeout=30)
        worker = supervision.started[0]
        worker.beating = False
        supervision.pass_time(31)
        supervision.new()[0].fail()
        assert worker.signals == [ABORT]
        supervision.pass_time(3)
        (again,) = supervision.make_ready()
        assert again.slot == 1

    def test_no_successor_and_it_runs_again(self, serving: Callable[..., Supervision]) -> None:
        """A worker that serves again is kept while it cannot be replaced."""
        supervision = serving(1, worker_timeout=30)
        (worker,) = supervision.started
        worker.beating = False
        supervision.pass_time(31)
        worker.beating = True
        supervision.pass_time(1)
        supervision.new()[0].fail()
        supervision.pass_time(120)
        assert (worker.signals, supervision.running) == ([], [worker])

    def test_a_crash_while_the_successor_starts(self, serving: Callable[..., Supervision]) -> None:
        """The successor takes the place; there is no third process."""
        supervision = serving(1, worker_timeout=30)
        (worker,) = supervision.started
        worker.beating = False
        supervision.pass_time(31)
        worker.exit(None, 9)
        supervision.pass_time(5)
        (successor,) = supervision.make_ready()
        assert supervision.running == [successor]
        assert supervision.supervisor.ready_workers == 1

    def test_a_crash_while_a_successor_fails(self, serving: Callable[..., Supervision]) -> None:
        """The slot does not stay empty, whichever ends first."""
        supervision = serving(2)
        for first, second in ((0, 1), (1, 0)):
            worker = supervision.running[0]
            worker.say("replace", reason="SIGTERM")
            ends = [worker, *supervision.new()]
            ends[first].exit(1)
            ends[second].exit(1)
            supervision.pass_time(6)
            (again,) = supervision.make_ready()
            assert again.slot == worker.slot

    @pytest.mark.parametrize("timeout", [None, 30])
    def test_not_during_the_start(
        self, timeout: float | None, starting: Callable[..., Supervision]
    ) -> None:
        """The start has a timeout of its own."""
        supervision = starting(1, worker_timeout=timeout)
        supervision.started[0].beating = False
        supervision.pass_time(100)
        assert [worker.signals for worker in supervision.started] == [[]]

    def test_never(self, serving: Callable[..., Supervision]) -> None:
        """--worker-timeout 0."""
        supervision = serving(1, worker_timeout=None)
        supervision.started[0].beating = False
        supervision.pass_time(300)
        assert len(supervision.started) == 1

    def test_a_timeout_that_comes_with_a_restart(self, serving: Callable[..., Supervision]) -> None:
        """The timeout of the present configuration counts."""
        supervision = serving(1, worker_timeout=None)
        supervision.options = dataclasses.replace(supervision.options, worker_timeout=50)
        supervision.operations.restart()
        (worker,) = supervision.make_ready()
        supervision.started[0].exit()
        worker.beating = False
        supervision.pass_time(49)
        assert len(supervision.started) == 2
        supervision.pass_time(2)
        assert len(supervision.started) == 3

    def test_a_suspended_supervisor(self, serving: Callable[..., Supervision]) -> None:
        """After a night nobody is blamed."""
        supervision = serving(2, worker_timeout=30)
        supervision.pass_time(5)
        supervision.reactor.advance(8 * 3600)
        supervision.pass_time(60)
        assert len(supervision.started) == 2


class TestLimits:
    """Workers that are to be replaced although they serve well."""

    def test_requests(self, serving: Callable[..., Supervision]) -> None:
        """The successor is ready before the old one stops."""
        supervision = serving(1, max_requests=100)
        (worker,) = supervision.started
        worker.requests = 99
        supervision.pass_time(2)
        assert len(supervision.started) == 1
        worker.requests = 100
        supervision.pass_time(2)
        assert (len(supervision.started), worker.drained) == (2, [])
        supervision.make_ready()
        assert worker.drained == ["restart"]
        worker.exit()
        supervision.pass_time(5)
        assert len(supervision.started) == 2

    def test_lifetime(self, serving: Callable[..., Supervision]) -> None:
        """At most a tenth later than told."""
        supervision = serving(1, max_lifetime=100)
        supervision.pass_time(99)
        assert len(supervision.started) == 1
        supervision.pass_time(12)
        assert len(supervision.started) == 2

    def test_a_successor_that_fails(self, serving: Callable[..., Supervision]) -> None:
        """The old worker serves on, and is tried to be replaced again later."""
        supervision = serving(1, max_requests=100)
        (worker,) = supervision.started
        worker.requests = 100
        supervision.pass_time(1)
        supervision.new()[0].fail()
        supervision.pass_time(28)
        assert (supervision.running, worker.drained) == ([worker], [])
        supervision.pass_time(4)
        supervision.make_ready()
        assert worker.drained == ["restart"]

    def test_a_worker_that_asks(self, serving: Callable[..., Supervision]) -> None:
        """SIGTERM to one worker: it asks for a successor, once."""
        supervision = serving(2)
        worker = supervision.started[1]
        worker.say("replace", reason="SIGTERM")
        worker.say("replace", reason="SIGTERM")
        (successor,) = supervision.make_ready()
        assert (successor.slot, worker.drained) == (2, ["restart"])

    def test_a_worker_that_leaves(self, serving: Callable[..., Supervision]) -> None:
        """It does not wait for a successor; another one starts at once, and it is no crash."""
        supervision = serving(1)
        (worker,) = supervision.started
        worker.say("leaving", reason="SIGTERM")
        assert len(supervision.new()) == 1
        worker.exit(0)
        supervision.pass_time(5)
        assert len(supervision.started) == 2

    def test_a_worker_that_leaves_and_does_not_end(
        self, serving: Callable[..., Supervision]
    ) -> None:
        """It has the time of a stop, as if the supervisor had told it."""
        supervision = serving(1)
        (worker,) = supervision.started
        worker.say("leaving", reason="SIGTERM")
        supervision.make_ready()
        supervision.pass_time(SECONDS_TO_STOP + 40)
        assert worker.signals == [ABORT]


class TestStop:
    """The end of all workers."""

    @pytest.mark.parametrize("kind", ["stop", "quick"])
    def test_all_drain(self, serving: Callable[..., Supervision], kind: str) -> None:
        """Every worker is told; the status is 0 when the last one has ended."""
        supervision = serving(2)
        supervision.supervisor.stop(kind)
        supervision.supervisor.stop(kind)
        assert [worker.drained for worker in supervision.started] == [[kind], [kind]]
        supervision.started[0].exit()
        assert supervision.ended == []
        supervision.started[1].exit()
        supervision.pass_time(5)
        assert (supervision.ended, len(supervision.started)) == ([0], 2)
        assert supervision.reactor.getDelayedCalls() == []

    def test_one_that_does_not_end(
        self, serving: Callable[..., Supervision], caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is killed after the limits of its own stop, and the status is 1."""
        supervision = serving(2)
        supervision.supervisor.stop("stop")
        supervision.started[0].exit()
        supervision.pass_time(60)
        assert supervision.started[1].signals == []
        supervision.pass_time(SECONDS_TO_STOP)
        assert supervision.started[1].signals == [ABORT]
        assert "does not end: killing it" in caplog.text
        assert supervision.ended == [1]

    def test_a_second_signal(self, serving: Callable[..., Supervision]) -> None:
        """Workers are told, and a blocked one does not hold the stop up for a minute."""
        supervision = serving(2)
        supervision.supervisor.stop("quick")
        supervision.supervisor.force()
        first, second = supervision.started
        assert [message["type"] for message in first.sent[1:]] == ["drain", "force"]
        first.exit()
        supervision.pass_time(FORCED_SECONDS + 1)
        assert (second.signals, supervision.ended) == ([ABORT], [1])

    def test_before_they_are_ready(self, starting: Callable[..., Supervision]) -> None:
        """Nobody waits for a worker that has never served."""
        supervision = starting(2)
        supervision.started[0].become_ready()
        supervision.supervisor.stop("stop")
        supervision.pass_time(0.25)
        assert [worker.signals for worker in supervision.started] == [[], [KILL]]
        supervision.started[0].exit()
        assert supervision.ended == [0]

    def test_while_a_start_is_planned(self, serving: Callable[..., Supervision]) -> None:
        """A slot without a process ends at once, and no process is started any more."""
        supervision = serving(1)
        supervision.started[0].exit(1)
        supervision.supervisor.stop("stop")
        supervision.pass_time(60)
        assert (supervision.ended, len(supervision.started)) == ([0], 1)

    def test_a_crash_during_a_stop(self, serving: Callable[..., Supervision]) -> None:
        """The worker is not started again."""
        supervision = serving(1)
        supervision.supervisor.stop("stop")
        supervision.started[0].exit(None, 11)
        supervision.pass_time(60)
        assert len(supervision.started) == 1
        assert len(supervision.ended) == 1

    def test_with_stacks(self, serving: Callable[..., Supervision]) -> None:
        """SIGQUIT: every worker writes its stacks and ends; the status is 1."""
        supervision = serving(2)
        supervision.started[0].ignores = {ABORT}
        supervision.supervisor.stop_with_stacks()
        supervision.pass_time(2)
        assert [worker.signals for worker in supervision.started] == [[ABORT, KILL], [ABORT]]
        assert supervision.ended == [1]

    def test_a_worker_that_was_killed_earlier(self, serving: Callable[..., Supervision]) -> None:
        """A leaver of a restart that had to be killed does not spoil the status of a stop."""
        supervision = serving(1)
        supervision.operations.restart()
        supervision.make_ready()
        supervision.pass_time(SECONDS_TO_STOP + 40)
        assert supervision.started[0].signals == [ABORT]
        supervision.supervisor.stop("stop")
        supervision.started[1].exit()
        assert supervision.ended == [0]


def test_logs_are_reopened(serving: Callable[..., Supervision]) -> None:
    """SIGUSR1 reaches every worker."""
    supervision = serving(2)
    supervision.supervisor.reopen_logs()
    assert [worker.sent[-1]["type"] for worker in supervision.started] == ["reopen", "reopen"]
