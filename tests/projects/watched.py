"""An application for the status page: a chat, a ledger whose lock is held for ever, and slow peers.

`await ledger.lock.acquire()` without a release is the mistake of docs/howto/find-what-is-stuck.rst.
"""

import asyncio
import hashlib
import time

import django
from django.conf import settings

settings.configure()
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.routing import URLRouter  # noqa: E402
from django.urls import path  # noqa: E402


class Ledger:
    """Whoever pays twice at the same time keeps the lock."""

    def __init__(self):
        self.lock = asyncio.Lock()

    async def pay(self, account):
        await self.lock.acquire()
        if account == "lost":
            raise LookupError(account)
        self.lock.release()


class PaymentConsumer(AsyncWebsocketConsumer):
    """Each message is an account that pays."""

    ledger = Ledger()

    async def receive(self, text_data):
        try:
            await self.ledger.pay(text_data)
        except LookupError:
            await self.send("no such account")
            return
        await self.send("paid")


class ChatConsumer(AsyncWebsocketConsumer):
    """Echoes."""

    async def receive(self, text_data):
        await self.send(text_data)


sockets = URLRouter(
    [path("pay/", PaymentConsumer.as_asgi()), path("chat/<int:room>/", ChatConsumer.as_asgi())]
)


async def application(scope, receive, send):
    if scope["type"] == "websocket":
        await sockets(scope, receive, send)
    elif scope["type"] == "http":
        name = scope["path"].strip("/").partition("/")[0] or "home"
        await globals().get(f"serve_{name}", serve_home)(receive, send)


async def start(send, *headers):
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def serve_home(receive, send):
    await start(send)
    await send({"type": "http.response.body", "body": b"hello\n"})


async def serve_search(receive, send):
    await asyncio.sleep(0.03)
    await serve_home(receive, send)


async def serve_fail(receive, send):
    await send({"type": "http.response.start", "status": 503, "headers": []})
    await send({"type": "http.response.body"})


async def serve_upload(receive, send):
    digest = hashlib.sha256()
    while (event := await receive()).get("more_body"):
        digest.update(event["body"])
    await serve_home(receive, send)


async def serve_balance(receive, send):
    async with PaymentConsumer.ledger.lock:
        await serve_home(receive, send)


async def serve_prices(receive, send):
    """A stream of events, until its client goes."""
    await start(send, (b"content-type", b"text/event-stream"))

    async def tell():
        while True:
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
            await asyncio.sleep(0.5)

    telling = asyncio.create_task(tell())
    while (await receive())["type"] != "http.disconnect":
        pass
    telling.cancel()


async def serve_archive(receive, send):
    await start(send)
    for _ in range(1000):
        await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
    await send({"type": "http.response.body"})


async def serve_report(receive, send):
    """A mistake: it blocks the event loop."""
    time.sleep(20)
    await serve_home(receive, send)
