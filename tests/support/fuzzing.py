"""How long hypothesis looks for examples."""

from __future__ import annotations

import os

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))


def examples(number: int) -> int:
    """A number of examples for the usual run: FUZZ_TIMES in the environment multiplies it."""
    return number * TIMES
