"""Changes of the workers, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from daphne_like.options import MAX_WORKERS
from daphne_like.process import operations
from daphne_like.process.worker_process import STACK_SECONDS
from tests.support.worker_processes import ABORT, KILL, PlayedWorker, Supervision


@pytest.fixture(autouse=True)
def no_surprise(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No operation fails for a reason that was not thought of."""
    yield
    assert "An operation failed" not in caplog.text


def drained(workers: list[PlayedWorker]) -> list[list[str]]:
    """Return the kinds of drain that each worker was told."""
    return [worker.drained for worker in workers]


class TestRestart:
    """SIGHUP: new workers, then the old ones leave."""

    def test_success(self, serving: Callable[..., Supervision]) -> None:
        """No old worker leaves before all new ones are ready."""
        supervision = serving(2)
        old = list(supervision.started)
        supervision.operations.restart()
        new = supervision.new()
        assert [(worker.slot, worker.generation) for worker in new] == [(1, 2), (2, 2)]
        new[0].become_ready()
        assert drained(old) == [[], []]
        new[1].become_ready()
        assert drained(old) == [["restart"], ["restart"]]
        assert supervision.restarts == [""]
        assert supervision.places() == {1: (new[0].pid, 2), 2: (new[1].pid, 2)}
        for worker in old:
            worker.exit()
        supervision.pass_time(5)
        assert supervision.running == new
        assert supervision.ready == 1

    def test_one_after_the_other(self, serving: Callable[..., Supervision]) -> None:
        """--restart-surge 1."""
        supervision = serving(2, restart_surge=1)
        first, second = supervision.started
        supervision.operations.restart()
        assert [worker.slot for worker in supervision.make_ready()] == [1]
        assert drained([first, second]) == [["restart"], []]
        assert [worker.slot for worker in supervision.make_ready()] == [2]
        assert drained([first, second]) == [["restart"], ["restart"]]
        assert supervision.restarts == [""]

    @pytest.mark.parametrize(("room", "at_once"), [(True, 3), (False, 1)])
    def test_as_many_as_there_is_memory_for(
        self,
        serving: Callable[..., Supervision],
        monkeypatch: pytest.MonkeyPatch,
        room: bool,
        at_once: int,
    ) -> None:
        """By default all at once, or one after the other."""
        asked: list[list[int]] = []

        def has_room(pids: list[int]) -> bool:
            asked.append(pids)
            return room

        monkeypatch.setattr(operations, "room_for", has_room)
        supervision = serving(3, restart_surge=None)
        pids = [worker.pid for worker in supervision.started]
        supervision.operations.restart()
        assert (len(supervision.new()), asked) == (at_once, [pids])

    def test_a_new_worker_that_fails(
        self, serving: Callable[..., Supervision], caplog: pytest.LogCaptureFixture
    ) -> None:
        """The old ones serve on; the other new one is ended, whether it was ready or not."""
        supervision = serving(3)
        old = list(supervision.started)
        supervision.operations.restart()
        ready, fails, starts = supervision.new()
        ready.become_ready()
        fails.fail("no settings", detail="Traceback of the application")
        supervision.pass_time(0.25)
        assert drained(old) == [[], [], []]
        assert (ready.drained, starts.signals) == (["restart"], [KILL])
        assert supervision.restarts == ["no settings"]
        assert "Traceback of the application" in caplog.text
        supervision.pass_time(2)
        assert ready.signals == []  # it has accepted connections
        ready.exit()
        supervision.pass_time(30)
        assert supervision.running == old
        assert [generation for _, generation in supervision.places().values()] == [1, 1, 1]

    def test_a_new_worker_that_crashes_while_another_one_starts(
        self, serving: Callable[..., Supervision]
    ) -> None:
        """The restart fails as a whole, though every new worker was ready at some time."""
        supervision = serving(2)
        old = list(supervision.started)
        supervision.operations.restart()
        crashes, slow = supervision.new()
        crashes.become_ready()
        crashes.exit(None, 11)
        slow.become_ready()
        assert len(supervision.restarts) == 1
        assert "was ended by SIGSEGV" in supervision.restarts[0]
        assert (drained(old), slow.drained) == ([[], []], ["restart"])

    def test_a_new_worker_that_is_too_slow(self, serving: Callable[..., Supervision]) -> None:
        """It is killed at the start timeout, with its stacks."""
        supervision = serving(1, worker_start_timeout=20)
        supervision.operations.restart()
        (slow,) = supervision.new()
        supervision.pass_time(20 + STACK_SECONDS + 1)
        assert slow.signals == [ABORT]
        assert "was not ready within 20 seconds" in supervision.restarts[0]
        assert supervision.running == supervision.started[:1]

    def test_no_process(self, serving: Callable[..., Supervision]) -> None:
        """The system starts only one of two processes: the restart fails, nothing else does."""
        supervision = serving(2)
        old = list(supervision.started)
        supervision.reactor.full = [OSError(11, "no room")]
        supervision.operations.restart()
        supervision.pass_time(0.25)
        assert "no room" in supervision.restarts[0]
        assert supervision.running == old
        supervision.operations.restart()
        assert len(supervision.make_ready()) == 2
        assert supervision.restarts[1] == ""

    def test_a_wrong_configuration(
        self, serving: Callable[..., Supervision], caplog: pytest.LogCaptureFixture
    ) -> None:
        """No process is started; the next restart reads the configuration again."""
        supervision = serving(1)
        supervision.problem = "--port: expected a number"
        supervision.operations.restart()
        assert supervision.restarts == ["the configuration is wrong: --port: expected a number"]
        assert len(supervision.started) == 1
        supervision.problem = ""
        supervision.operations.restart()
        supervision.make_ready()
        assert supervision.restarts[1:] == [""]

    def test_signals_during_a_restart(self, serving: Callable[..., Supervision]) -> None:
        """Any number of them means one more restart afterwards."""
        supervision = serving(1)
        for _ in range(5):
            supervision.operations.restart()
        generations = []
        while workers := supervision.make_ready():
            generations += [worker.generation for worker in workers]
        assert (generations, supervision.restarts) == ([2, 3], ["", ""])

    def test_another_number_of_workers(self, serving: Callable[..., Supervision]) -> None:
        """--workers of the new configuration."""
        supervision = serving(2)
        supervision.workers = 3
        supervision.operations.restart()
        supervision.make_ready()
        supervision.make_ready()
        assert sorted(supervision.places()) == [1, 2, 3]
        supervision.workers = 1
        supervision.operations.restart()
        supervision.make_ready()
        assert (sorted(supervision.places()), len(supervision.restarts)) == ([1], 2)

    def test_a_crash_during_a_restart(self, serving: Callable[..., Supervision]) -> None:
        """The successor takes the place of an old worker that has crashed."""
        supervision = serving(1)
        supervision.operations.restart()
        supervision.started[0].exit(None, 11)
        supervision.pass_time(5)
        assert len(supervision.started) == 2
        supervision.make_ready()
        supervision.pass_time(5)
        assert (len(supervision.started), supervision.supervisor.ready_workers) == (2, 1)

    def test_a_crash_during_a_restart_that_fails(self, serving: Callable[..., Supervision]) -> None:
        """The slot does not stay empty."""
        supervision = serving(2)
        supervision.operations.restart()
        supervision.started[0].exit(None, 11)
        for worker in supervision.new():
            if worker.running:
                worker.fail()
                supervision.pass_time(0.25)
        supervision.pass_time(5)
        assert supervision.restarts == ["no settings"]
        (again,) = supervision.make_ready()
        assert (again.slot, again.generation) == (1, 1)
        supervision.pass_time(60)
        assert len(supervision.running) == 2

    def test_a_crash_while_a_start_is_planned(self, serving: Callable[..., Supervision]) -> None:
        """A restart fills a slot that waits for its next start; no process is one too many."""
        supervision = serving(2)
        supervision.started[0].exit(None, 11)
        supervision.operations.restart()
        supervision.make_ready()
        supervision.started[1].exit()
        supervision.pass_time(10)
        assert len(supervision.running) == 2
        assert [worker.generation for worker in supervision.running] == [2, 2]

    def test_ready_for_the_first_time(self, starting: Callable[..., Supervision]) -> None:
        """Workers that were all ready only after a restart are announced as well."""
        supervision = starting(2)
        good, bad = supervision.started
        good.become_ready()
        bad.fail()
        assert supervision.ready == 0
        supervision.operations.restart()
        supervision.make_ready()
        assert supervision.ready == 1


