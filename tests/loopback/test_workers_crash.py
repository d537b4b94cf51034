"""Workers that end without being asked, or never become ready."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.constant_load import Load
from tests.support.real_server import TRACEBACK
from tests.support.supervised import Supervised, is_alive

Start = Callable[..., Supervised]

CRASHES = {
    "/segv": r"was ended by SIGSEGV after",
    "/exit?status=7": r"has ended with status 7 after",
    "/kill": r"was ended by SIGKILL: perhaps by the kernel's OOM killer after",
}


@pytest.mark.parametrize("path", CRASHES)
def test_crash(supervised: Start, path: str) -> None:
    """It is told in words and started again; the sibling serves throughout."""
    running = supervised()
    before = running.until_workers(2)
    with running.send(path) as connection:
        assert connection.recv(65536) == b""
        (slot, pid) = running.wait_for(
            rf"ERROR +Worker (\d) \(process (\d+), generation 1\) {CRASHES[path]} "
            r"\d+\.\d seconds?, \d+ requests?, \d+ MiB of memory"
        ).groups()
        (sibling,) = {row.pid for row in before} - {int(pid)}
        assert running.ask()["pid"] == sibling
    running.wait_for(rf"Worker {slot} is started again in 1\.\d s")
    after = running.until_workers(2)
    assert sibling in {row.pid for row in after}
    assert {row.slot for row in after} == {1, 2}
    assert running.serving(2) == {row.pid for row in after}
    if path == "/segv":
        stack = running.log.partition("was executing:\n")[2]
        assert "operated.py" in stack
        assert "do_segv" in stack


def test_crash_loop(supervised: Start) -> None:
    """The delay grows for the slot that crashes; the other worker is left alone."""
    running = supervised()
    first = running.until_workers(2)
    healthy = next(row for row in first if row.slot == 1)
    for expected in (1, 2, 4):
        victim = next(row for row in running.until_workers(2) if row.slot == 2)
        running.killed(victim.pid)
        running.wait_for(rf"Worker 2 is started again in {expected}\.\d s")
    assert healthy.pid in {row.pid for row in running.workers}
    assert is_alive(healthy.pid)
    assert running.ask()["pid"] == healthy.pid


def test_failing_successors_of_a_crash(supervised: Start, tmp_path: Path) -> None:
    """A crash, then starts that fail: the sibling goes on serving."""
    (tmp_path / "site_of_today.py").write_text("from operated import application\n")
    running = supervised(
        application="site_of_today:application",
        environment={"PYTHONPATH": pythonpath(tmp_path)},
        expects_traceback=True,
    )
    rows = running.until_workers(2)
    (tmp_path / "site_of_today.py").write_text("raise LookupError('no settings today')\n")
    victim, sibling = rows
    running.killed(victim.pid)
    running.wait_for(r"(?s)could not start:.*no settings today.*could not start:")
    assert running.ask()["pid"] == sibling.pid
    (tmp_path / "site_of_today.py").write_text("from operated import application\n")
    running.until_workers(2)


def test_no_worker_left(supervised: Start, tmp_path: Path) -> None:
    """When no worker is ready and five starts in a row have failed, the supervisor ends."""
    (tmp_path / "site_of_today.py").write_text("from operated import application\n")
    running = supervised(
        application="site_of_today:application",
        workers="1",
        environment={"PYTHONPATH": pythonpath(tmp_path)},
        expects_traceback=True,
    )
    (row,) = running.until_workers(1)
    (tmp_path / "site_of_today.py").write_text("raise LookupError('no settings today')\n")
    running.killed(row.pid)
    assert running.ended(90) == 2
    assert "5 starts in a row have failed: stopping" in running.log


def pythonpath(folder: Path) -> str:
    """The variable with a folder in front."""
    return os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])


class TestFirstStart:
    """Before a worker has ever been ready, the first failure ends everything."""

    def test_import(self, supervised: Start) -> None:
        """Status 2, and the traceback once."""
        running = supervised(
            application="broken_import:application", ready=False, expects_traceback=True
        )
        assert running.ended() == 2
        assert running.log.count(TRACEBACK) == 1
        assert running.log.count("daphne-like: ") == 1

    def test_no_module(self, supervised: Start) -> None:
        """Status 2 and one sentence."""
        running = supervised(application="no_such_module:application", ready=False)
        assert running.ended() == 2
        assert running.log.count("\n") == 1
        assert "no_such_module" in running.log

    def test_startup(self, supervised: Start) -> None:
        """Status 3, and the application's own words once."""
        running = supervised(application="stopping:unstartable", ready=False)
        assert running.ended() == 3
        assert len(re.findall("daphne-like: .*no database", running.log)) == 1
        assert "CRITICAL" not in running.log

    def test_port_in_use(self, supervised: Start) -> None:
        """Status 1, and no worker is started."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            running = supervised(port=taken.getsockname()[1], ready=False)
            assert running.ended() == 1
        assert re.search("daphne-like: .*(in use)", running.log)
        assert running.log.count("\n") == 1

    def test_never_ready(self, supervised: Start) -> None:
        """A start-up that hangs is given up after --worker-start-timeout, with its stack."""
        running = supervised(
            "--worker-start-timeout", "3", application="stopping:hanging_startup", ready=False
        )
        assert running.ended() == 3
        assert "was not ready within 3 seconds (--worker-start-timeout)" in running.log

    def test_crash(self, supervised: Start) -> None:
        """A worker that dies in its start-up ends everything; the sentence says how."""
        running = supervised(
            application="operated:no_such_name", ready=False,
            environment={"IMPORT_SECONDS": "20"},
        )  # fmt: skip
        victim, sibling = running.until_started(2)
        running.killed(victim.pid, signal.SIGSEGV)
        assert running.ended() == 1
        expected = f"Worker {victim.slot} (process {victim.pid}, generation 1) was ended by SIGSEGV"
        assert expected in running.log
        assert not is_alive(sibling.pid)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
    def test_stop_during_it(self, supervised: Start, number: int) -> None:
        """A signal while the workers import ends them, and quickly."""
        running = supervised(ready=False, environment={"IMPORT_SECONDS": "60"})
        rows = running.until_started(2)
        running.signal(number)
        assert running.ended(15) == (1 if number == signal.SIGQUIT else 0)
        assert not any(is_alive(row.pid) for row in rows)


class TestHandSentSIGTERM:
    """SIGTERM to one worker."""

    def test_replaced(self, supervised: Start) -> None:
        """It is replaced without a lost request, and nobody calls that a crash."""
        running = supervised(workers="1")
        (before,) = running.until_workers(1)
        with Load((running.host, running.port)) as load:
            running.killed(before.pid, signal.SIGTERM)
            running.wait_for(rf"process {before.pid}, .* has ended with status 0")
        (after,) = running.until_workers(1)
        assert after.pid != before.pid
        assert after.slot == before.slot
        assert load.failures == {}
        assert load.answered > 0
        assert "ERROR" not in running.log
        assert "started again in" not in running.log


class TestGarbage:
    """An application that writes to its control channel."""

    @pytest.mark.parametrize("kind", ["text", "version", "field", "long", "nested"])
    def test_ended_and_replaced(self, supervised: Start, kind: str) -> None:
        """The worker is ended and replaced; the sibling and the supervisor are not hurt."""
        running = supervised()
        before = {row.pid for row in running.until_workers(2)}
        sender = threading.Thread(target=send_and_drop, args=(running, f"/garbage?kind={kind}"))
        sender.start()
        pid = int(running.wait_for(
            r"Worker \d \(process (\d+), generation 1\) is ended, because it does not keep to the "
            "protocol")[1])  # fmt: skip
        sender.join(20)
        (sibling,) = before - {pid}
        assert running.ask()["pid"] == sibling
        after = {row.pid for row in running.until_workers(2)}
        assert sibling in after
        assert not is_alive(pid)
        assert len(running.log) < 10_000


def send_and_drop(running: Supervised, path: str) -> None:
    with running.send(path) as connection:
        try:
            connection.recv(65536)
        except OSError:
            pass
