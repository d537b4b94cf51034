"""The cases in which we deviate from a "should" on purpose, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping

EXPLAINED: Mapping[str, str] = {}
"""Case to reason; only NON-STRICT is excused by it."""
