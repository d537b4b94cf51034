"""The two WebSockets of a room: the conversation, and the jobs for the background worker."""

from urllib.parse import parse_qs

from asgiref.sync import async_to_sync
from channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer

LONGEST_NAME = 24
LONGEST_TEXT = 2000


def name_in(scope):
    """Return the user's name, or the name that the page asks for."""
    if scope["user"].is_authenticated:
        return scope["user"].get_username()
    asked = parse_qs(scope["query_string"].decode("latin-1")).get("name", [""])[0]
    return asked.strip()[:LONGEST_NAME] or "Guest"


def text_in(content):
    """Return the text of a message, or "" if it has none."""
    text = content.get("text") if isinstance(content, dict) else None
    return text.strip()[:LONGEST_TEXT] if isinstance(text, str) else ""


class RoomConsumer(AsyncJsonWebsocketConsumer):
    """A room: people join, talk and leave.

    There is no list of the people in a room. A newcomer tells everybody, and everybody answers the
    newcomer. This works across any number of processes, and a crash leaves no list to clean up.
    """

    async def connect(self):
        self.room = self.scope["url_route"]["kwargs"]["room"]
        self.group = f"room.{self.room}"
        self.name = name_in(self.scope)
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        await self.tell("room.joined")

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.group, self.channel_name)
        await self.tell("room.left")

    async def receive_json(self, content):
        if text := text_in(content):
            await self.tell("room.said", text=text)
            activity = {"type": "room.active", "room": self.room}
            await self.channel_layer.group_send("activity", activity)

    async def tell(self, kind, **more):
        """Send an event to everybody in the room, including oneself."""
        event = {"type": kind, "name": self.name, "id": self.channel_name, **more}
        await self.channel_layer.group_send(self.group, event)

    # Events from the channel layer. The id distinguishes two people of the same name.

    async def room_joined(self, event):
        await self.send_json({"joined": event["name"], "id": event["id"]})
        if event["id"] != self.channel_name:
            present = {"type": "room.present", "name": self.name, "id": self.channel_name}
            await self.channel_layer.send(event["id"], present)

    async def room_present(self, event):
        await self.send_json({"present": event["name"], "id": event["id"]})

    async def room_left(self, event):
        await self.send_json({"left": event["name"], "id": event["id"]})

    async def room_said(self, event):
        await self.send_json({"name": event["name"], "text": event["text"]})


class ShoutConsumer(JsonWebsocketConsumer):
    """Takes jobs for the worker, and reports the progress of each job to the one who asked.

    The consumer is synchronous: each method runs in a thread and may use Django's ORM like a view.
    """

    def receive_json(self, content):
        if text := text_in(content):
            job = {
                "type": "shout",
                "text": text,
                "room": self.scope["url_route"]["kwargs"]["room"],
                "name": name_in(self.scope),
                "reply_to": self.channel_name,
            }
            async_to_sync(self.channel_layer.send)("shout", job)
            self.send_json({"state": "queued"})

    def shout_progress(self, event):
        self.send_json({"state": event["state"]})
