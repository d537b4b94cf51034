"""Consumers that leave badly, by path, and one that echoes."""

import asyncio
import os
import time

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaving.settings")

from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data=text_data)


class Sleeping(AsyncWebsocketConsumer):
    async def disconnect(self, code):
        await self.hold()

    async def hold(self):
        await asyncio.sleep(3600)


class Inherited(AsyncWebsocketConsumer):
    """Stuck in Channels' own method, and in nothing that its author has written."""

    groups = ["all"]

    async def websocket_connect(self, message):
        self.channel_layer = Layer(self.channel_layer)
        await super().websocket_connect(message)


class Layer:
    def __init__(self, layer):
        self.group_add = layer.group_add

    async def group_discard(self, group, channel):
        await asyncio.Event().wait()


class Stubborn(AsyncWebsocketConsumer):
    async def disconnect(self, code):
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                print("stubborn goes on", flush=True)


class Gathering(AsyncWebsocketConsumer):
    async def disconnect(self, code):
        await asyncio.gather(asyncio.sleep(0), self.hold())

    async def hold(self):
        await asyncio.sleep(3600)


class Blocking(WebsocketConsumer):
    """Its method runs in asgiref's one thread for sensitive code."""

    def disconnect(self, code):
        time.sleep(3600)


class InAThread(AsyncWebsocketConsumer):
    async def disconnect(self, code):
        await sync_to_async(self.hold, thread_sensitive=False)()

    def hold(self):
        time.sleep(3600)


class InExecutor(AsyncWebsocketConsumer):
    async def disconnect(self, code):
        await asyncio.get_running_loop().run_in_executor(None, self.hold)

    def hold(self):
        time.sleep(3600)


class Slow(AsyncWebsocketConsumer):
    """Takes long, and ends."""

    async def disconnect(self, code):
        await asyncio.sleep(0.5)
        print("slow has left", flush=True)


application = ProtocolTypeRouter(
    {
        "websocket": URLRouter(
            [
                path(f"{consumer.__name__.lower()}/<slug:room>", consumer.as_asgi())
                for consumer in (
                    Echo,
                    Sleeping,
                    Inherited,
                    Stubborn,
                    Gathering,
                    Blocking,
                    InAThread,
                    InExecutor,
                    Slow,
                )
            ]
        )
    }
)
