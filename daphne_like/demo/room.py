"""Who is in the chat, what they are called, and what all of them hear of each other.

Nothing that was said is kept. No ASGI here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from daphne_like.demo.outbox import Outbox

MAX_PEOPLE = 200
"""Each line said is sent to everybody: what one core does without anybody's noticing."""

NAMES = [
    *("Aster", "Basil", "Clover", "Dahlia", "Erica", "Fern", "Ginger", "Hazel", "Iris", "Jasmine"),
    *("Kerria", "Lily", "Mint", "Nettle", "Olive", "Poppy", "Quince", "Rose", "Sage", "Thyme"),
    *("Ulmo", "Violet", "Willow", "Yarrow"),
]
"""In alphabetical order, so that one can tell who came first."""

GOLDEN_ANGLE = 137.508
"""Degrees from one hue to the next, as plants place leaves: however many come, few are alike."""

FIRST_HUE = 340.0
"""The first person's: that of the demo's petals."""


def encode(kind: str, **content: object) -> str:
    """One message to a tab: a JSON object with its `type`.

    ASCII only, so that a lone surrogate in what somebody said cannot stop it from being sent.
    """
    return json.dumps({"type": kind, **content}, separators=(",", ":"))


@dataclass(eq=False)
class Person:
    """One tab: its number since the server started, and what is on its way to it."""

    number: int
    outbox: Outbox = field(repr=False)

    @property
    def name(self) -> str:
        """Aster to Yarrow, then Aster 2 and so on."""
        turn, place = divmod(self.number, len(NAMES))
        return f"{NAMES[place]} {turn + 1}" if turn else NAMES[place]

    @property
    def badge(self) -> dict[str, object]:
        """What the others see; how dark or light the hue is to be is for the page to choose."""
        return {"name": self.name, "hue": round(FIRST_HUE + self.number * GOLDEN_ANGLE) % 360}

    def tell(self, kind: str, **content: object) -> None:
        """Send something to this person alone."""
        self.outbox.put(encode(kind, **content))


class Room:
    """The people in one chat, in the order they came.

    A room belongs to one event loop: tabs that reach different worker processes do not meet.
    """

    def __init__(self) -> None:
        self._people: list[Person] = []
        self._entered = 0

    @property
    def is_full(self) -> bool:
        """Whether nobody else may enter."""
        return len(self._people) >= MAX_PEOPLE

    def enter(self) -> Person:
        """Let somebody in, who is told who they are and who is here; the others, that they came."""
        newcomer = Person(self._entered, Outbox(self._describe_loss))
        self._entered += 1
        self._tell_all("joined", **newcomer.badge)
        self._people.append(newcomer)
        newcomer.tell("welcome", **newcomer.badge, people=self._badges())
        return newcomer

    def leave(self, person: Person) -> None:
        """Let somebody out, and tell the others."""
        self._people.remove(person)
        self._tell_all("left", **person.badge)

    def say(self, person: Person, text: str) -> None:
        """Tell everybody, the speaker too, what somebody said."""
        self._tell_all("said", **person.badge, text=text)

    def _tell_all(self, kind: str, **content: object) -> None:
        line = encode(kind, **content)  # once for all: the queues share one string
        for person in self._people:
            person.outbox.put(line)

    def _describe_loss(self, count: int) -> str:
        """Who is here is told again, as the lines that went may have told of comings and goings."""
        return encode("missed", count=count, people=self._badges())

    def _badges(self) -> list[dict[str, object]]:
        return [person.badge for person in self._people]
