"""Views that a developer has to do with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, reverse

GREETING = "first"


def greet(request: HttpRequest) -> HttpResponse:
    return HttpResponse(GREETING)


def tell(request: HttpRequest) -> JsonResponse:
    return JsonResponse(
        {"url": reverse("tell"), "scheme": request.scheme, "asgi": hasattr(request, "scope")}
    )


def answer(request: HttpRequest, status: int) -> HttpResponse:
    return HttpResponse(status=status)


async def slow(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(float(request.GET.get("for", 1.1)))
    return HttpResponse("slow")


def block(request: HttpRequest) -> HttpResponse:
    print("blocked", flush=True)
    time.sleep(600)
    return HttpResponse()


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"part\n"
            await asyncio.sleep(0.05)

    return StreamingHttpResponse(parts())


urlpatterns = [
    path("", greet),
    path("tell", tell, name="tell"),
    path("status/<int:status>", answer),
    path("slow", slow),
    path("block", block),
    path("stream", stream),
]
