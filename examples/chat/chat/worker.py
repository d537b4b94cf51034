"""Work that takes longer than a person waits for an answer; its own process."""

import asyncio

from channels.consumer import AsyncConsumer

SECONDS = 1.0
"""What a real job would need."""


class ShoutWorker(AsyncConsumer):
    """Says it to the whole room, in capitals: `manage.py runworker shout`."""

    async def shout(self, job):
        await self.report(job, "working")
        await asyncio.sleep(SECONDS)
        said = {
            "type": "room.said",
            "name": f"{job['name']}, through the worker",
            "text": job["text"].upper(),
        }
        await self.channel_layer.group_send(f"room.{job['room']}", said)
        await self.report(job, "done")

    async def report(self, job, state):
        event = {"type": "shout.progress", "state": state}
        await self.channel_layer.send(job["reply_to"], event)
