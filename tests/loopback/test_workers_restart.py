"""SIGHUP and the limits of a worker: replaced without a failed request."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import needed
from tests.support.constant_load import Load
from tests.support.supervised import Supervised, descriptors, is_alive, resident

Start = Callable[..., Supervised]

RESTARTS = 4
GROWTH = 2 * 1048576
"""Octets of the supervisor's memory: noise of the allocator."""


def restarted(running: Supervised, generation: int) -> None:
    """Restart, and wait for the end of it."""
    running.signal(signal.SIGHUP)
    running.wait_for(rf"Restarted: \d workers? of generation {generation}\n")


def searched_first(folder: Path) -> str:
    """A PYTHONPATH with this folder before the present ones."""
    return os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])


class TestRestart:
    """SIGHUP."""

    def test_under_load(self, supervised: Start) -> None:
        """No request fails; WebSockets are closed with 1012; the supervisor does not grow."""
        running = supervised()
        running.until_workers(2)
        pid = running.process.pid
        with Load((running.host, running.port), sockets=4) as load:
            sizes = []
            for generation in range(2, 2 + RESTARTS):
                restarted(running, generation)
                running.until_workers(2, generation)
                sizes.append((descriptors(pid), resident(pid)))
        assert load.failures == {}
        assert load.answered > 100
        assert set(load.closed) == {1012}
        assert load.closed[1012] >= 4
        assert sizes[-1][0] <= sizes[0][0]
        assert sizes[-1][1] - sizes[0][1] < GROWTH
        assert "ERROR" not in running.log

    def test_wrk(self, supervised: Start) -> None:
        """wrk counts no error of a socket and no other status."""
        running = supervised()
        running.until_workers(2)
        wrk = subprocess.Popen(
            [needed.program("wrk", "wrk"), "-t1", "-c20", "-d8s", running.url],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        restarted(running, 2)
        restarted(running, 3)
        assert wrk.poll() is None
        output, _ = wrk.communicate(timeout=30)
        assert re.search(r"\d+ requests in", output)
        assert "Socket errors" not in output, output
        assert "Non-2xx" not in output, output

    def test_http2(self, supervised: Start) -> None:
        """Every stream that GOAWAY does not name as unprocessed is answered."""
        running = supervised()
        running.until_workers(2)
        with Load((running.host, running.port), keeping=0, connecting=0, streams=4) as load:
            for generation in (2, 3):
                restarted(running, generation)
                running.until_workers(2, generation)
        assert load.failures == {}
        assert load.answered > 100

    def test_broken_application(self, supervised: Start, tmp_path: Path) -> None:
        """The old generation goes on, the log says why, and the next SIGHUP heals."""
        module = tmp_path / "site_of_today.py"
        module.write_text("from operated import application\n")
        running = supervised(
            application="site_of_today:application",
            environment={
                "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
            },
            expects_traceback=True,
        )
        before = running.until_workers(2)
        for broken, reason in (
            ("raise LookupError('no settings today')\n", "no settings today"),
            ("from stopping import unstartable as application\n", "no database"),
            ("import os\nos._exit(9)\n", "has ended with status 9"),
        ):
            module.write_text(broken)
            length = len(running.log)
            with Load((running.host, running.port)) as load:
                running.signal(signal.SIGHUP)
                needed.until(lambda: "The restart has failed" in running.log[length:])  # noqa: B023
            assert reason in running.log[length:]
            assert load.failures == {}
            assert running.until_workers(2) == before
        module.write_text("from operated import application\n")
        restarted(running, 5)  # each restart that failed has used a number
        after = running.until_workers(2, 5)
        assert running.serving(2) == {row.pid for row in after}

    def test_two_signals(self, supervised: Start) -> None:
        """A second one during a restart is one more round, and a third one then is none."""
        running = supervised(environment={"IMPORT_SECONDS": "1"})
        running.until_workers(2)
        running.signal(signal.SIGHUP)
        running.wait_for("Restarting: generation 2")
        for _ in range(2):
            running.signal(signal.SIGHUP)
        running.wait_for("A restart is waiting already|Restarted: 2 workers of generation 3")
        running.wait_for("Restarted: 2 workers of generation 3")
        running.until_workers(2, 3)
        assert "generation 4" not in running.log

    def test_stop_during_it(self, supervised: Start) -> None:
        """SIGTERM wins: the starting workers go, the serving ones drain, status 0."""
        running = supervised(environment={"IMPORT_SECONDS": "3"})
        running.until_workers(2)
        running.signal(signal.SIGHUP)
        rows = running.until_started(4)
        with running.send("/slow?seconds=1") as connection:
            running.wait_for("Restarting: generation 2")
            running.signal()
            assert b" 200 " in connection.recv(65536)
        assert running.ended() == 0
        assert not any(is_alive(row.pid) for row in rows)
        assert "Restarted" not in running.log
        assert "has failed" not in running.log

    def test_one_at_a_time(self, supervised: Start) -> None:
        """`--restart-surge 1`: never more than one worker too many that starts."""
        running = supervised("--restart-surge", "1")
        running.until_workers(2)
        restarted(running, 2)
        assert running.until_workers(2, 2)
        starts = re.findall(r"Worker (\d) .*generation 2\) is ready", running.log)
        assert starts == ["1", "2"]


class TestLimits:
    """One worker under load is replaced again and again."""

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("--max-requests", "300", "--max-requests-jitter", "100"), "--max-requests"),
            (("--max-lifetime", "2"), "--max-lifetime"),
        ],
    )
    def test_replaced(self, supervised: Start, arguments: tuple[str, ...], reason: str) -> None:
        """The log says why, and no request fails."""
        running = supervised(*arguments, workers="1")
        with Load((running.host, running.port)) as load:
            running.wait_for(rf"(?s)(Worker 1 [^\n]* is replaced: [^\n]*\({reason}\).*){{3}}", 60)
        assert load.failures == {}
        assert load.answered > 0
        assert "ERROR" not in running.log

    def test_memory(self, supervised: Start) -> None:
        """`--max-rss`: who grows is replaced, under load."""
        running = supervised("--max-rss", "200M", workers="1")
        (before,) = running.until_workers(1)
        with Load((running.host, running.port)) as load:
            assert running.ask("/grow?mebibytes=200")["pid"] == before.pid
            running.wait_for(r"is replaced: it uses \d+ MiB of memory \(--max-rss\)")
            running.wait_for(rf"process {before.pid}, generation 1\) has ended with status 0")
        assert load.failures == {}
        (after,) = running.until_workers(1)
        assert after.pid != before.pid

    def test_broken_successor(self, supervised: Start, tmp_path: Path) -> None:
        """Who exceeds a limit serves on when its successor cannot start."""
        module = tmp_path / "site_of_today.py"
        module.write_text("from operated import application\n")
        running = supervised(
            "--max-requests", "50", workers="1", application="site_of_today:application",
            environment={"PYTHONPATH": searched_first(tmp_path)},
            expects_traceback=True,
        )  # fmt: skip
        before = running.until_workers(1)
        module.write_text("raise LookupError('no settings today')\n")
        with Load((running.host, running.port)) as load:
            running.wait_for(r"(?s)has no successor: .*no settings today")
        assert load.failures == {}
        assert running.workers == before
