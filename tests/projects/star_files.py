"""Starlette's own files."""

import os

from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles


async def file(request):
    return FileResponse(os.environ["FILE"])


async def relative(request):
    return FileResponse("star_files.py")  # from the working directory


starlette = Starlette(
    routes=[
        Route("/file", file),
        Route("/relative", relative),
        Mount("/static", StaticFiles(directory=os.path.dirname(os.environ.get("FILE", "/nope/f")))),
    ]
)


async def application(scope, receive, send):
    async def telling(message):
        print("sent", message["type"], flush=True)
        await send(message)

    await starlette(scope, receive, telling)
