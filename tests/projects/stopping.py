"""Bare applications that stop well and badly, by path."""

import asyncio
import os
import sys
import time


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await globals()[scope["path"].strip("/")](scope, receive, send)


async def lifespan(receive, send):
    while True:
        event = await receive()
        print(event["type"], flush=True)
        await send({"type": event["type"] + ".complete"})
        if event["type"] == "lifespan.shutdown":
            return


async def start(send, first=b"started\n"):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": first, "more_body": True})


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello\n"})


async def slow(scope, receive, send):
    print("slow is called", flush=True)
    await asyncio.sleep(0.8)
    await hello(scope, receive, send)


async def listening(scope, receive, send):
    """A stream that ends when it is told."""
    await start(send)
    await receive()
    while (await receive())["type"] != "http.disconnect":
        pass
    print("listening is told", flush=True)
    await send({"type": "http.response.body", "body": b"goodbye\n"})


async def deaf(scope, receive, send):
    """Waits for ever, where the log should say."""
    await start(send)
    await waits_for_ever()


async def waits_for_ever():
    await asyncio.Event().wait()


async def stubborn(scope, receive, send):
    """Swallows its first cancellation."""
    await start(send)
    try:
        await waits_for_ever()
    except asyncio.CancelledError:
        print("stubborn goes on", flush=True)
    await waits_for_ever()


async def blocking(scope, receive, send):
    print("blocking is called", flush=True)
    time.sleep(60)


async def exits(scope, receive, send):
    raise SystemExit(7)


async def interrupts(scope, receive, send):
    raise KeyboardInterrupt


async def raises(scope, receive, send):
    raise ValueError("first line\x1b[31m")


async def raises_late(scope, receive, send):
    await start(send)
    raise ValueError("too late")


async def returns(scope, receive, send):
    pass


async def unstartable(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})


async def hanging_startup(scope, receive, send):
    await waits_for_ever()


async def slow_startup(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        print("starting", flush=True)
        await asyncio.sleep(0.5)
        print("started", flush=True)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    else:
        print("a request", flush=True)
        await hello(scope, receive, send)


async def events(scope, receive, send):
    """A stream of events that ends when its client has gone."""
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
    print("events begin", flush=True)
    while (await receive())["type"] != "http.disconnect":
        if scope["method"] == "POST":  # it leaves the rest of the body unread
            await asyncio.sleep(0.5)
    print("events are told", flush=True)


async def download(scope, receive, send):
    """A response that stops when its client has gone, and takes a second otherwise."""
    await start(send)
    print("download begins", flush=True)
    await receive()
    gone = asyncio.ensure_future(receive())
    await asyncio.wait((gone,), timeout=1)
    body = b"cut\n" if gone.done() else b"whole\n"
    gone.cancel()
    await send({"type": "http.response.body", "body": body})


async def stops_the_loop(scope, receive, send):
    asyncio.get_running_loop().call_later(0.2, asyncio.get_running_loop().stop)
    await start(send)
    await asyncio.sleep(0.8)
    await send({"type": "http.response.body", "body": b"goodbye\n"})


async def forks(scope, receive, send):
    child = os.fork()
    if not child:
        sys.exit(7)
    _, status = os.waitpid(child, 0)
    await start(send)
    body = b"%d\n" % os.waitstatus_to_exitcode(status)
    await send({"type": "http.response.body", "body": body})


async def forks_and_raises(scope, receive, send):
    child = os.fork()
    if not child:
        raise ValueError("in the child")
    _, status = os.waitpid(child, 0)
    await start(send)
    body = b"%d\n" % os.waitstatus_to_exitcode(status)
    await send({"type": "http.response.body", "body": body})
