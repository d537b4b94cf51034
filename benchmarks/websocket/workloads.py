"""The WebSocket workloads: messages, number of connections, extension.

:mod:`benchmarks.generators` and :mod:`benchmarks.websocket.memory` measure them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

from benchmarks.websocket.application import NEWS
from benchmarks.workloads import Unit, Workload


class Exercise(Enum):
    """The load's task."""

    ECHO = "each sends its next message when the last one has come back"
    BROADCAST = "one asks, and all receive"
    HANDSHAKE = "each is opened, and closed with a closing handshake, and replaced"
    IDLE = "each stays, after one message each way if it is not silent"


@dataclass(frozen=True)
class WebSocketWorkload(Workload):
    """Messages that each connection sends in turn; str is sent as text, bytes as binary."""

    exercise: Exercise
    target: str
    messages: tuple[str | bytes, ...]
    deflate: bool = False
    """The load offers permessage-deflate as browsers do; servers that decline it are excluded."""
    connections: int | None = None
    """Number of connections that overrides the option."""
    silent: bool = False
    """Idle connections have not sent a message before."""

    @property
    def answers(self) -> tuple[str | bytes, ...]:
        """The expected response to each message."""
        broadcast = self.exercise is Exercise.BROADCAST
        return (NEWS,) * len(self.messages) if broadcast else self.messages


SHORT = "32 octets of text, as they come."
LONG = bytes(range(256)) * 32
"""8 KiB."""


def _positions(sequence: int) -> str:
    """Return about 1 KiB of JSON with typical compressibility, different in each message."""
    vehicles = [
        {
            "vehicle": f"bus-{(sequence * 37 + place * 11) % 400}",
            "line": f"C{place + 1}",
            "latitude": round(45.7 + (sequence * 7919 + place * 104729) % 99991 / 1e6, 6),
            "longitude": round(4.8 + (sequence * 6101 + place * 15485863) % 99989 / 1e6, 6),
            "delay": (sequence * 13 + place * 29) % 240,
            "stop": ("H\u00f4tel de Ville", "Part-Dieu", "Bellecour", "Perrache")[place % 4],
        }
        for place in range(8)
    ]
    return json.dumps({"sequence": sequence, "vehicles": vehicles}, ensure_ascii=False)


POSITIONS = tuple(_positions(sequence) for sequence in range(16))

ECHO = WebSocketWorkload(
    "ws", "echo of 32 octets of text", Unit.MESSAGE, Exercise.ECHO, "/echo", (SHORT,)
)
ECHO_8K = WebSocketWorkload(
    "ws8k", "echo of 8 KiB of binary", Unit.MESSAGE, Exercise.ECHO, "/echo", (LONG,)
)
DEFLATE = WebSocketWorkload(
    "ws-deflate",
    "echo of 1 KiB of JSON, compressed",
    Unit.MESSAGE,
    Exercise.ECHO,
    "/echo",
    POSITIONS,
    deflate=True,
)
BROADCAST = WebSocketWorkload(
    "ws-broadcast",
    "32 octets of text to 1 000 connections",
    Unit.MESSAGE,
    Exercise.BROADCAST,
    "/broadcast",
    ("go",),
    connections=1000,
)
HANDSHAKE = WebSocketWorkload(
    "ws-handshake",
    "opening and closing a connection",
    Unit.HANDSHAKE,
    Exercise.HANDSHAKE,
    "/echo",
    (SHORT,),
    # At most Daphne's backlog of 50, because a SYN beyond it is lost and sent again after a second.
    connections=32,
)
IDLE = WebSocketWorkload(
    "ws-idle",
    "3 000 idle WebSockets after one echo",
    Unit.IDLE,
    Exercise.IDLE,
    "/echo",
    (SHORT,),
    connections=3000,
)
IDLE_DEFLATE = WebSocketWorkload(
    "ws-idle-deflate",
    "3 000 idle WebSockets, deflate negotiated",
    Unit.IDLE,
    Exercise.IDLE,
    "/echo",
    POSITIONS,
    deflate=True,
    connections=3000,
    silent=True,
)
IDLE_DEFLATED = WebSocketWorkload(
    "ws-idle-deflated",
    "the same, 8 s after a compressed echo",
    Unit.IDLE,
    Exercise.IDLE,
    "/echo",
    POSITIONS,
    deflate=True,
    connections=3000,
)

WEBSOCKET_WORKLOADS = (
    ECHO,
    ECHO_8K,
    DEFLATE,
    BROADCAST,
    HANDSHAKE,
    IDLE,
    IDLE_DEFLATE,
    IDLE_DEFLATED,
)
