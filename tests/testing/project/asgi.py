"""The project's application, views and consumer."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

from django.core.asgi import get_asgi_application

http = get_asgi_application()

from channels.db import database_sync_to_async  # noqa: E402 # needs the settings above
from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.mail import get_connection  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402


def users(request: HttpRequest) -> HttpResponse:
    return HttpResponse(",".join(User.objects.values_list("username", flat=True)))


def mail(request: HttpRequest) -> HttpResponse:
    return HttpResponse(type(get_connection()).__module__)


class Count(AsyncJsonWebsocketConsumer):
    """Says how many users the database has."""

    async def receive_json(self, content: object, **kwargs: object) -> None:
        await self.send_json({"users": await database_sync_to_async(User.objects.count)()})


urlpatterns = [path("users", users), path("mail", mail)]
application = ProtocolTypeRouter(
    {"http": http, "websocket": URLRouter([path("count/", Count.as_asgi())])}
)
