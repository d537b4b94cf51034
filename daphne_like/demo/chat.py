"""`/chat`: the WebSocket of one tab, from the handshake to the close.

This module checks the messages of a tab and answers a wrong one with an error message, never with
an exception. `room` decides which tabs receive a message.
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
"""Maximum characters of one line of chat; the page's input has the same limit."""

MAX_MESSAGE = 8192
"""Maximum characters of one message: enough for MAX_CHARACTERS with two \\u escapes each."""

MAX_PING = 2**53
"""Limit for numbers of pings; from here on, JavaScript rounds whole numbers."""

MESSAGES_PER_SECOND = 10
"""Maximum rate of messages from one tab, pings included; also the size of a burst."""


def is_same_site(scope: WebSocketScope) -> bool:
    """Tell whether the page that opens the WebSocket came from this host (RFC 6455, 10.2).

    Browsers let any page open a WebSocket to any host, this machine included, and read its
    messages. Ports are not compared, because proxies commonly remove them from Host. Clients other
    than browsers send no Origin and need no protection from other pages.
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
    """Parse a message of a tab.

    Args:
        text: the message's text; None if it was binary.

    Raises:
        ValueError: the message is wrong; the error's text is a sentence for the tab.
    """
    if text is None:
        raise ValueError("Messages are text, not binary.")
    if len(text) > MAX_MESSAGE:
        raise ValueError(f"A message has at most {MAX_MESSAGE} characters.")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("The message is not JSON.") from None
    if not isinstance(message, dict):
        raise ValueError("A message is a JSON object.")
    return message


def obey(message: dict[str, object], person: Person, room: Room) -> None:
    """Execute one message: `say` a text to all, or answer a `ping`.

    Raises:
        ValueError: as for `parse`.
    """
    if message.get("type") == "say":
        text = message.get("text")
        if not isinstance(text, str):
            raise ValueError("The text of a message is a string.")
        line = " ".join(text.split())
        if not line:
            raise ValueError("The message is empty.")
        if len(line) > MAX_CHARACTERS:
            raise ValueError(
                f"The text is too long: at most {MAX_CHARACTERS} characters are allowed."
            )
        room.say(person, line)
    elif message.get("type") == "ping":
        n = message.get("n")
        if type(n) is not int or not 0 <= n < MAX_PING:
            raise ValueError("A ping has a number.")
        person.tell("pong", n=n)
    else:
        raise ValueError("The type of a message is say or ping.")


class Chat:
    """The endpoint for all tabs of one room; needs no lifespan."""

    def __init__(self) -> None:
        self._room = Room()

    async def __call__(
        self, scope: WebSocketScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one tab until it leaves; refuse it for a foreign origin or a full room.

        Raises:
            OSError: raised by `send` because the peer is gone (ASGI W40).
        """
        await receive()  # websocket.connect
        refusal = self._refusal(scope)
        if refusal is not None:
            code, reason = refusal
            await send({"type": "websocket.close", "code": code, "reason": reason})
            return
        person = self._room.enter()
        try:
            # The place is taken before the handshake ends, so that the room cannot overfill.
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
        """Execute messages one after the other until the tab leaves."""
        allowance = Allowance(MESSAGES_PER_SECOND, asyncio.get_running_loop().time)
        while True:
            event = await receive()
            if event["type"] != "websocket.receive":
                return
            try:
                if not allowance.take():
                    raise ValueError(
                        f"Too many messages: at most {MESSAGES_PER_SECOND} a second are allowed."
                    )
                obey(parse(event.get("text")), person, self._room)
            except ValueError as error:
                person.tell("error", text=str(error))
