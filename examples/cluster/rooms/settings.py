"""Settings: no database; everything that the hosts share is in Redis."""

import os

DEBUG = False
SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = os.environ["ALLOWED_HOSTS"].split(",")
REDIS_URL = os.environ["REDIS_URL"]

INSTALLED_APPS = ["daphne_like", "channels"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware"]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [os.path.dirname(__file__)],
    }
]
ROOT_URLCONF = "rooms.views"
ASGI_APPLICATION = "rooms.asgi.application"
USE_TZ = True
TIME_ZONE = "UTC"  # of the log, too: Django sets it for the whole worker

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {
            # redis-py 8 closes a silent connection after 5 seconds, which is as long as
            # channels_redis 4.3 lets Redis wait for a message.
            "hosts": [{"address": REDIS_URL, "socket_timeout": None}],
            # All consumers of a process share one queue in Redis.
            "capacity": 10_000,
        },
    }
}
