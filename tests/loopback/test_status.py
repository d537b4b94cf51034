"""`--status`: the page's data from real servers, what `daphne-like status` prints, and SIGUSR2."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daphne_like.status.guard import read_token
from tests.support import needed
from tests.support.constant_load import Load
from tests.support.documentation import ROOT
from tests.support.live_endpoints import free_port
from tests.support.real_server import COMMAND, DEADLINE, PROJECTS, Running, fetched
from tests.support.status_peer import Status, open_websocket, send_request
from tests.support.supervised import Supervised

needed.module("channels")
WATCHED = "watched:application"
TOKEN = "a-token-for-the-tests-of-this-page"


@pytest.fixture
def status() -> Status:
    return Status(free_port())


@pytest.fixture
def peers() -> Iterator[contextlib.ExitStack]:
    """Connections that end with the test."""
    with contextlib.ExitStack() as stack:
        yield stack


class TestNumbers:
    """With two workers the numbers are those of the client."""

    def test_agree(self, supervised: Callable[..., Supervised], status: Status) -> None:
        """Responses, errors and octets on the page, in the metrics and in the access log."""
        running = supervised("-v", "1", *status.option, application=WATCHED)
        running.wait_until_ready()
        running.until_workers(2)
        for _ in range(20):
            fetched(running.port, "/")
        for _ in range(3):
            with send_request(running.port, b"/fail") as connection:
                assert connection.recv(4096).startswith(b"HTTP/1.1 503")
        with open_websocket(running.port, b"/chat/1/", "one", "two") as peer:
            needed.until(lambda: b"two" in peer.recv(4096))
        found = needed.until(lambda: _with_totals(status, requests=23, messages_in=2))
        assert {name: found[name] for name in ("requests", "errors", "messages_out")} == {
            "requests": 23, "errors": 3, "messages_out": 2,
        }  # fmt: skip
        assert found["bytes_out"] == 20 * len(b"hello\n") + len("onetwo")
        scraped = status.ask("/metrics").body.decode()
        counted = re.findall(r"request_duration_seconds_count\{[^}]*\} ([\d.]+)", scraped)
        assert sum(map(float, counted)) == 23
        needed.until(
            lambda: len(re.findall(r'"GET /(?:fail)? HTTP|"GET /(?:fail)?"', running.log)) == 23
        )

    def test_agree_under_load(self, supervised: Callable[..., Supervised], status: Status) -> None:
        """HTTP/1.1, HTTP/2 and WebSockets at the same time: the client's own count."""
        running = supervised("-v", "1", *status.option)
        running.wait_until_ready()
        running.until_workers(2)
        with Load(("127.0.0.1", running.port), streams=2, sockets=2) as load:
            needed.until(lambda: load.answered > 500, DEADLINE)
        assert load.failures == {}
        found = needed.until(
            lambda: (now := status.present()["totals"])["requests"] + now["messages_in"]
            >= load.answered and now
        )  # fmt: skip
        assert found["requests"] + found["messages_in"] == load.answered
        assert found["errors"] == 0
        scraped = status.ask("/metrics").body.decode()
        counted = re.findall(r"request_duration_seconds_count\{[^}]*\} ([\d.]+)", scraped)
        assert sum(map(float, counted)) == found["requests"]
        lines = re.compile(r'"GET / HTTP|"GET /" 200')
        needed.until(lambda: len(lines.findall(running.log)) == found["requests"])

    def test_every_carrier(
        self, server: Callable[..., Running], status: Status, peers: contextlib.ExitStack
    ) -> None:
        """HTTP/1.1, a WebSocket, an upload and a stream of events, each in its own words."""
        running = server(WATCHED, *status.option)
        port = running.port
        for path in (b"/prices", b"/archive"):
            peers.enter_context(send_request(port, path))
        peers.enter_context(open_websocket(port, b"/chat/7/"))
        upload = peers.enter_context(socket.create_connection(("127.0.0.1", port)))
        upload.sendall(b"POST /upload?key=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234")
        idle = peers.enter_context(send_request(port, b"/"))
        needed.until(lambda: b"hello" in idle.recv(4096))

        def states() -> Any:
            found = {row["path"]: row["state"] for row in status.rows()}
            return len(found) == 5 and "writing paused" in found["/archive"] and found

        found = needed.until(states)
        assert found["/prices"] == "sending the response"
        assert found["/archive"].endswith("the peer does not read")
        assert found["/chat/7/"] == "open; the application waits for a message"
        assert found["/upload?…"] == "waiting for the body of the request"
        assert found[""] == "idle"

    def test_restarts(self, supervised: Callable[..., Supervised], status: Status) -> None:
        """A worker that is replaced takes no count with it; the page asks for the restart."""
        running = supervised(*status.option, application=WATCHED)
        running.wait_until_ready()
        running.until_workers(2)
        for _ in range(7):
            fetched(running.port, "/")
        assert status.act("restart") == 202
        running.until_workers(2, generation=2)
        assert "The status page asks for: restart" in running.log
        for _ in range(5):
            fetched(running.port, "/")
        needed.until(lambda: _with_totals(status, requests=12))
        present = status.present()
        assert present["generation"] == 2
        assert [worker["generation"] for worker in present["workers"]] == [2, 2]


