"""`/chat`: the WebSocket of one tab, from the handshake to the close.

Who hears what is decided in `room`. Here is what a tab may send, and what it is answered when it
sends anything else: an error message, never an exception.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from daphne_like.demo.allowance import Allowance
from daphne_like.demo.room import Room
from daphne_like.demo.together import run_until_one_ends

if TYPE_CHECKING:
    from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, WebSocketScope

    from daphne_like.demo.room import Person

MAX_CHARACTERS = 500
"""Of one line of chat; the page's input has the same limit."""

MAX_MESSAGE = 8192
"""Characters of one message: MAX_CHARACTERS even if JSON writes each as a pair of \\u escapes."""

MAX_PING = 2**53
"""From here on JavaScript does not tell a number from the next."""

MESSAGES_PER_SECOND = 10
"""From one tab, pings too; as many may come at once."""


def is_same_site(scope: WebSocketScope) -> bool:
    """Whether the page that opens the WebSocket came from this host (RFC 6455, 10.2).

    Browsers let any page open a WebSocket to any host, this machine included, and read what comes.
    Ports are not compared, as proxies commonly leave them out of Host. What is no browser sends no
    Origin, and needs no protection from other pages.
    """
    fields = dict(scope["headers"])
    if b"origin" not in fields:
        return True
    try:
        origin = urlsplit(fields[b"origin"]).hostname
        return origin is not None and origin == urlsplit(b"//" + fields.get(b"host", b"")).hostname
    except ValueError:  # brackets that hold no IPv6 address
        return False


def parse(text: str | None) -> dict[str, object]:
    """The message a tab sent.

    Args:
        text: the message's text; None if it was binary.

    Raises:
        ValueError: its text is the sentence that the tab is owed.
    """
    if text is None:
        raise ValueError("Messages are text, not binary.")
    if len(text) > MAX_MESSAGE:
        raise ValueError(f"A message has at most {MAX_MESSAGE} characters.")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("That was not JSON.") from None
    if not isinstance(message, dict):
        raise ValueError("A message is a JSON object.")
    return message


def obey(message: dict[str, object], person: Person, room: Room) -> None:
    """Do what one message asks for: `say` a text to all, or send a `ping` back.

    Raises:
        ValueError: as for `parse`.
    """
    if message.get("type") == "say":
        text = message.get("text")
        if not isinstance(text, str):
            raise ValueError("What is said is a string.")
        line = " ".join(text.split())
        if not line:
            raise ValueError("There was nothing in that message.")
        if len(line) > MAX_CHARACTERS:
            raise ValueError(f"That was too long: a line has at most {MAX_CHARACTERS} characters.")
        room.say(person, line)
    elif message.get("type") == "ping":
        n = message.get("n")
        if type(n) is not int or not 0 <= n < MAX_PING:
            raise ValueError("A ping carries a number.")
        person.tell("pong", n=n)
    else:
        raise ValueError("A message says or pings.")


class Chat:
    """The endpoint of all tabs of one room. It needs no lifespan."""

    def __init__(self) -> None:
        self._room = Room()

    async def __call__(
        self, scope: WebSocketScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Let one tab in, unless it must not or there is no room, until it leaves.

        Raises:
            OSError: the server says out of `send` that the peer is gone (ASGI W40).
        """
        await receive()  # websocket.connect
        refusal = self._refusal(scope)
        if refusal is not None:
            code, reason = refusal
            await send({"type": "websocket.close", "code": code, "reason": reason})
            return
        person = self._room.enter()
        try:
            # A place is taken before the handshake ends, so that no more are let in than there are.
            await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
            await run_until_one_ends(self._listen(person, receive), person.outbox.empty_into(send))
        finally:
            self._room.leave(person)

    def _refusal(self, scope: WebSocketScope) -> tuple[int, str] | None:
        if not is_same_site(scope):
            return 4403, "this chat is for pages of its own site"
        if self._room.is_full:
            return 1013, "the room is full"
        return None

    async def _listen(self, person: Person, receive: ASGIReceiveCallable) -> None:
        """Obey one message after another until the tab leaves."""
        allowance = Allowance(MESSAGES_PER_SECOND, asyncio.get_running_loop().time)
        while True:
            event = await receive()
            if event["type"] != "websocket.receive":
                return
            try:
                if not allowance.take():
                    raise ValueError(f"Slow down: {MESSAGES_PER_SECOND} messages a second will do.")
                obey(parse(event.get("text")), person, self._room)
            except ValueError as error:
                person.tell("error", text=str(error))
