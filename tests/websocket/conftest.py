"""Fixtures for tests of WebSockets."""

from __future__ import annotations

import pytest

from tests.support.applications import DATE


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Date field does not move."""
    monkeypatch.setattr("daphne_like.runtime.default_fields.date_line", lambda seconds: DATE)
