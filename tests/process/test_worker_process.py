"""A worker process as the supervisor sees it: its last words, its stacks, its output."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from twisted.internet.error import ProcessTerminated
from twisted.python.failure import Failure

from daphne_like.process.worker_process import MAX_STACKS, WorkerProcess
from tests.support.worker_processes import ABORT, Supervision

STACKS = 5
"""Number of the descriptor to which a worker without sockets writes stacks."""


def protocol(supervision: Supervision) -> WorkerProcess:
    """Return what the supervisor knows about its only worker."""
    worker = supervision.supervisor.slots[1].worker
    assert worker is not None
    return worker


class TestStacks:
    """Stacks that faulthandler writes into the supervisor's pipe."""

    def test_in_the_log(
        self, serving: Callable[..., Supervision], caplog: pytest.LogCaptureFixture
    ) -> None:
        """They name the worker; octets that are no text do no harm."""
        supervision = serving(1)
        protocol(supervision).childDataReceived(STACKS, b"Fatal Python error: Aborted\n\nCurrent ")
        protocol(supervision).childDataReceived(STACKS, b"thread 0x1 (most recent call ")
        protocol(supervision).childDataReceived(STACKS, b'first):\n  File "/app/main.py", line ')
        protocol(supervision).childDataReceived(STACKS, b"7 in wait\xff\n")
        supervision.started[0].exit(None, ABORT)
        assert "Worker 1 (process 4194305, generation 1) was executing:" in caplog.text
        assert '  File "/app/main.py", line 7 in wait\ufffd' in caplog.text

    def test_on_demand(
        self, serving: Callable[..., Supervision], caplog: pytest.LogCaptureFixture
    ) -> None:
        """A signal makes the worker write them; everybody who asks meanwhile gets the same."""
        supervision = serving(1)
        worker = protocol(supervision)
        supervision.started[0].ignores = {signal.SIGUSR2}
        written: list[str] = []
        for _ in range(2):
            worker.write_threads().addCallback(written.append)
        assert supervision.started[0].signals == [signal.SIGUSR2]
        worker.childDataReceived(STACKS, b"Current thread 0x1 (most recent call first):\n")
        worker.childDataReceived(STACKS, b'  File "/app/main.py", line 7 in wait\n')
        supervision.pass_time(1)
        assert len(written) == 2
        assert all("line 7 in wait" in text for text in written)
        supervision.started[0].exit(None, signal.SIGTERM)
        assert "was executing" not in caplog.text

    def test_nobody_has_asked(
        self, serving: Callable[..., Supervision], caplog: pytest.LogCaptureFixture
    ) -> None:
        """The signal was for the whole group: it is no crash, but one may follow."""
        supervision = serving(1)
        worker = protocol(supervision)
        worker.childDataReceived(STACKS, b"Thread 0x2 (most recent call first):\n  File ")
        worker.childDataReceived(STACKS, b'"/app/main.py", line 7 in wait\n')
        worker.childDataReceived(STACKS, b"Fatal Python error: Aborted\n\nThread 0x1 (most recent)")
        supervision.started[0].exit(None, ABORT)
        assert "line 7 in wait" not in caplog.text
        assert "Thread 0x1" in caplog.text

    def test_a_flood(
        self, serving: Callable[..., Supervision], caplog: pytest.LogCaptureFixture
    ) -> None:
        """An application that writes there cannot fill the memory of the supervisor."""
        supervision = serving(1)
        for _ in range(100):
            protocol(supervision).childDataReceived(STACKS, b"x" * 4096)
        supervision.started[0].exit(None, ABORT)
        assert caplog.text.count("x" * 1024) == MAX_STACKS // 1024

    def test_written_just_before_the_end(
        self, serving: Callable[..., Supervision], caplog: pytest.LogCaptureFixture
    ) -> None:
        """What is in the pipe when the process has ended is read; a writer that stays is not
        waited for."""
        supervision = serving(1)
        ours, theirs = os.pipe()
        try:
            os.set_blocking(ours, False)
            os.write(theirs, b"the last frame\n")
            supervision.started[0].pipes = {STACKS: SimpleNamespace(fileno=lambda: ours)}
            supervision.started[0].exit(None, ABORT)
            assert "the last frame" in caplog.text
        finally:
            os.close(ours)
            os.close(theirs)


class TestWords:
    """What a worker says."""

    def test_last_message(self, starting: Callable[..., Supervision]) -> None:
        """A message that arrives in the turn after the end of the process still counts."""
        supervision = starting(1)
        (worker,) = supervision.started
        worker.running = False
        protocol(supervision).processExited(Failure(ProcessTerminated(2)))
        worker.say("failed", sentence="no settings", status=2, detail="")
        supervision.reactor.advance(0)
        assert [str(error) for error in supervision.reports] == ["no settings"]

    def test_nothing_is_sent_after_the_end(self, serving: Callable[..., Supervision]) -> None:
        """A signal to a process that has gone, and its channel, are passed over."""
        supervision = serving(1)
        worker = protocol(supervision)
        supervision.started[0].exit(1)
        before = supervision.started[0].sent
        worker.kill()
        worker.drain("stop", 5.0)
        assert (supervision.started[0].signals, supervision.started[0].sent) == ([], before)


def test_captured_output(
    serving: Callable[..., Supervision], caplog: pytest.LogCaptureFixture
) -> None:
    """Lines that a worker prints under twistd are log lines, in whatever pieces they come."""
    caplog.set_level(logging.INFO)
    supervision = serving(1)
    for piece in (b"a li", b"ne\nhalf"):
        protocol(supervision).childDataReceived(2, piece)
    assert "a line" in caplog.text
    assert "half" not in caplog.text
    supervision.started[0].exit(1)
    assert "half" in caplog.text
