"""Limits of control groups: memory and CPUs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from daphne_like.process import cpus, memory
from daphne_like.process.cgroup import own_folders
from daphne_like.process.cpus import available_cpus, cpu_limit
from daphne_like.process.memory import available, room_for

MIB = 1 << 20


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., list[Path]]:
    """tree(group={file: text}): a tree of control groups, of which the last one is this process's.

    Returns the folders of that group.
    """

    def make(**groups: dict[str, str]) -> list[Path]:
        root = tmp_path / "root"
        root.mkdir()
        for name, files in groups.items():
            folder = root / name.replace("_", "/") if name != "top" else root
            folder.mkdir(exist_ok=True)
            for file, text in files.items():
                (folder / file).write_text(text)
        membership = tmp_path / "cgroup"
        membership.write_text(f"0::/{folder.relative_to(root)}\n")
        return list(own_folders(root, membership))

    return make


class TestFolders:
    """The group of this process and those above it."""

    @pytest.mark.parametrize(
        ("membership", "names"),
        [
            ("0::/\n", [""]),
            ("0::/a\n", ["a", ""]),
            ("0::/a/b.service/c\n", ["a/b.service/c", "a/b.service", "a", ""]),
            ("12:pids:/old\n1:name=systemd:/old\n0::/new\n", ["new", ""]),
            ("12:pids:/old\n1:name=systemd:/old\n", []),
            ("0::/../elsewhere\n", []),
            ("", []),
        ],
        ids=["root", "one", "deep", "hybrid", "version 1", "outside", "empty"],
    )
    def test_membership(self, tmp_path: Path, membership: str, names: list[str]) -> None:
        """Own group first; nothing where there is no tree of version 2."""
        (tmp_path / "cgroup").write_text(membership)
        root = tmp_path / "fs"
        found = own_folders(root, tmp_path / "cgroup")
        assert [str(folder.relative_to(root)) for folder in found] == [
            name or "." for name in names
        ]

    def test_no_proc(self, tmp_path: Path) -> None:
        """macOS."""
        assert list(own_folders(tmp_path, tmp_path / "missing")) == []


class TestCpus:
    """The CPUs that `--workers auto` counts."""

    @pytest.mark.parametrize(
        ("groups", "limit"),
        [
            ({"top": {}, "a": {"cpu.max": "150000 100000\n"}}, 1.5),
            ({"top": {}, "a": {"cpu.max": "max 100000\n"}}, None),
            ({"a": {"cpu.max": "200000 100000"}, "a_b": {"cpu.max": "max 100000"}}, 2.0),
            ({"a": {"cpu.max": "50000 100000"}, "a_b": {"cpu.max": "300000 100000"}}, 0.5),
            ({"a": {"cpu.max": "300000 100000"}, "a_b": {}}, 3.0),
            (
                {"a": {"cpu.max": "many 1"}, "a_b": {"cpu.max": "1"}, "a_b_c": {"cpu.max": "1 0"}},
                None,
            ),
        ],
        ids=["own", "none", "parent", "parent is less", "own unknown", "nonsense"],
    )
    def test_limit(
        self,
        tree: Callable[..., list[Path]],
        groups: dict[str, dict[str, str]],
        limit: float | None,
    ) -> None:
        """The least limit of all groups above applies."""
        assert cpu_limit(tree(**groups)) == limit

    @pytest.mark.parametrize(
        ("limit", "number"), [(None, 8), (2.0, 2), (1.5, 2), (0.1, 1), (100.0, 8)]
    )
    def test_affinity(
        self, monkeypatch: pytest.MonkeyPatch, limit: float | None, number: int
    ) -> None:
        """The CPUs of the affinity within the limit, rounded up, at least one."""
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
        monkeypatch.setattr(cpus, "cpu_limit", lambda _folders: limit)
        assert available_cpus() == number


class TestMemory:
    """The memory that is left for a second set of workers."""

    @pytest.mark.parametrize(
        ("groups", "left"),
        [
            ({"a": {}}, 500),
            ({"a": {"memory.max": "max\n", "memory.current": "5"}}, 500),
            ({"a": {"memory.max": f"{300 * MIB}\n", "memory.current": f"{100 * MIB}\n"}}, 200),
            ({"a": {"memory.max": f"{900 * MIB}", "memory.current": f"{100 * MIB}"}}, 500),
            (
                {
                    "a": {"memory.max": f"{300 * MIB}", "memory.current": f"{290 * MIB}"},
                    "a_b": {"memory.max": f"{200 * MIB}", "memory.current": f"{10 * MIB}"},
                },
                10,
            ),
            (
                {
                    "a": {
                        "memory.max": f"{300 * MIB}",
                        "memory.current": f"{290 * MIB}",
                        "memory.stat": f"anon 5\nactive_file 7\ninactive_file {100 * MIB}\n",
                    }
                },
                110,
            ),
            ({"a": {"memory.max": "some", "memory.current": "x"}}, 500),
        ],
        ids=["unlimited", "max", "own", "machine", "parent", "cache", "nonsense"],
    )
    def test_left(
        self,
        tree: Callable[..., list[Path]],
        tmp_path: Path,
        groups: dict[str, dict[str, str]],
        left: int,
    ) -> None:
        """The least of the machine's memory and that of each group; cached files count as free."""
        machine = tmp_path / "meminfo"
        machine.write_text(f"MemTotal: 9 kB\nMemAvailable:  {500 * 1024} kB\n")
        assert available(tree(**groups), machine) == left * MIB

    def test_unknown(self, tmp_path: Path) -> None:
        """macOS: it is not known, so there is room."""
        assert available([], tmp_path / "missing") is None

    @pytest.mark.parametrize(
        ("free", "room"), [(None, True), (22 * MIB + 1, True), (22 * MIB, False), (-5, False)]
    )
    def test_room(self, monkeypatch: pytest.MonkeyPatch, free: int | None, room: bool) -> None:
        """As much as the workers use and a tenth more; a worker that has ended uses nothing."""

        def left(_folders: Iterable[Path]) -> int | None:
            return free

        monkeypatch.setattr(memory, "available", left)
        monkeypatch.setattr(memory, "resident_memory", {1: 15 * MIB, 2: 5 * MIB}.get)
        assert room_for([1, 2, 3]) is room
