"""The descriptors that a worker inherits."""

from __future__ import annotations

import os

import pytest

from daphne_like.process.descriptors import WorkerDescriptors


class TestNumbers:
    """Which numbers are chosen."""

    def test_usual(self) -> None:
        """Behind the standard ones."""
        assert WorkerDescriptors.choose([], 2, 7) == WorkerDescriptors(3, 4, 5, (6, 7), (), 7)

    @pytest.mark.parametrize("kept", [[3], [3, 4], [9, 3], [0]])
    def test_numbers_that_are_taken(self, kept: list[int]) -> None:
        """Those of systemd's sockets, which keep theirs, are left to them."""
        chosen = WorkerDescriptors.choose(kept, 3, 0)
        numbers = [chosen.control, chosen.scoreboard, chosen.stacks, *chosen.sockets]
        assert len(set(numbers)) == 6
        assert min(numbers) == max(2, *kept) + 1


class TestText:
    """The value of the environment variable."""

    @pytest.mark.parametrize(
        "descriptors",
        [
            WorkerDescriptors(3, 4, 5, (), (), 0),
            WorkerDescriptors(3, 4, 5, (6,), (), 1023),
            WorkerDescriptors(7, 8, 9, (10, 11, 12), (3, 4), 1),
            WorkerDescriptors.choose(range(3, 900), 300, 5),
        ],
    )
    def test_round_trip(self, descriptors: WorkerDescriptors) -> None:
        """What the supervisor writes, the worker reads."""
        assert WorkerDescriptors.from_text(descriptors.to_text()) == descriptors

    @pytest.mark.parametrize(
        "text",
        [
            "",
            ";;",
            "3,4,5;;",
            "3,4,5,6,7;;",
            "3,4,5,6;",
            "3,4,5,6;;;",
            "3,4,5,-6;;",
            "3,4,5,+6;;",
            "3,4,5, 6;;",
            "3,4,5,1_0;;",
            "3,4,5,\u0663;;",
            "3,4,5,6;x;",
            "3,4,5,6;,;",
            "3,4,5,6;;\n",
            "3,4,5," + "9" * 5000 + ";;",
            "3,4,5,6;" + "7," * 100_000 + "8;",
        ],
    )
    def test_hostile_text(self, text: str) -> None:
        """Anything else is no such value."""
        with pytest.raises(ValueError, match=r"descriptors|unpack"):
            WorkerDescriptors.from_text(text)


def test_close_on_exec() -> None:
    """No program that the application starts inherits one of them."""
    pairs = [os.pipe() for _ in range(3)]
    numbers = [number for pair in pairs for number in pair]
    try:
        for number in numbers:
            os.set_inheritable(number, True)
        control, scoreboard, stacks, *rest = numbers
        found = WorkerDescriptors(control, scoreboard, stacks, tuple(rest[:2]), tuple(rest[2:]), 0)
        found.close_on_exec()
        assert not any(map(os.get_inheritable, numbers))
    finally:
        for number in numbers:
            os.close(number)
