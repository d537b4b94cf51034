"""A background worker, in a process of its own, for jobs that take too long for a request."""

import asyncio

from channels.consumer import AsyncConsumer

SECONDS = 1.0
"""Seconds that a real job would take."""


class ShoutWorker(AsyncConsumer):
    """Sends a text in capitals to the whole room: `manage.py runworker shout`."""

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
