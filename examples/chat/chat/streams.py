"""HTTP without Django: a long poll, a stream of server-sent events, and an answer by hand."""

import asyncio
import json

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.generic.http import AsyncHttpConsumer

LONGEST_WAIT = 25
"""Seconds; proxies give up on a silent response after 30 or 60."""


class ListeningConsumer(AsyncHttpConsumer):
    """Answers from what the channel layer brings, after the request is read.

    Channels' own `http_request` ends the consumer when `handle` returns, and while `handle` runs
    it hears nothing, not even that its client has gone. This one returns and listens on: to its
    group until the response is whole or the client has left, which are both http.disconnect.
    """

    group = ""

    async def http_request(self, message):
        if not message.get("more_body"):
            await self.channel_layer.group_add(self.group, self.channel_name)
            await self.handle(b"")

    async def disconnect(self):
        await self.channel_layer.group_discard(self.group, self.channel_name)


class PollConsumer(ListeningConsumer):
    """GET /poll/<room>/: waits for the next thing that is said, 204 when it stays silent."""

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
        """Who comes and goes is no news here."""

    room_left = room_joined

    async def disconnect(self):
        self.silence.cancel()
        await super().disconnect()


class EventsConsumer(ListeningConsumer):
    """GET /events/: server-sent events, one whenever somebody speaks in any room."""

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
