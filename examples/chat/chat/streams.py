"""HTTP without Django: a long poll, server-sent events, and a response of single ASGI events."""

import asyncio
import json

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.generic.http import AsyncHttpConsumer

LONGEST_WAIT = 25
"""Seconds; proxies give up on a silent response after 30 or 60."""


class ListeningConsumer(AsyncHttpConsumer):
    """Responds when its group in the channel layer gets an event, after the request was read.

    Channels' own `http_request` ends the consumer when `handle` returns. While `handle` runs, the
    consumer receives no events, not even that its client has left. This one returns and goes on
    receiving events until http.disconnect: the response is complete, or the client has left.
    """

    group = ""

    async def http_request(self, message):
        if not message.get("more_body"):
            await self.channel_layer.group_add(self.group, self.channel_name)
            await self.handle(b"")

    async def disconnect(self):
        await self.channel_layer.group_discard(self.group, self.channel_name)


class PollConsumer(ListeningConsumer):
    """GET /poll/<room>/: waits for the next message of a room; 204 if there is none."""

    async def http_request(self, message):
        self.group = f"room.{self.scope['url_route']['kwargs']['room']}"
        await super().http_request(message)

    async def handle(self, body):
        self.silence = asyncio.create_task(self.wait())

    async def wait(self):
        await asyncio.sleep(LONGEST_WAIT)
        await self.send_response(204, b"")

    async def room_said(self, event):
        self.silence.cancel()
        answer = {"name": event["name"], "text": event["text"]}
        headers = [(b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store")]
        await self.send_response(200, json.dumps(answer).encode(), headers=headers)
        await self.disconnect()
        raise StopConsumer

    async def room_joined(self, event):
        """Ignore the event: this response is about messages only."""

    room_left = room_joined

    async def disconnect(self):
        self.silence.cancel()
        await super().disconnect()


class EventsConsumer(ListeningConsumer):
    """GET /events/: server-sent events, one for each message in any room."""

    group = "activity"

    async def handle(self, body):
        headers = [(b"Content-Type", b"text/event-stream"), (b"Cache-Control", b"no-store")]
        await self.send_headers(headers=headers)
        await self.send_body(b"retry: 2000\n\n", more_body=True)

    async def room_active(self, event):
        data = json.dumps({"room": event["room"]})
        await self.send_body(f"data: {data}\n\n".encode(), more_body=True)


class HealthConsumer(AsyncConsumer):
    """GET /health/: the bare consumer, one method for each ASGI event."""

    async def http_request(self, event):
        headers = [(b"Content-Type", b"text/plain"), (b"Content-Length", b"3")]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self.send({"type": "http.response.body", "body": b"ok\n"})

    async def http_disconnect(self, event):
        raise StopConsumer
