"""Fixtures for tests of WebSockets."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def still(fixed_date: None) -> None:
    """The Date field does not move."""
