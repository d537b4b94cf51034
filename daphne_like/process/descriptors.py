"""Which descriptors a worker inherits from the supervisor, and under which numbers."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

VARIABLE = "_DAPHNE_LIKE_WORKER"
"""Environment variable that tells a worker about its descriptors; the worker removes it."""
MAX_TEXT = 65536
NUMBERS = r"[0-9]{1,7}(?:,[0-9]{1,7})*"
VALUE = re.compile(rf"{NUMBERS};(?:{NUMBERS})?;(?:{NUMBERS})?", re.ASCII)
STANDARD = 3
"""Number of standard descriptors."""


@dataclass(frozen=True)
class WorkerDescriptors:
    """The descriptors of a worker process beside the standard ones.

    Attributes:
        control: the worker's end of the control channel.
        scoreboard: the memory of the Scoreboard.
        stacks: pipe to the supervisor, to which faulthandler writes stacks.
        sockets: listening sockets, in the order in which the endpoints listen.
        kept: descriptors that have the same number as in the supervisor, because an endpoint
            string names them (`fd:`, `systemd:`).
        entry: the worker's entry on the scoreboard.
    """

    control: int
    scoreboard: int
    stacks: int
    sockets: tuple[int, ...]
    kept: tuple[int, ...]
    entry: int

    @classmethod
    def choose(cls, kept: Sequence[int], sockets: int, entry: int) -> WorkerDescriptors:
        """Choose numbers above those that are kept."""
        first = max((STANDARD - 1, *kept)) + 1
        numbers = tuple(range(first + 3, first + 3 + sockets))
        return cls(first, first + 1, first + 2, numbers, tuple(kept), entry)

    def to_text(self) -> str:
        """Return the value of the environment variable."""
        return ";".join(
            ",".join(map(str, numbers))
            for numbers in (
                (self.control, self.scoreboard, self.stacks, self.entry),
                self.sockets,
                self.kept,
            )
        )

    @classmethod
    def from_text(cls, text: str) -> WorkerDescriptors:
        """Read the value of the environment variable.

        Raises:
            ValueError: it is not such a value.
        """
        if len(text) > MAX_TEXT or not VALUE.fullmatch(text):
            raise ValueError("not the descriptors of a worker")
        single, sockets, kept = (
            tuple(map(int, filter(None, part.split(",")))) for part in text.split(";")
        )
        control, scoreboard, stacks, entry = single
        return cls(control, scoreboard, stacks, sockets, kept, entry)

    def close_on_exec(self) -> None:
        """Keep every descriptor from the processes that the application starts.

        In such a process a listening socket would keep the port in use, and the control channel
        would hide the supervisor's death.
        """
        for descriptor in (
            self.control, self.scoreboard, self.stacks, *self.sockets, *self.kept
        ):  # fmt: skip
            os.set_inheritable(descriptor, False)
