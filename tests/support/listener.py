"""An observer that remembers what it is told."""

from __future__ import annotations

from typing import Any

from daphne_like.observe.observer import EVENTS, Observer


class Listener(Observer):
    """Remembers each event: its name, protocols of connections, numbers and texts."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    @property
    def names(self) -> list[str]:
        return [event[0] for event in self.events]


def _remember(name: str) -> Any:
    def tell(self: Listener, *args: Any) -> None:
        shown = [getattr(one, "protocol_name", one) for one in args]
        plain = [one for one in shown if isinstance(one, (str, int, float))]
        self.events.append((name, *plain))

    return tell


for _name in EVENTS:
    setattr(Listener, _name, _remember(_name))
