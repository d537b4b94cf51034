"""The people in the chat, their names, and the messages between them.

Messages are not stored. Nothing here depends on ASGI.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from daphne_like.demo.outbox import Outbox

MAX_PEOPLE = 200
"""Each line is sent to everybody; one core handles this many people without visible delay."""

NAMES = [
    *("Aster", "Basil", "Clover", "Dahlia", "Erica", "Fern", "Ginger", "Hazel", "Iris", "Jasmine"),
    *("Kerria", "Lily", "Mint", "Nettle", "Olive", "Poppy", "Quince", "Rose", "Sage", "Thyme"),
    *("Ulmo", "Violet", "Willow", "Yarrow"),
]
"""Names in alphabetical order, which shows the order of arrival."""

GOLDEN_ANGLE = 137.508
"""Degrees from one hue to the next, as plants place leaves: few hues are similar for any number."""

FIRST_HUE = 340.0
"""Hue of the first person, that of the demo's petals."""


def encode(kind: str, **content: object) -> str:
    """Return one message to a tab: a JSON object with its `type`.

    It is ASCII only, so that a lone surrogate in a message cannot prevent it from being sent.
    """
    return json.dumps({"type": kind, **content}, separators=(",", ":"))


@dataclass(eq=False)
class Person:
    """One tab: its number since the server started, and its queued lines."""

    number: int
    outbox: Outbox = field(repr=False)

    @property
    def name(self) -> str:
        """Name of the person: Aster to Yarrow, then Aster 2 and so on."""
        turn, place = divmod(self.number, len(NAMES))
        return f"{NAMES[place]} {turn + 1}" if turn else NAMES[place]

    @property
    def badge(self) -> dict[str, object]:
        """Name and hue for the other people; the page chooses the lightness."""
        return {"name": self.name, "hue": round(FIRST_HUE + self.number * GOLDEN_ANGLE) % 360}

    def tell(self, kind: str, **content: object) -> None:
        """Send a message to this person only."""
        self.outbox.put(encode(kind, **content))


class Room:
    """The people in one chat, in the order of their arrival.

    A room belongs to one event loop: tabs that reach different worker processes do not meet.
    """

    def __init__(self) -> None:
        self._people: list[Person] = []
        self._entered = 0

    @property
    def is_full(self) -> bool:
        """True if nobody else may enter."""
        return len(self._people) >= MAX_PEOPLE

    def enter(self) -> Person:
        """Add a person; send them their name and the people present, and tell the others."""
        newcomer = Person(self._entered, Outbox(self._describe_loss))
        self._entered += 1
        self._tell_all("joined", **newcomer.badge)
        self._people.append(newcomer)
        newcomer.tell("welcome", **newcomer.badge, people=self._badges())
        return newcomer

    def leave(self, person: Person) -> None:
        """Remove a person and tell the others."""
        self._people.remove(person)
        self._tell_all("left", **person.badge)

    def say(self, person: Person, text: str) -> None:
        """Send a person's text to everybody, the speaker included."""
        self._tell_all("said", **person.badge, text=text)

    def _tell_all(self, kind: str, **content: object) -> None:
        line = encode(kind, **content)  # encoded once; the queues share one string
        for person in self._people:
            person.outbox.put(line)

    def _describe_loss(self, count: int) -> str:
        """Return a message for a tab that has lost lines.

        It lists the people present, because a lost line may have reported an arrival or departure.
        """
        return encode("missed", count=count, people=self._badges())

    def _badges(self) -> list[dict[str, object]]:
        return [person.badge for person in self._people]
