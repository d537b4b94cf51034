"""The application: by protocol, then by path."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django = get_asgi_application()  # sets Django up; must come before any import of models

from channels.auth import AuthMiddlewareStack  # noqa: E402 # needs Django set up
from channels.routing import ChannelNameRouter, ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from chat import consumers, streams, worker  # noqa: E402
from django.urls import path, re_path  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                path("events/", streams.EventsConsumer.as_asgi()),
                path("poll/<slug:room>/", streams.PollConsumer.as_asgi()),
                path("health/", streams.HealthConsumer.as_asgi()),
                re_path("", django),
            ]
        ),
        # A page of any site can open a WebSocket to any host. The validator refuses other sites.
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(
                URLRouter(
                    [
                        path("ws/room/<slug:room>/", consumers.RoomConsumer.as_asgi()),
                        path("ws/shout/<slug:room>/", consumers.ShoutConsumer.as_asgi()),
                    ]
                )
            )
        ),
        # `manage.py runworker shout` runs this consumer.
        "channel": ChannelNameRouter({"shout": worker.ShoutWorker.as_asgi()}),
    }
)
