"""Numbers in log lines."""

from __future__ import annotations

import pytest

from daphne_like.wording import counted


@pytest.mark.parametrize(
    ("number", "said"),
    [(1, "1 second"), (1.0, "1 second"), (0, "0 seconds"), (0.5, "0.5 seconds"), (10, "10 seconds"),
     (86400, "86400 seconds")],
)  # fmt: skip
def test_counted(number: float, said: str) -> None:
    """One is singular, all others are plural."""
    assert counted(number, "second") == said


@pytest.mark.parametrize(
    ("number", "said"), [(0.6, "1 second"), (1.4, "1 second"), (1.6, "2 seconds")]
)
def test_rounded(number: float, said: str) -> None:
    """What is read counts."""
    assert counted(number, "second", ".0f") == said
