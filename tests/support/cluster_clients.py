"""Clients of examples/cluster, a program: they ask and talk until standard input ends.

They run in a network namespace of their own. The last line of the output is JSON with all figures.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

READERS, MEMBERS, ROOMS = 4, 6, ("garden", "kitchen")
PAUSE = 0.05
"""Seconds between two requests, or two messages, of one client."""
MOST_JITTER = 0.5
LIMIT = 20.0
"""Seconds for one request, for one handshake, and for the last messages to arrive."""


class Figures:
    """What all clients together have seen."""

    def __init__(self) -> None:
        self.answered = 0
        self.failures: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self.stopping = asyncio.Event()


async def read(address: str, figures: Figures, *, keeps: bool) -> None:
    """GET the page again and again, on one connection or each time on a new one."""
    fields = {} if keeps else {"Connection": "close"}
    async with httpx.AsyncClient(timeout=LIMIT, trust_env=False) as client:
        while not figures.stopping.is_set():
            try:
                answer = await client.get(f"http://{address}/", headers=fields)
                answer.raise_for_status()
                assert "<ol" in answer.text
                figures.answered += 1
            except (httpx.HTTPError, AssertionError) as error:
                figures.failures[repr(error)] += 1
            await asyncio.sleep(PAUSE)


class Member:
    """A member of a room, which sends a message that was not accepted again.

    Attributes:
        received: number and id of each message, in the order of arrival.
        accepted: id of each accepted message -> its number.
        connected: it has been connected.
        waits: its last message is not accepted yet.
    """

    def __init__(self, address: str, room: str, name: int, figures: Figures) -> None:
        self.room = room
        self.received: list[tuple[int, str]] = []
        self.accepted: dict[str, int] = {}
        self.connected = asyncio.Event()
        self.waits = False
        self._address = address
        self._name = name
        self._figures = figures
        self._sent = 0

    @property
    def last(self) -> int:
        """The number of the last message that has arrived."""
        return self.received[-1][0] if self.received else 0

    async def run(self) -> None:
        """Come back after each end of the connection, with jitter."""
        while True:
            url = f"ws://{self._address}/ws/{self.room}/?after={self.last}"
            how = {"origin": f"http://{self._address}", "open_timeout": LIMIT, "proxy": None}
            try:
                async with connect(url, **how) as connection:
                    self.connected.set()
                    await self._talk(connection)
            except ConnectionClosed as error:
                self._figures.closed[str(error.rcvd.code if error.rcvd else None)] += 1
            except InvalidStatus as error:
                self._figures.failures[f"handshake: {error.response.status_code}"] += 1
            except (OSError, InvalidHandshake) as error:
                self._figures.failures[f"handshake: {error!r}"] += 1
            await asyncio.sleep(random.uniform(0, MOST_JITTER))

    async def _talk(self, connection: Any) -> None:
        talking = asyncio.create_task(self._say(connection))
        try:
            async for text in connection:
                self._take(json.loads(text))
            raise ConnectionClosed(connection.protocol.close_rcvd, None)
        finally:
            talking.cancel()

    async def _say(self, connection: Any) -> None:
        """Send one message after the other; the last one again if it was not accepted."""
        while self.waits or not self._figures.stopping.is_set():
            if not self.waits:
                self._sent += 1
                self.waits = True
            sent_as = f"{self._name}-{self._sent}"
            if sent_as not in self.accepted:
                await connection.send(json.dumps({"id": sent_as, "text": "x"}))
            while sent_as not in self.accepted:
                await asyncio.sleep(PAUSE)
            self.waits = False

    def _take(self, message: Any) -> None:
        if "accepted" in message:
            self.accepted[message["accepted"]] = message["number"]
        else:
            self.received.append((message["number"], message["id"]))


async def have_all(members: list[Member]) -> None:
    """Wait until every message is accepted, and each member has the last one of its room."""
    while True:
        await asyncio.sleep(PAUSE)
        numbers = dict.fromkeys(ROOMS, 0)
        for one in members:
            numbers[one.room] = max(numbers[one.room], *one.accepted.values(), 0)
        if all(not one.waits and one.last >= numbers[one.room] for one in members):
            return


async def main(address: str) -> None:
    """Run all clients."""
    figures = Figures()
    members = [
        Member(address, ROOMS[number % len(ROOMS)], number, figures) for number in range(MEMBERS)
    ]
    talking = [asyncio.create_task(one.run()) for one in members]
    reading = [
        asyncio.create_task(read(address, figures, keeps=bool(number % 2)))
        for number in range(READERS)
    ]
    connected = asyncio.gather(*(one.connected.wait() for one in members))
    try:
        await asyncio.wait_for(connected, LIMIT)
    except asyncio.TimeoutError:
        sys.exit(f"not all clients are connected: {figures.failures}")
    print("all are connected", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    figures.stopping.set()
    await asyncio.gather(*reading)
    try:
        await asyncio.wait_for(have_all(members), LIMIT)
    except asyncio.TimeoutError:
        figures.failures["not all messages have arrived"] += 1
    for task in talking:
        task.cancel()
    rooms = {room: [one for one in members if one.room == room] for room in ROOMS}
    told = {
        "answered": figures.answered,
        "failures": figures.failures,
        "closed": figures.closed,
        "rooms": {
            room: {
                "accepted": {key: value for one in all_ for key, value in one.accepted.items()},
                "received": [one.received for one in all_],
            }
            for room, all_ in rooms.items()
        },
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