def _with_totals(status: Status, **wanted: int) -> Any:
    totals = status.present()["totals"]
    return all(totals[name] == value for name, value in wanted.items()) and totals


class TestStuck:
    """What waits, and where."""

    def test_a_lock(
        self, supervised: Callable[..., Supervised], status: Status, peers: contextlib.ExitStack
    ) -> None:
        """A consumer that awaits a lock for ever: class, file, line and source line."""
        running = supervised(*status.option, workers="1", application=WATCHED)
        running.wait_until_ready()
        for message in ("lost", "mine", "yours"):
            peer = peers.enter_context(open_websocket(running.port, b"/pay/", message, "again"))
            if message == "lost":
                needed.until(lambda peer=peer: b"no such" in peer.recv(4096))
        rows = needed.until(
            lambda: (found := status.rows("Ledger.pay")) and len(found) == 3 and found
        )
        where = rows[0]["where"]
        assert where.startswith("Ledger.pay waits at ")
        assert "watched.py:" in where
        assert where.endswith(": await self.lock.acquire()")
        assert any("PaymentConsumer.receive" in line for line in rows[0]["stack"])
        needed.until(lambda: status.present()["last_minute"] and _slow(status) >= 2)

    def test_a_wedged_worker(
        self, supervised: Callable[..., Supervised], status: Status, peers: contextlib.ExitStack
    ) -> None:
        """The page answers, says which worker is blocked, and shows its threads."""
        running = supervised(*status.option, application=WATCHED)
        running.wait_until_ready()
        running.until_workers(2)
        peers.enter_context(send_request(running.port, b"/report"))
        (slot,) = needed.until(lambda: _blocked(status))
        found = status.ask("/instances.json").json
        assert [silent["worker"] for silent in found["silent"]] == [slot]
        text = status.ask(f"/threads.json?worker={slot}").json["text"]
        assert "watched.py" in text
        assert "in serve_report" in text
        assert status.ask("/readyz").status == 200
        asked = _command("stacks", f"127.0.0.1:{status.port}")
        assert f"Worker {slot} does not answer" in asked.stdout
        assert "in serve_report" in asked.stdout
        running.signal(signal.SIGUSR2)
        running.wait_for(r"is blocked:\n(?:.*\n)*.*in serve_report")
        running.signal(signal.SIGKILL)  # nobody waits for twenty seconds
        running.ended()

    def test_sigusr2(
        self, program: Callable[..., Running], status: Status, peers: contextlib.ExitStack
    ) -> None:
        """Two instances at one place are told together, by one process and by workers."""
        for more in ([], ["--workers", "1"]):
            running = program("-p", "0", *more, WATCHED).wait_until_ready()
            lost = peers.enter_context(open_websocket(running.port, b"/pay/", "lost"))
            needed.until(lambda lost=lost: b"no such" in lost.recv(4096))
            for _ in range(2):
                peers.enter_context(open_websocket(running.port, b"/pay/", "mine"))
            peer = peers.enter_context(open_websocket(running.port, b"/chat/1/", "hello"))
            needed.until(lambda peer=peer: b"hello" in peer.recv(4096))
            running.signal(signal.SIGUSR2)
            running.wait_for(r"4 application instances:")
            running.wait_for(r"in Ledger.pay: await self.lock.acquire\(\)")
            running.stop()


