"""The project with Channels: HTTP as before, WebSockets to consumers."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_site.settings")

from django.core.asgi import get_asgi_application

http = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402 # needs the settings above
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.urls import path  # noqa: E402

from django_site import consumers  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": AllowedHostsOriginValidator(
            URLRouter(
                [
                    path("objects/", consumers.Objects.as_asgi()),
                    path("room/<str:room>/", consumers.Room.as_asgi()),
                    path("threads/", consumers.Threads.as_asgi()),
                    path("visitor/", AuthMiddlewareStack(consumers.Visitor.as_asgi())),
                ]
            )
        ),
    }
)
