"""The end of a worker process, in words."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from daphne_like.process.endings import STATUSES, count_memory_kills, describe_ending, signal_name

USUAL: dict[str, Any] = {
    "age": 3.14159,
    "requests": 2,
    "resident": 50 << 20,
    "killed_by_us": False,
}
AFTER = " after 3.1 seconds, 2 requests, 50 MiB of memory"


class TestWords:
    """Each kind of end has its own words."""

    @pytest.mark.parametrize(
        ("status", "number", "words"),
        [
            (0, None, "has ended with status 0"),
            (1, None, "has ended with status 1 (it could not listen, or was ended)"),
            (2, None, f"has ended with status 2 ({STATUSES[2]})"),
            (3, None, "has ended with status 3 (the application's startup failed)"),
            (77, None, "has ended with status 77"),
            (None, None, "has ended with status None"),
            (None, signal.SIGSEGV, "was ended by SIGSEGV"),
            (None, signal.SIGABRT, "was ended by SIGABRT"),
            (None, 63, "was ended by signal 63"),
            (None, signal.SIGKILL, "was ended by SIGKILL: perhaps by the kernel's OOM killer"),
        ],
    )
    def test_endings(self, status: int | None, number: int | None, words: str) -> None:
        """Status or signal, age, requests, memory."""
        assert describe_ending(status, number, **USUAL) == words + AFTER

    def test_killed_by_the_supervisor(self) -> None:
        """The kernel is not suspected."""
        ending = describe_ending(None, signal.SIGKILL, **{**USUAL, "killed_by_us": True})
        assert ending == "was ended by SIGKILL" + AFTER

    def test_killed_for_want_of_memory(self) -> None:
        """The control group has counted it, so that it is no guess."""
        ending = describe_ending(None, signal.SIGKILL, **USUAL, memory_kills=1)
        assert ending == "was ended by SIGKILL: by the kernel, which was out of memory" + AFTER

    def test_another_signal_while_the_memory_was_short(self) -> None:
        """The kernel uses SIGKILL only."""
        ending = describe_ending(None, signal.SIGTERM, **USUAL, memory_kills=1)
        assert ending == "was ended by SIGTERM" + AFTER

    def test_memory_that_is_not_known(self) -> None:
        """It is left out; one request is not several."""
        ending = describe_ending(0, None, age=1, requests=1, resident=None, killed_by_us=False)
        assert ending == "has ended with status 0 after 1.0 seconds, 1 request"

    @pytest.mark.parametrize(
        ("number", "name"), [(15, "SIGTERM"), (0, "signal 0"), (200, "signal 200")]
    )
    def test_signal_names(self, number: int, name: str) -> None:
        """A number without a name is told as a number."""
        assert signal_name(number) == name


class TestMemoryKills:
    """The kernel's count of the processes that it has killed for want of memory."""

    @pytest.mark.parametrize(
        ("events", "number"),
        [
            ("low 0\nhigh 0\nmax 5\noom 2\noom_kill 3\noom_group_kill 0\n", 3),
            ("low 0\noom 7\n", 0),
            ("oom_kill many\n", 0),
            ("oom_kill\n", 0),
            ("", 0),
        ],
    )
    def test_counts(self, tmp_path: Path, events: str, number: int) -> None:
        """Only `oom_kill` counts, and only a number."""
        (tmp_path / "memory.events").write_text(events)
        assert count_memory_kills(lambda: iter([tmp_path])) == number

    def test_unknown(self, tmp_path: Path) -> None:
        """No control group, or one whose root has no such file."""
        assert count_memory_kills(lambda: iter([])) == 0
        assert count_memory_kills(lambda: iter([tmp_path])) == 0
