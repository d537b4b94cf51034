"""Django's application with the LOGGING of the environment, which can also come at the startup."""

import json
import logging.config
import os

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path

LOGGING = json.loads(os.environ["LOGGING"])


def hello(request):
    return HttpResponse("hello\n")


urlpatterns = [path("hello", hello)]
late = os.environ.get("LATE")
settings.configure(
    ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], LOGGING={} if late else LOGGING, SECRET_KEY="x"
)
django = get_asgi_application()


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if late:
            logging.config.dictConfig(LOGGING)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["path"] == "/raises":
        raise RuntimeError("on purpose")
    else:
        await django(scope, receive, send)
