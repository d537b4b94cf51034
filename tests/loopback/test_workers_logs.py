"""The logs of two workers and their supervisor."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import needed
from tests.support.constant_load import Load
from tests.support.real_server import DEADLINE
from tests.support.supervised import Supervised
from tests.support.websocket_opcodes import CLOSE
from tests.support.websocket_peer import Peer, frame

Start = Callable[..., Supervised]


def objects(path: Path) -> list[dict[str, Any]]:
    """The lines of an access log in JSON; each must be whole."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class TestAccessLog:
    """One file for all workers."""

    def test_every_request_has_a_whole_line(self, supervised: Start, tmp_path: Path) -> None:
        """The lines of both workers agree with what their client has counted."""
        path = tmp_path / "access.log"
        running = supervised("--log-format", "json", "--access-log", str(path))
        running.until_workers(2)
        asked = 200
        for number in range(asked):
            running.ask(f"/ends?n={number}")
        running.serving(2)
        running.signal()
        assert running.ended() == 0
        lines = objects(path)
        numbers = [line["url.query"][2:] for line in lines if line["url.path"] == "/ends"]
        assert sorted(map(int, numbers)) == list(range(asked))
        assert {line["daphne_like.process"] for line in lines} == {"worker 1", "worker 2"}
        assert len({line["request_id"] for line in lines}) == len(lines)

    def test_agrees_with_a_load(self, supervised: Start, tmp_path: Path) -> None:
        """Over HTTP/1.1, HTTP/2 and WebSockets the lines are as many as what clients have seen."""
        path = tmp_path / "access.log"
        running = supervised("--access-log-format", "json", "--access-log", str(path))
        running.until_workers(2)
        with Load(("127.0.0.1", running.port), streams=2) as load:
            needed.until(lambda: load.answered >= 300, DEADLINE)
        for _ in range(3):
            with running.connect() as connection:
                peer = Peer(connection).open()
                peer.frame()  # the process that serves
                peer.sends(frame(CLOSE, b"\x03\xe8"))
                assert peer.frame().opcode == CLOSE
        running.signal()
        assert running.ended() == 0
        assert load.failures == {}
        lines = objects(path)
        by_version = Counter(line["network.protocol.version"] for line in lines)
        sockets = [line for line in lines if line["http.response.status_code"] == 101]
        assert len(lines) - len(sockets) == load.answered
        assert [line["daphne_like.close_code"] for line in sockets] == [1000] * 3
        assert by_version["2"] > 0
        assert by_version["1.1"] > 0

    def test_rotation_by_signal(self, supervised: Start, tmp_path: Path) -> None:
        """SIGUSR1 to the supervisor reaches every worker."""
        path, old = tmp_path / "access.log", tmp_path / "access.log.1"
        running = supervised("--access-log", str(path))
        running.until_workers(2)
        running.serving(2)
        needed.until(lambda: path.exists() and path.read_text(), DEADLINE)
        path.rename(old)
        running.signal(signal.SIGUSR1)
        needed.until(path.exists, DEADLINE)
        running.ask("/?after")
        needed.until(lambda: "/?after" in path.read_text(), DEADLINE)
        assert "/?after" not in old.read_text()


class TestLog:
    """The log on standard error."""

    def test_json(self, supervised: Start) -> None:
        """Every line of supervisor and workers is an object that names its process."""
        running = supervised("--log-format", "json", "--access-log", "/dev/null")
        running.wait_for("with 2 workers")
        running.signal()
        assert running.ended() == 0
        lines = [json.loads(line) for line in running.log.splitlines()]
        stopped = [
            line.get("daphne_like.process") for line in lines if line["message"] == "Stopped"
        ]
        assert sorted(map(str, stopped)) == ["None", "worker 1", "worker 2"]

    def test_mistake_in_the_format(self, supervised: Start) -> None:
        """One sentence and exit status 2, as without workers."""
        running = supervised("--access-log-format", "%(nothing)s", ready=False)
        assert running.ended() == 2
        assert "--access-log-format: there is no atom %(nothing)s" in running.log
        assert "Traceback" not in running.log
