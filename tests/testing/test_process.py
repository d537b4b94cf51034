"""`DaphneProcess` with each start method."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import urlopen

import pytest

from daphne_like.testing import DaphneProcess
from tests.support import needed, processes
from tests.support.python_runs import Run
from tests.support.start_methods import start_method

DEADLINE = 20.0

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

Start = Callable[..., DaphneProcess]


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def method(request: pytest.FixtureRequest) -> Iterator[str]:
    """The start method of processes."""
    with start_method(request.param):
        yield request.param


@pytest.fixture
def start() -> Iterator[Start]:
    """start(get_application, **more): a started DaphneProcess, ended with the test."""
    started: list[DaphneProcess] = []

    def begin(get_application: Any, **more: Any) -> DaphneProcess:
        process = DaphneProcess("127.0.0.1", get_application, **more)
        started.append(process)
        process.start()
        return process

    yield begin
    for process in started:
        process.kill()
        process.join(DEADLINE)
        process.errors.close()
        process.errors.join_thread()


def get(process: DaphneProcess, path: str = "/") -> str:
    with urlopen(f"http://127.0.0.1:{process.port.value}{path}", timeout=DEADLINE) as answer:
        return answer.read().decode()


@pytest.mark.usefixtures("method")
class TestEachStartMethod:
    """The interface that channels.testing uses."""

    def test_it_serves_from_its_own_process(self, start: Start) -> None:
        """`ready` is set when `port` answers, and the application runs in the child."""
        process = start(processes.get_application)
        assert process.ready.wait(DEADLINE)
        assert get(process) == str(process.pid)

    def test_setup_runs_before_it_serves(self, start: Start) -> None:
        """`setup` has run in the child when the first request comes."""
        process = start(processes.get_after_setup, setup=processes.setup)
        assert process.ready.wait(DEADLINE)
        assert get(process) == "1"
        assert "SET_UP" not in os.environ

    def test_sigterm_ends_it_at_once(self, start: Start) -> None:
        """`terminate()` waits for no response that is under way."""
        process = start(processes.get_lasting)
        assert process.ready.wait(DEADLINE)
        with socket.create_connection(("127.0.0.1", process.port.value), DEADLINE) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            connection.settimeout(DEADLINE)
            received = b""
            while b"begun" not in received:
                received += connection.recv(4096)
            process.terminate()
            process.join(2)
            assert process.exitcode == -signal.SIGTERM

    @pytest.mark.parametrize(
        ("arguments", "kind", "sentence"),
        [
            ((processes.raise_in_get,), ValueError, "no application today"),
            ((processes.get_failing,), Exception, "no database today"),
            ((processes.raise_unpicklable,), RuntimeError, "Unpicklable: neither nor"),
        ],
    )
    def test_start_up_errors_reach_the_parent(
        self, start: Start, arguments: Any, kind: type[Exception], sentence: str
    ) -> None:
        """`errors` holds exception and traceback, `ready.wait` is over, the process has ended."""
        process = start(*arguments)
        began = time.monotonic()
        assert not process.ready.wait(DEADLINE)
        assert time.monotonic() - began < DEADLINE
        error, text = process.errors.get(timeout=DEADLINE)
        assert isinstance(error, kind)
        assert sentence in str(error)
        assert sentence in text
        assert not process.is_alive()
        assert process.exitcode == 1


class TestErrors:
    """What goes wrong, with the system's own start method."""

    def test_setup_that_raises(self, start: Start) -> None:
        """An error of `setup` reaches the parent."""
        process = start(processes.get_application, setup=processes.raise_in_setup)
        assert not process.ready.wait(DEADLINE)
        assert isinstance(process.errors.get(timeout=DEADLINE)[0], LookupError)

    def test_a_taken_port(self, start: Start) -> None:
        """So does a port that somebody else has."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            process = start(processes.get_application, port=port)
            assert not process.ready.wait(DEADLINE)
            assert str(port) in str(process.errors.get(timeout=DEADLINE)[0])

    def test_no_limit(self, start: Start) -> None:
        """Daphne's values for "no limit" are those of `kwargs` too."""
        process = start(
            processes.get_application, kwargs={"websocket_timeout": -1, "ping_timeout": 0}
        )
        assert process.ready.wait(DEADLINE)

    def test_an_option_that_is_none(self, start: Start) -> None:
        """So does an argument that the server does not have."""
        process = start(processes.get_application, kwargs={"no_such_option": 1})
        assert not process.ready.wait(DEADLINE)
        assert isinstance(process.errors.get(timeout=DEADLINE)[0], TypeError)

    def test_waiting_without_a_timeout_raises(self, start: Start) -> None:
        """Channels 4.1 waits without one and looks at nothing after: the wait raises the cause."""
        process = start(processes.raise_in_get)
        with pytest.raises(RuntimeError, match="no application today"):
            process.ready.wait()
        assert isinstance(process.errors.get(timeout=DEADLINE)[0], ValueError)

    def test_an_error_that_nobody_reads_keeps_nothing(self, start: Start) -> None:
        """A large error does not keep the child waiting for a reader."""
        process = start(processes.raise_large)
        process.join(DEADLINE)
        assert process.exitcode == 1

    def test_the_cause_is_on_standard_error(
        self, start: Start, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Channels reads no `errors`: the traceback is where a person sees it."""
        process = start(processes.raise_in_get)
        process.join(DEADLINE)
        assert "ValueError: no application today" in capfd.readouterr().err

    def test_not_ready_in_time(self, start: Start) -> None:
        """`ready.wait(timeout)` of a process that is not ready yet is False at the timeout."""
        process = start(processes.get_application, setup=signal.pause)
        assert not process.ready.wait(0.2)
        assert process.is_alive()


FORK_INSIDE = """
import asyncio, multiprocessing, sys, threading, warnings
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen
from asgiref.sync import sync_to_async
from daphne_like.testing import DaphneProcess
from tests.support import processes
warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
multiprocessing.set_start_method("fork")

def serve():
    process = DaphneProcess("127.0.0.1", processes.get_application)
    process.start()
    assert process.ready.wait(20)
    return process

def check(process):
    with urlopen(f"http://127.0.0.1:{process.port.value}/", timeout=20) as answer:
        assert answer.read().decode() == str(process.pid)
    process.terminate()
    process.join(5)
    assert process.exitcode == -15, process.exitcode
"""
WORK_IN_REACTOR = """
failed = []
def work():
    try: check(serve())
    except BaseException as error: failed.append(error)
    reactor.callLater(0.01, reactor.stop)
reactor.callWhenRunning(work)
reactor.run()
assert not failed, failed
"""
WAYS = {
    "beside a reactor": """
from twisted.internet import reactor
check(serve())
assert sys.modules["twisted.internet.reactor"] is reactor
""",
    "inside of the native reactor": """
from daphne_like import reactor as reactors
reactor = reactors.install()
"""
    + WORK_IN_REACTOR,
    "inside of the stock asyncio reactor": """
from twisted.internet import asyncioreactor
asyncioreactor.install(asyncio.new_event_loop())
from twisted.internet import reactor
"""
    + WORK_IN_REACTOR,
    "inside of asyncio, after sync_to_async": """
async def main():
    await sync_to_async(int)()
    process = serve()
    await asyncio.to_thread(check, process)
asyncio.run(main())
""",
}


class TestForkedAnywhere:
    """A forked child gets a reactor of its own, wherever its parent stands."""

    @pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
    def test_it_serves(self, program: Run, way: str) -> None:
        """The child serves, synchronous code too; the parent's reactor goes on and stops."""
        program(FORK_INSIDE + way)

    def test_a_name_bound_before_the_fork(self, program: Run) -> None:
        """`from twisted.internet import reactor` of before the fork is the child's reactor."""
        program(
            "import os, sys, types\n"
            "from daphne_like import reactor as reactors\n"
            "from twisted.internet import selectreactor\n"
            "selectreactor.install()\n"
            "from twisted.internet import reactor\n"
            "fresh = reactors.reinstall()\n"
            "assert reactor is fresh\n"
            "import twisted.internet\n"
            "assert twisted.internet.reactor is fresh is sys.modules['twisted.internet.reactor']\n"
        )

    def test_it_ends_with_its_parent(self, run: Run, tmp_path: Any) -> None:
        """A test run that is killed leaves no server behind."""
        (tmp_path / "program.py").write_text(
            FORK_INSIDE + "import os\nprocess = serve()\n"
            "print(process.pid, flush=True)\nos.kill(os.getpid(), 9)\n"
        )
        done = run("program.py")
        pid = int(done.stdout)
        needed.until(lambda: not alive(pid))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
