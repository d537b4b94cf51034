"""A worker's side of the start."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daphne_like.cli import CommandLineInterface
from daphne_like.exceptions import ConfigurationError
from daphne_like.options import Options
from daphne_like.process import process_name
from daphne_like.process.configuration import WorkerConfiguration
from daphne_like.process.control import FROM_WORKER, parse, to_line
from daphne_like.process.descriptors import VARIABLE, WorkerDescriptors
from daphne_like.process.scoreboard import create_memory
from daphne_like.process.worker import Worker, command_class, enter_release, main, to_options


class TestOptions:
    """Options as the supervisor sends them."""

    @pytest.mark.parametrize(
        "options",
        [
            Options(),
            Options(workers=2, max_rss=5, worker_timeout=None, host="127.0.0.1", port=0),
            Options(endpoints=("tcp:80", "unix:/run/s"), trusted_proxies=("10.0.0.0/8", "::1")),
        ],
        ids=["default", "workers", "lists"],
    )
    def test_round_trip(self, options: Options) -> None:
        """A worker has the supervisor's options, lists and missing limits included."""
        configuration = WorkerConfiguration("main:app", options, "a:b", (), (), 1)
        message = json.loads(json.dumps(configuration.to_message()))
        assert to_options(message["options"]) == options

    def test_options_of_another_version(self) -> None:
        """An option that this version does not have is left out."""
        assert to_options({"workers": 3, "later": [1]}) == Options(workers=3)


def test_command() -> None:
    """The command may be a subclass, in a module or within another class."""
    found = command_class(f"{CommandLineInterface.__module__}:CommandLineInterface")
    assert found is CommandLineInterface


def test_by_hand(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a supervisor there is nothing to serve on: one sentence, and no more."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert main() == 2
    assert capsys.readouterr().err.count("\n") == 1


class TestConfiguration:
    """The supervisor's first message, before the event loop runs."""

    @pytest.fixture
    def supervisor(self) -> Iterator[socket.socket]:
        """Return the supervisor's end of the channel."""
        self.ours, self.theirs = socket.socketpair()
        self.memory = create_memory()
        with self.ours, self.theirs:
            self.ours.settimeout(2)
            yield self.ours
        os.close(self.memory)

    def worker(self, monkeypatch: pytest.MonkeyPatch) -> Worker:
        """Return a worker on the other end."""
        monkeypatch.setattr(process_name, "set_name", lambda name: None)
        descriptors = WorkerDescriptors(self.theirs.fileno(), self.memory, 5, (), (), 0)
        return Worker(descriptors, "1", "1")

    def test_message(self, supervisor: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
        """The worker says hello; what follows the line is left to the event loop."""
        line = to_line("configuration", options={"workers": 2}, application="a:b", command="c:d")
        supervisor.sendall(line + to_line("force"))
        message = self.worker(monkeypatch).receive_configuration()
        assert message["options"] == {"workers": 2}
        assert parse(supervisor.recv(4096).strip(), FROM_WORKER) is not None
        assert self.theirs.recv(4096) == to_line("force")

    @pytest.mark.parametrize(
        ("octets", "sentence"),
        [
            (b"", "has closed the control channel"),
            (b'{"v": 1', "has closed the control channel"),
            (b"hello\n", "first message: a line that is not JSON: b'hello"),
            (b'{"v": 2}\n', "first message: not a message of version 1"),
            (to_line("force"), "has sent no configuration"),
            (to_line("later"), "has sent no configuration"),
        ],
    )
    def test_no_message(
        self,
        supervisor: socket.socket,
        monkeypatch: pytest.MonkeyPatch,
        octets: bytes,
        sentence: str,
    ) -> None:
        """One sentence, whatever comes instead."""
        supervisor.sendall(octets)
        supervisor.shutdown(socket.SHUT_WR)
        with pytest.raises(ConfigurationError, match=re.escape(sentence)):
            self.worker(monkeypatch).receive_configuration()

    def test_failure(self, supervisor: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
        """A long traceback arrives with its end, which names the error."""
        error = ConfigurationError("no settings", detail="é" * 10**6 + "KeyError: 'x'")
        worker = self.worker(monkeypatch)
        received: list[bytes] = []

        def read() -> None:
            while data := supervisor.recv(65536):
                received.append(data)
                if data.endswith(b"\n"):
                    return

        reader = threading.Thread(target=read)
        reader.start()
        worker.fail(error)
        reader.join(5)
        message = parse(b"".join(received).strip(), FROM_WORKER)
        assert message is not None
        assert (message["sentence"], message["status"]) == ("no settings", 2)
        assert message["detail"].endswith("éKeyError: 'x'")


class TestDirectory:
    """The directory of the present release."""

    @pytest.fixture(autouse=True)
    def releases(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Start in the old release; the link names the new one."""
        for name in ("old", "new"):
            (tmp_path / name).mkdir()
        (tmp_path / "current").symlink_to("new")
        monkeypatch.chdir(tmp_path / "old")
        monkeypatch.setattr(sys, "path", [str(tmp_path / "old"), "/elsewhere"])

    def test_the_link_is_followed(self, tmp_path: Path) -> None:
        """The application is imported from the new release, too."""
        enter_release(str(tmp_path / "current"))
        assert os.getcwd() == str(tmp_path / "new")
        assert sys.path == [str(tmp_path / "current"), "/elsewhere"]

    def test_another_search_path(self, tmp_path: Path) -> None:
        """With `python -P` the working directory is not searched."""
        sys.path.pop(0)
        enter_release(str(tmp_path / "current"))
        assert sys.path == ["/elsewhere"]

    def test_a_release_that_has_been_removed(self, tmp_path: Path) -> None:
        """A deployment that removes the supervisor's directory does not stop new workers."""
        (tmp_path / "old").rmdir()
        enter_release(str(tmp_path / "current"))
        assert os.getcwd() == str(tmp_path / "new")

    def test_a_broken_link(self, tmp_path: Path) -> None:
        """One sentence, as for every wrong configuration."""
        (tmp_path / "new").rmdir()
        with pytest.raises(ConfigurationError, match="current: No such file or directory"):
            enter_release(str(tmp_path / "current"))
