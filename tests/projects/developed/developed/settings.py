"""Settings of a project under development; tests append to a copy of this file."""

from pathlib import Path

BASE = Path(__file__).parent
SECRET_KEY = "for tests"
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "developed.urls"
INSTALLED_APPS = ["daphne_like", "django.contrib.staticfiles"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE / "db.sqlite3"}}
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE / "static"]
USE_TZ = True
ASGI_APPLICATION = "developed.asgi.application"
