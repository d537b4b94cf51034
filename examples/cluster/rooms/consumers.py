"""The WebSocket of a room.

A client sends {"id": ..., "text": ...} and gets {"accepted": id, "number": n} when Redis has the
message. All members get {"number": n, "id": ..., "text": ...}, in order and without gaps. A client
that comes back says which number it had last: /ws/lobby/?after=17.
"""

from urllib.parse import parse_qs

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from rooms import history

LONGEST_ID = 64
LONGEST_TEXT = 2000
SHOWN = 50
"""Earlier messages that a new client gets."""


class RoomConsumer(AsyncJsonWebsocketConsumer):
    """One member of a room."""

    async def connect(self):
        self.room = self.scope["url_route"]["kwargs"]["room"]
        self.group = f"room.{self.room}"
        # First the group, then the history: what is said in between comes twice, and is sent once.
        await self.channel_layer.group_add(self.group, self.channel_name)
        newest = await history.newest(self.room)
        after = parse_qs(self.scope["query_string"].decode("latin-1")).get("after", [""])[0]
        self.last = min(int(after), newest) if after.isdecimal() else max(0, newest - SHOWN)
        await self.accept()
        await self.catch_up()

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive_json(self, content):
        if not isinstance(content, dict):
            return
        sent_as, text = content.get("id"), content.get("text")
        if not isinstance(sent_as, str) or not isinstance(text, str):
            return
        message = {"id": sent_as[:LONGEST_ID], "text": text[:LONGEST_TEXT]}
        number = await history.append(self.room, message["id"], message)
        # Also for a message that is sent again: its first host may have died before this line.
        event = {"type": "room.said", "number": number, "message": message}
        await self.channel_layer.group_send(self.group, event)
        await self.send_json({"accepted": message["id"], "number": number})

    async def room_said(self, event):
        """Pass on a message; if the channel layer has lost some before it, fetch them."""
        if event["number"] == self.last + 1:
            await self.pass_on(event["number"], event["message"])
        elif event["number"] > self.last:
            await self.catch_up()

    async def catch_up(self):
        for number, message in await history.since(self.room, self.last):
            await self.pass_on(number, message)

    async def pass_on(self, number, message):
        self.last = number
        await self.send_json({"number": number, **message})
