"""The application: Django's page, and the WebSocket of a room."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rooms.settings")
django = get_asgi_application()  # sets Django up; must come before the imports below

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402 # needs Django set up
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.urls import path  # noqa: E402

from rooms.consumers import RoomConsumer  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": django,
        # A page of any site can open a WebSocket to any host. The validator refuses other sites.
        "websocket": AllowedHostsOriginValidator(
            URLRouter([path("ws/<slug:room>/", RoomConsumer.as_asgi())])
        ),
    }
)
