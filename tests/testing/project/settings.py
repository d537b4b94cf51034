"""A Channels project as its documentation has it, on a database in a file."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).parent

SECRET_KEY = "for tests"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.staticfiles",
    "channels",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": HERE / "site.sqlite3",
        "TEST": {"NAME": os.environ.get("TEST_DATABASE", str(Path.cwd() / "test.sqlite3"))},
        "OPTIONS": {"timeout": 20},
    }
}
ROOT_URLCONF = "asgi"
STATIC_URL = "/static/"
STATICFILES_DIRS = [HERE / "site_static"]
ASGI_APPLICATION = "asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
USE_TZ = True