class TestLeavers:
    """Old workers that still drain."""

    def test_too_many(self, serving: Callable[..., Supervision]) -> None:
        """With more than two for each slot the oldest ones are ended."""
        supervision = serving(2)
        for _ in range(4):
            supervision.operations.restart()
            supervision.make_ready()
        supervision.pass_time(0.25)
        generations = [worker.generation for worker in supervision.running]
        assert generations == [3, 3, 4, 4, 5, 5]
        assert [worker.signals for worker in supervision.started[:4]] == [[KILL]] * 4

    def test_all_end_in_time(self, serving: Callable[..., Supervision]) -> None:
        """A leaver that does not end is killed at its deadline."""
        supervision = serving(1)
        supervision.operations.restart()
        supervision.make_ready()
        supervision.pass_time(200)
        assert supervision.started[0].signals == [ABORT]
        assert supervision.supervisor.leavers == []


class TestStop:
    """A stop wins over an operation that runs."""

    def test_during_a_restart(
        self, serving: Callable[..., Supervision], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Workers that have served drain, the others are killed; what waits is forgotten."""
        supervision = serving(2)
        old = list(supervision.started)
        supervision.operations.restart()
        supervision.operations.restart()
        ready, starts = supervision.new()
        ready.become_ready()
        supervision.operations.cancel()
        supervision.supervisor.stop("stop")
        assert drained([*old, ready, starts]) == [["stop"], ["stop"], ["restart"], []]
        for worker in (*old, ready):
            worker.exit()
        supervision.pass_time(5)
        assert (supervision.ended, supervision.running) == ([0], [])
        assert (len(supervision.started), supervision.supervisor.leavers) == (4, [])
        assert "Traceback" not in caplog.text

    def test_no_operation_afterwards(self, serving: Callable[..., Supervision]) -> None:
        """Signals that arrive during a stop start nothing."""
        supervision = serving(1)
        supervision.operations.cancel()
        supervision.supervisor.stop("stop")
        supervision.operations.restart()
        supervision.operations.more()
        supervision.operations.fewer()
        supervision.started[0].exit()
        assert (len(supervision.started), supervision.ended) == (1, [0])

    def test_while_a_successor_starts(self, serving: Callable[..., Supervision]) -> None:
        """The same for the replacement of one worker."""
        supervision = serving(1)
        (worker,) = supervision.started
        worker.say("replace", reason="SIGTERM")
        supervision.operations.cancel()
        supervision.supervisor.stop("quick")
        assert worker.drained == ["quick"]
        worker.exit()
        supervision.pass_time(2)
        assert (supervision.ended, supervision.running) == ([0], [])


class TestNumber:
    """SIGTTIN and SIGTTOU: one worker more, one less."""

    def test_more(self, serving: Callable[..., Supervision]) -> None:
        """The new slot is the last one."""
        supervision = serving(2)
        supervision.operations.more()
        supervision.operations.more()
        assert [worker.slot for worker in supervision.make_ready()] == [3]
        assert [worker.slot for worker in supervision.make_ready()] == [4]
        assert sorted(supervision.places()) == [1, 2, 3, 4]

    def test_a_new_one_that_fails(self, serving: Callable[..., Supervision]) -> None:
        """It is started again as after a crash, and holds no other operation up."""
        supervision = serving(1)
        supervision.operations.more()
        supervision.new()[0].fail()
        supervision.operations.fewer()
        supervision.pass_time(60)
        assert sorted(supervision.places()) == [1]
        assert len(supervision.started) == 2

    def test_fewer(
        self, serving: Callable[..., Supervision], caplog: pytest.LogCaptureFixture
    ) -> None:
        """The last slot goes, but never the last worker."""
        supervision = serving(2)
        first, second = supervision.started
        for _ in range(3):
            supervision.operations.fewer()
        assert drained([first, second]) == [[], ["restart"]]
        assert "One worker is the least" in caplog.text
        second.exit()
        supervision.pass_time(5)
        assert supervision.running == [first]

    def test_the_most(
        self, monkeypatch: pytest.MonkeyPatch, serving: Callable[..., Supervision]
    ) -> None:
        """A flood of signals does not start processes without end."""
        assert MAX_WORKERS == 256
        monkeypatch.setattr(operations, "MAX_WORKERS", 3)
        supervision = serving(2)
        for _ in range(5):
            supervision.operations.more()
        while supervision.make_ready():
            pass
        assert len(supervision.running) == 3


class TestQueue:
    """One operation at a time."""

    def test_a_blocked_worker_goes_first(self, serving: Callable[..., Supervision]) -> None:
        """It is replaced before what waits, but after what runs."""
        supervision = serving(2, worker_timeout=30)
        supervision.operations.more()
        (third,) = supervision.new()
        supervision.operations.restart()
        supervision.started[0].beating = False
        supervision.pass_time(31)
        assert supervision.started[-1] is third
        third.become_ready()
        assert [(worker.slot, worker.generation) for worker in supervision.new()] == [(1, 1)]
        supervision.make_ready()
        assert {worker.generation for worker in supervision.new()} == {2}

    def test_a_worker_that_a_restart_has_replaced(
        self, serving: Callable[..., Supervision]
    ) -> None:
        """It asked for a successor while the restart ran, and needs no second one."""
        supervision = serving(1)
        (worker,) = supervision.started
        supervision.operations.restart()
        worker.say("replace", reason="SIGTERM")
        supervision.make_ready()
        assert (supervision.new(), len(supervision.started)) == ([], 2)
