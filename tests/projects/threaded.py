"""A Starlette application with blocking code in anyio's threads, and in one of its own."""

import threading
import time

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


def pauses():
    time.sleep(100)


def blocks(request):
    print("blocks is called", flush=True)
    pauses()
    return PlainTextResponse("late")


def collects():
    pauses()


def spawns(request):
    threading.Thread(target=collects, name="collector").start()
    return PlainTextResponse("spawned")


async def defers(request):
    from twisted.internet.threads import deferToThread

    deferToThread(collects).addErrback(print)
    return PlainTextResponse("deferred")


def quick(request):
    return PlainTextResponse("quick")


application = Starlette(
    routes=[
        Route("/blocks", blocks),
        Route("/spawns", spawns),
        Route("/defers", defers),
        Route("/quick", quick),
    ]
)
