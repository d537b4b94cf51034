"""Views that tell of the threads that they run in."""

from __future__ import annotations

import asyncio
import threading

from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpRequest, JsonResponse

LONGEST = 60.0

together = threading.Barrier(2)
lock = threading.Lock()
crowd = {"asked": 0, "running": 0, "most": 0}
go_on = threading.Event()


def sync_view(request: HttpRequest) -> JsonResponse:
    """Its own thread, and the one of what it calls through the event loop."""

    async def there_and_back() -> int:
        return await sync_to_async(threading.get_ident)()

    return JsonResponse(
        {
            "threads": [threading.get_ident(), async_to_sync(there_and_back)()],
            "main": threading.main_thread().ident,
        }
    )


async def async_view(request: HttpRequest) -> JsonResponse:
    """Its own thread, and the ones of sync code that it awaits, one after another and at once."""
    ask = sync_to_async(threading.get_ident)
    return JsonResponse(
        {
            "own": threading.get_ident(),
            "threads": [await ask(), await ask(), *await asyncio.gather(ask(), ask())],
            "main": threading.main_thread().ident,
        }
    )


def meet(request: HttpRequest) -> JsonResponse:
    """Waits for another request in this view."""
    together.wait(LONGEST)
    return JsonResponse({"thread": threading.get_ident()})


def join_crowd() -> None:
    """Be one of those that run at once."""
    with lock:
        crowd["running"] += 1
        crowd["most"] = max(crowd["most"], crowd["running"])
    go_on.wait(LONGEST)
    with lock:
        crowd["running"] -= 1


async def pool(request: HttpRequest) -> JsonResponse:
    """Sync code that may run in any thread: in the event loop's default executor."""
    crowd["asked"] += 1
    await sync_to_async(join_crowd, thread_sensitive=False)()
    return JsonResponse({})


async def pool_state(request: HttpRequest) -> JsonResponse:
    """How many of them are there; `?go` lets them go on."""
    if "go" in request.GET:
        go_on.set()
    return JsonResponse(crowd)