def _blocked(status: Status) -> list[int]:
    return [one["slot"] for one in status.present()["workers"] if one["blocked"] is not None]


def _slow(status: Status) -> int:
    last = status.present()["last_second"]
    return last["slow"] if last else 0


def _command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=DEADLINE,
        env={**os.environ, **environment}, check=False, cwd=PROJECTS,
    )  # fmt: skip


class TestEnds:
    """The start and the stop."""

    @pytest.mark.parametrize("more", [[], ["--workers", "2"]], ids=["one", "workers"])
    def test_drain(
        self, program: Callable[..., Running], status: Status, more: list[str],
        peers: contextlib.ExitStack,
    ) -> None:  # fmt: skip
        """503 from the first moment of a drain; when the last request is over, nobody listens."""
        options = [*more, *status.option, "--shutdown-delay", "1", WATCHED]
        running = program("-p", "0", *options).wait_until_ready()
        status.until_ready()
        archive = peers.enter_context(send_request(running.port, b"/prices"))
        needed.until(lambda: b"data" in archive.recv(4096))
        assert status.ask("/readyz").body == b"ready\n"
        assert status.act("drain") == 202
        needed.until(lambda: status.ask("/readyz").status == 503)
        assert status.ask("/readyz?draining=404").status == 404
        assert status.ask("/livez").status == 200
        assert status.present()["stopping"] is True
        archive.close()
        assert running.ended() == 0
        with pytest.raises(OSError):
            status.ask("/livez")

    def test_ready_workers(self, program: Callable[..., Running], status: Status) -> None:
        """Not ready until as many workers are; the page answers from the beginning."""
        running = program(
            "-p", "0", "--workers", "2", "--ready-workers", "2", *status.option,
            "operated:application", environment={"IMPORT_SECONDS": "1"},
        )  # fmt: skip
        needed.until(lambda: _answers(status))
        assert status.ask("/readyz").status == 503
        status.until_ready()
        workers = status.present()["workers"]
        assert [worker["state"] for worker in workers] == ["ready", "ready"]
        running.wait_until_ready()

    def test_more_ready_workers_than_there_are(self) -> None:
        """A server that would never be ready does not start."""
        options = ["--workers", "2", "--ready-workers", "3", "--status", "unix:nowhere.sock"]
        ended = _command("-p", "0", *options, WATCHED)
        assert (ended.returncode, "at most 2" in ended.stderr) == (2, True)

    def test_readiness_path(self, program: Callable[..., Running]) -> None:
        """On the application's port, answered before the application; 503 while it drains."""
        options = ["--readiness-path", "/ready", "--shutdown-delay", "2", WATCHED]
        running = program("-p", "0", *options).wait_until_ready()
        assert fetched(running.port, "/ready").endswith(b"\r\n\r\nready\n")
        assert fetched(running.port, "/").endswith(b"hello\n")
        running.signal()
        needed.until(lambda: b" 503 " in fetched(running.port, "/ready").split(b"\r\n")[0])
        assert running.ended() == 0

    def test_unix_socket(self, program: Callable[..., Running], tmp_path: Path) -> None:
        """It is for its owner alone, both commands ask it, and it goes with the server."""
        path = tmp_path / "status.sock"
        running = program("-p", "0", "--status", f"unix:{path}", WATCHED).wait_until_ready()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        found = _command("status", str(path))
        assert "ready: 1/1 worker" in found.stdout, found.stderr
        assert _command("stacks", f"unix:{path}").returncode == 0
        running.signal()
        assert running.ended() == 0
        assert not path.exists()

    @pytest.mark.parametrize("more", [[], ["--workers", "1"]], ids=["one", "workers"])
    @pytest.mark.parametrize(
        ("options", "sentence", "code"),
        [
            (["--status", "tcp:0:interface=0.0.0.0"], "other machines can reach", 2),
            (["--status", "tcp:0"], "give a --status-token", 2),
            (["--status", "nonsense:1"], "nonsense", 2),
            (["--status", "tcp:0", "--status-token", "env:NOTHING"], "at least 16 characters", 2),
            (["--status-token", "env:NOTHING"], "--status-token needs --status", 2),
        ],
    )
    def test_mistakes(self, options: list[str], sentence: str, code: int, more: list[str]) -> None:
        """One sentence; nothing is served."""
        ended = _command("-p", "0", *more, *options, "watched:application")
        assert sentence in ended.stderr
        assert ended.returncode == code


