"""Describes where all application instances wait, those at the same place together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from daphne_like.observe.stacks.waiting import stuck_at
from daphne_like.wording import counted, escaped

MAX_INSTANCES = 2000
"""Instances that are looked at; it takes a tenth of a millisecond each. The oldest come first."""
MAX_NAMED = 3
MAX_PLACES = 100


def describe_instances(running: Mapping[Any, asyncio.Task[Any]], now: float) -> str:
    """Return a text with the stack of each place where instances wait, crowded places first.

    Args:
        running: exchange or session -> the task of its instance, the oldest first.
        now: time by the clock of the instances.
    """
    places: dict[str, list[Any]] = {}
    for owner, task in list(running.items())[:MAX_INSTANCES]:
        _where, stack = stuck_at(task)
        places.setdefault(stack, []).append(owner)
    shown = sorted(places.items(), key=lambda place: -len(place[1]))[:MAX_PLACES]
    parts = [f"{counted(len(running), 'application instance')}:"]
    parts.extend(f"{_names(owners, now)}\n{stack or '  (it runs)'}" for stack, owners in shown)
    looked_at = sum(len(owners) for _stack, owners in shown)
    if looked_at < len(running):
        parts.append(f"and {len(running) - looked_at} others")
    return escaped("\n".join(parts))


def _names(owners: list[Any], now: float) -> str:
    names = [f"{owner}{_age(owner, now)}" for owner in owners[:MAX_NAMED]]
    more = len(owners) - len(names)
    return "\n".join(
        [*names, *([f"and {counted(more, 'instance')} at the same place"] * bool(more))]
    )


def _age(owner: Any, now: float) -> str:
    started = getattr(owner, "started", 0.0)  # known if somebody observes
    return f", {now - started:.1f} s old" if started else ""
