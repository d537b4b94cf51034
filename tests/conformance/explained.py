"""The cases in which we deviate from a "should" on purpose, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping

AT_ONCE = (
    "A message and a frame that breaks the rules come together. The suite would like to see the "
    "application's answer to the message before the close frame; the connection fails at once "
    "(RFC 6455, 7.1.7), and does not wait for an application that may never answer."
)

EXPLAINED: Mapping[str, str] = dict.fromkeys(
    ("3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"), AT_ONCE
)
"""Case to reason; only NON-STRICT is excused by it."""