def _answers(status: Status) -> bool:
    try:
        return status.ask("/livez").status == 200
    except OSError:
        return False


class TestToken:
    """On an address that others can reach."""

    def test_the_documented_command(self, tmp_path: Path) -> None:
        """What docs/howto/observe.rst says makes a token of 256 bits, as its file holds it."""
        page = (ROOT / "docs" / "howto" / "observe.rst").read_text()
        (command,) = re.findall(r"\$ (python -c 'import secrets.*)", page)
        path = tmp_path / "status-token"
        command = command.replace("python", sys.executable, 1)
        command = command.replace("/etc/site/status-token", str(path))
        subprocess.run(command, shell=True, check=True)
        assert len(read_token(f"file:{path}")) == 43

    def test_token(self, program: Callable[..., Running]) -> None:
        """Nothing but the probes answers without it, the commands take it, no log has it."""
        port = free_port()
        running = program(
            "-p", "0", "-v", "2", "--status", f"tcp:{port}", "--status-token", "env:STATUS",
            WATCHED, environment={"STATUS": TOKEN},
        ).wait_until_ready()  # fmt: skip
        outside = Status(port)
        assert outside.ask("/").status == 401
        assert outside.ask(f"/status.json?token={TOKEN}").status == 401
        assert outside.ask("/livez").status == 200
        assert Status(port, Authorization=f"Bearer {TOKEN}").present()["schema"] == 1
        refused = _command("status", f"localhost:{port}")
        assert (refused.returncode, "status 401" in refused.stderr) == (1, True)
        found = _command("status", f"http://localhost:{port}/", "--token", "env:S", S=TOKEN)
        assert "ready" in found.stdout, found.stderr
        log = running.stop()
        assert "Bearer" not in log

    def test_rebinding(self, server: Callable[..., Running], status: Status) -> None:
        """A page of another site reaches it by no name, and cannot act."""
        server(WATCHED, *status.option)
        assert status.ask("/status.json", Host="evil.example").status == 403
        action = {"X-Daphne-Like-Action": "drain"}
        assert status.ask("/drain", "POST", Origin="http://evil.example", **action).status == 403
        assert status.ask("/drain", "POST").status == 403
        assert status.ask("/drain", **action).status == 405
        assert status.ask("/readyz").status == 200


class TestCommands:
    """`daphne-like status` and `daphne-like stacks`."""

    def test_nobody_answers(self) -> None:
        ended = _command("status", f"127.0.0.1:{free_port()}")
        assert (ended.returncode, "does not answer" in ended.stderr) == (1, True)

    def test_another_server(self, server: Callable[..., Running]) -> None:
        running = server(WATCHED)
        ended = _command("status", f"127.0.0.1:{running.port}")
        assert ended.returncode == 1

    def test_no_target(self) -> None:
        ended = _command("stacks", "http://[x")
        assert (ended.returncode, "neither a UNIX socket" in ended.stderr) == (2, True)

    def test_an_application_of_that_name(
        self, tmp_path: Path, program: Callable[..., Running]
    ) -> None:
        """A module `status` is served under its full name."""
        (tmp_path / "status.py").write_text(
            "async def application(scope, receive, send):\n"
            "    await send({'type': 'http.response.start', 'status': 200})\n"
            "    await send({'type': 'http.response.body', 'body': b'mine'})\n"
        )
        running = program("-p", "0", "status:application", cwd=tmp_path).wait_until_ready()
        assert fetched(running.port, "/").endswith(b"mine")
