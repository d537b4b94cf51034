"""The start of a worker process: command line, environment, descriptors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daphne_like.process.descriptors import VARIABLE, WorkerDescriptors
from daphne_like.process.spawning import Inheritance, command_line, spawn, working_directory
from daphne_like.process.worker_process import WorkerProcess
from tests.support.worker_processes import PlayedReactor, PlayedWorker, Supervision


class TestCommandLine:
    """What a list of processes shows."""

    def test_words(self) -> None:
        """This interpreter, the module, then the words."""
        line = command_line(["slot=1/2", "main:app"])
        assert line[0] == sys.executable
        assert line[-4:] == ["-m", "daphne_like.process.worker", "slot=1/2", "main:app"]

    @pytest.mark.real
    def test_options_of_the_interpreter(self) -> None:
        """A worker runs with the same options: -W, -X, -O, -B, -I."""
        program = (
            "import json; from daphne_like.process.spawning import command_line\n"
            "print(json.dumps(command_line([])))"
        )
        flags = ["-B", "-O", "-Werror", "-Xutf8"]
        run = subprocess.run(
            [sys.executable, *flags, "-c", program], capture_output=True, check=True
        )
        found = json.loads(run.stdout)
        assert set(flags) - {"-Xutf8"} < set(found)
        assert "utf8" in str(found)


class TestWorkingDirectory:
    """The name by which a worker finds the present release."""

    @pytest.fixture
    def link(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Return a symbolic link to the present directory, as a deployment makes one."""
        for release in ("1", "2"):
            (tmp_path / release).mkdir()
        link = tmp_path / "current"
        link.symlink_to("1")
        monkeypatch.chdir(link)
        monkeypatch.setenv("PWD", str(link))
        return link

    def test_a_link(self, link: Path) -> None:
        """The name that the operator has used, not the directory that it names today."""
        assert working_directory() == str(link)
        assert os.getcwd() == str(link.parent / "1")

    @pytest.mark.parametrize("name", ["", ".", "1", "/", "/nowhere/at/all", "\0"])
    def test_another_name(self, link: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """PWD names something else, because a program has changed the directory."""
        monkeypatch.setattr(os, "environ", {**os.environ, "PWD": name})
        assert working_directory() == str(link.parent / "1")

    def test_no_name(self, link: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a shell there may be no PWD."""
        monkeypatch.delenv("PWD")
        assert working_directory() == str(link.parent / "1")

    def test_a_link_that_has_changed(self, link: Path) -> None:
        """It must be asked before: afterwards the name does not fit any more."""
        link.unlink()
        link.symlink_to("2")
        assert working_directory() == str(link.parent / "1")


class RecordingReactor(PlayedReactor):
    """A reactor that keeps what it was told about processes."""

    def __init__(self) -> None:
        super().__init__()
        self.settings: list[dict[str, Any]] = []

    def spawnProcess(
        self, protocol: Any, executable: str, arguments: Any, **settings: Any
    ) -> PlayedWorker:
        self.settings.append(settings)
        return super().spawnProcess(protocol, executable, arguments, **settings)


class TestDescriptors:
    """Which descriptors a worker gets."""

    def spawn(self, supervision: Supervision, **settings: Any) -> dict[str, Any]:
        """Start one more worker with some sockets; return how."""
        reactor = RecordingReactor()
        worker: WorkerProcess | None = supervision.supervisor.slots[1].worker
        assert worker is not None
        spawn(
            reactor,
            worker,
            worker.control,
            ["slot=1/1"],
            Inheritance([50, 51], {3: 60, 4: 50}),
            supervision.supervisor._scoreboard.descriptor,
            7,
            **settings,
        )
        return reactor.settings[0]

    def test_mapping(self, starting: Callable[..., Supervision]) -> None:
        """Standard ones, those that keep their numbers, then ours behind them."""
        settings = self.spawn(starting(1))
        numbers = WorkerDescriptors.from_text(settings["env"][VARIABLE])
        assert numbers == WorkerDescriptors(5, 6, 7, (8, 9), (3, 4), 7)
        found = settings["childFDs"]
        assert sorted(found) == list(range(10))
        assert [found[number] for number in (0, 1, 2, 3, 4, 8, 9)] == [0, 1, 2, 60, 50, 50, 51]
        assert found[numbers.stacks] == "r"
        # A process of its own directory or user would be forked, not spawned, by Twisted.
        assert settings["path"] is None
        assert not {"uid", "gid"} & set(settings)

    def test_captured_output(self, starting: Callable[..., Supervision]) -> None:
        """Under twistd the supervisor reads what workers print."""
        found = self.spawn(starting(1), captures_output=True)["childFDs"]
        assert [found[number] for number in (0, 1, 2)] == [0, "r", "r"]

    @pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
    def test_nothing_stays_open(self, starting: Callable[..., Supervision]) -> None:
        """The supervisor's copies of a channel are closed, also after a start that failed."""
        supervision = starting(1)
        before = open_sockets()
        self.spawn(supervision)
        supervision.make_ready()
        supervision.reactor.full = [OSError(11, "no room")] * 3
        supervision.started[0].exit(1)
        supervision.pass_time(20)
        assert supervision.reactor.full == []
        assert open_sockets() == before


def open_sockets() -> set[str]:
    """Return the names of the sockets that this process has open."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        try:
            found.add(os.readlink(path))
        except OSError:
            continue  # the folder itself, while it was read
    return {name for name in found if name.startswith("socket:")}
