"""What the shop answers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timezone
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.middleware.csrf import get_token
from django.urls import get_script_prefix, reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import last_modified

PAGE = "A page that is worth compressing. " * 100
PART = 65536


def facts(request: HttpRequest, rest: str = "") -> JsonResponse:
    """The request as Django sees it."""
    return JsonResponse(
        {
            "rest": rest,
            "method": request.method,
            "path": request.path,
            "path_info": request.path_info,
            "full_path": request.get_full_path(),
            "prefix": get_script_prefix(),
            "link": reverse("session"),
            "host": request.get_host(),
            "secure": request.is_secure(),
            "absolute": request.build_absolute_uri(),
            "client": request.META.get("REMOTE_ADDR"),
            "query": {name: request.GET.getlist(name) for name in request.GET},
            "query_string": request.META["QUERY_STRING"],
            "cookies": request.COOKIES,
            "fields": dict(request.headers),
        }
    )


def page(request: HttpRequest) -> HttpResponse:
    """The same page each time, so that its ETag is the same."""
    return HttpResponse(PAGE)


def no_icon(request: HttpRequest) -> HttpResponse:
    """What browsers ask for by themselves."""
    return HttpResponse(status=204)


def session(request: HttpRequest) -> JsonResponse:
    """Counts the visits of this session."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"]})


def biscuits(request: HttpRequest) -> HttpResponse:
    """Sets two cookies and a field beyond ASCII, and one that is long."""
    response = HttpResponse("crumbs", headers={"X-Name": "Käse", "X-Long": "l" * 20000})
    response.set_cookie("plain", "a=b", httponly=True)
    response.set_cookie("other", 'with "quotes"; and more', samesite="Strict")
    return response


def form(request: HttpRequest) -> HttpResponse:
    """Gives the CSRF token; takes a form."""
    if request.method == "POST":
        return HttpResponse("taken " + request.POST.get("word", ""))
    return HttpResponse(get_token(request))


@csrf_exempt
def upload(request: HttpRequest) -> JsonResponse:
    """Digests of the body's parts, fields and files."""
    answer: dict[str, Any] = {"fields": {name: len(text) for name, text in request.POST.items()}}
    for name, file in request.FILES.items():
        digest = hashlib.sha256()
        for part in file.chunks():
            digest.update(part)
        answer[name] = [file.size, digest.hexdigest(), isinstance(file, TemporaryUploadedFile)]
    return JsonResponse(answer)


@csrf_exempt
def raw(request: HttpRequest) -> HttpResponse:
    """The size of the body, as it was read from the stream."""
    size = 0
    while part := request.read(PART):
        size += len(part)
    return HttpResponse(size)


def fail(request: HttpRequest) -> HttpResponse:
    """Raises."""
    raise RuntimeError("on purpose")


async def fail_later(request: HttpRequest) -> StreamingHttpResponse:
    """Raises in the middle of its answer."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"begin\n"
        raise RuntimeError("on purpose")

    return StreamingHttpResponse(parts())


def count_sync(request: HttpRequest) -> StreamingHttpResponse:
    """A sync iterator."""

    def parts() -> Iterator[str]:
        for number in range(3):
            yield f"{number}\n"

    return StreamingHttpResponse(parts())


async def count_async(request: HttpRequest) -> StreamingHttpResponse:
    """An async iterator."""

    async def parts() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return StreamingHttpResponse(parts())


def written(request: HttpRequest, name: str) -> datetime:
    """When the file was written last."""
    return datetime.fromtimestamp((settings.FOLDER / name).stat().st_mtime, timezone.utc)


@last_modified(written)
def file(request: HttpRequest, name: str) -> FileResponse:
    """A file of the shop's folder."""
    return FileResponse(open(settings.FOLDER / name, "rb"), content_type="application/x-shop")


async def file_in_parts(request: HttpRequest, name: str) -> StreamingHttpResponse:
    """The same, read as the client takes it."""

    async def parts() -> AsyncIterator[bytes]:
        with open(settings.FOLDER / name, "rb") as opened:
            while part := await sync_to_async(opened.read)(PART):
                yield part

    return StreamingHttpResponse(parts(), content_type="application/x-shop")
