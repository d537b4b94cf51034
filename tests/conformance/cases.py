"""Which cases to run: the chapters of the suite, and selections such as ``1-7,10`` or ``9.1.*``."""

from __future__ import annotations

import re
from typing import NamedTuple


class Chapter(NamedTuple):
    """A chapter of the suite.

    Attributes:
        title: says what its cases are about.
        cases: how many there are.
        large: its messages are larger than servers take by default.
        minutes: that it may last, many times what it needs on an idle machine.
    """

    title: str
    cases: int
    large: bool = False
    minutes: int = 2


# There is no chapter 8 or 11.
CHAPTERS = {
    1: Chapter("Framing", 16),
    2: Chapter("Pings and pongs", 11),
    3: Chapter("Reserved bits", 7),
    4: Chapter("Opcodes", 10),
    5: Chapter("Fragmentation", 20),
    6: Chapter("UTF-8", 145),
    7: Chapter("Closing", 37),
    9: Chapter("Limits and performance", 54, large=True, minutes=30),
    10: Chapter("Automatic fragmentation", 1),
    12: Chapter("Compression, by message", 90, minutes=60),
    13: Chapter("Compression, by parameters", 126, minutes=60),
}
QUICK = "1-7,10"

_CHAPTERS = re.compile(r"(\d+)(?:-(\d+))?")
_PATTERN = re.compile(r"\d+(\.(\d+|\*))+")


def select(text: str) -> list[str]:
    """Read a selection into the suite's own patterns.

    Args:
        text: ``all``, or chapters, ranges of chapters, cases and patterns, separated by commas.
    Returns:
        Patterns such as ``1.*`` and ``9.1.6``, in the order of the chapters.
    Raises:
        ValueError: none of the suite's; the suite itself would wait for ever, or raise.
    """
    patterns: dict[str, None] = {}
    for part in text.split(","):
        patterns |= dict.fromkeys(_patterns(part.strip()))
    return sorted(patterns, key=chapter_of)


def _patterns(part: str) -> list[str]:
    if part == "all":
        return [f"{number}.*" for number in CHAPTERS]
    if _PATTERN.fullmatch(part) and chapter_of(part) in CHAPTERS:
        return [part]
    bounds = _CHAPTERS.fullmatch(part)
    numbers: list[int] = []
    if bounds is not None:
        first, last = int(bounds[1]), int(bounds[2] or bounds[1])
        numbers = [number for number in CHAPTERS if first <= number <= last]
    if not numbers:
        known = ", ".join(map(str, CHAPTERS))
        raise ValueError(f"expected all, 1-7, 9.1.* or 9.1.6, of chapters {known}; got {part!r}")
    return [f"{number}.*" for number in numbers]


def chapter_of(case: str) -> int:
    """Return the number of the chapter that a case or pattern belongs to."""
    return int(case.partition(".")[0])


def in_order(case: str) -> tuple[int, ...]:
    """Sort key of a case: 1.2.10 comes after 1.2.9."""
    return tuple(map(int, case.split(".")))


def seconds_for(patterns: list[str]) -> int:
    """How long these patterns may take together, at most."""
    return 60 * sum(CHAPTERS[number].minutes for number in set(map(chapter_of, patterns)))
