"""Consumers as Channels' documentation has them."""

from __future__ import annotations

import threading
from typing import Any

from channels.generic.websocket import (
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)

from django_site.urls import seen


class Objects(JsonWebsocketConsumer):
    """Synchronous, in JSON; closes with what it is told."""

    def connect(self) -> None:
        offered = self.scope["subprotocols"]
        if "refuse" in offered:
            self.close()
        else:
            self.accept(offered[0] if offered else None)

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        if "code" in content:
            self.close(code=content["code"], reason=content["reason"])
        else:
            self.send_json({"got": content})

    def disconnect(self, code: int) -> None:
        seen["objects"] = code


class Room(AsyncWebsocketConsumer):
    """A chat room over the channel layer."""

    async def connect(self) -> None:
        self.room = self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()
        await self.send(text_data="welcome")

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.room, self.channel_name)
        seen["room"] = code

    async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
        event = {"type": "chat.message", "text": text_data, "octets": bytes_data}
        await self.channel_layer.group_send(self.room, event)

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event["text"], bytes_data=event["octets"])


class Threads(WebsocketConsumer):
    """Synchronous code runs in a thread of the pool, never in the event loop's."""

    def connect(self) -> None:
        self.accept()

    def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        self.send(text_data=f"{text_data} {is_main}")


class Visitor(WebsocketConsumer):
    """Behind session and authentication middleware."""

    def connect(self) -> None:
        self.accept()
        self.send(text_data=str(self.scope["user"]))
        self.close()
