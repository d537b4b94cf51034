"""Django system checks: the position of this app in INSTALLED_APPS, and a layer for all workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 # Django's name for it

OURS, STATICFILES, DAPHNE = "daphne_like", "django.contrib.staticfiles", "daphne"
IN_MEMORY = "channels.layers.InMemoryChannelLayer"
WORKERS_VARIABLES = ("DAPHNE_LIKE_WORKERS", "WEB_CONCURRENCY")
"""Environment variables with the number of workers; the first one that is set counts."""
WORKER_FILE = os.path.join("daphne_like", "process", "worker.py")


def check_order(app_configs: Any = None, **_more: Any) -> list[CheckMessage]:
    """Refuse an order in which the runserver of staticfiles wins (daphne_like.E001).

    Django takes a command from the first app that provides it.
    """
    names = _installed()
    if STATICFILES not in names or names.index(OURS) < names.index(STATICFILES):
        return []
    return [
        Error(
            f"'{OURS}' must stand before '{STATICFILES}' in INSTALLED_APPS.",
            hint=f"The first app that has a runserver command gives it: move '{OURS}' up.",
            id="daphne_like.E001",
        )
    ]


check_daphne_installed = check_order
"""Daphne's name for the same check, for projects that import it."""


def check_daphne_beside(app_configs: Any = None, **_more: Any) -> list[CheckMessage]:
    """Warn when Daphne's app is in INSTALLED_APPS too (daphne_like.W001).

    Both apps replace runserver, and Daphne's app installs its own Twisted reactor as soon as it is
    loaded, so the order matters for the reactor too. The package alone, without its app, replaces
    nothing (Channels' tests import it) and causes no warning. The version comes from the installed
    distributions, because `import daphne` may find this package's substitute for tests.
    """
    names = _installed()
    if DAPHNE not in names:
        return []
    try:
        daphne = f"Daphne {version(DAPHNE)}"
    except PackageNotFoundError:
        daphne = "'daphne'"
    if names.index(OURS) < names.index(DAPHNE):
        winner = f"'{OURS}' stands first, so runserver is daphne-like's."
    else:
        winner = f"'{DAPHNE}' stands first, so runserver is Daphne's."
    return [
        Warning(
            f"{daphne} is in INSTALLED_APPS beside '{OURS}', and both replace runserver. {winner}",
            hint="Remove the one that you do not want.",
            id="daphne_like.W001",
        )
    ]


def check_channel_layer(app_configs: Any = None, **_more: Any) -> list[CheckMessage]:
    """Refuse an in-memory channel layer together with several workers (daphne_like.E002).

    The check runs in `manage.py`, so it sees the number of workers only where the environment has
    it, or within a worker. A worker that Django has not checked logs the same sentence.
    """
    source = source_of_workers(os.environ, sys.argv)
    aliases = in_memory_layers()
    if not source or not aliases:
        return []
    return [
        Error(
            f"{in_memory_sentence(aliases)}, and {source} asks for several.",
            hint="Use channels_redis.core.RedisChannelLayer (pip install channels_redis), or one "
            "worker.",
            id="daphne_like.E002",
        )
    ]


def in_memory_layers() -> list[str]:
    """Return the aliases of the channel layers that exist in the memory of one process."""
    if not settings.configured:
        return []
    layers: Any = getattr(settings, "CHANNEL_LAYERS", None) or {}
    return [alias for alias, layer in layers.items() if layer.get("BACKEND") == IN_MEMORY]


def in_memory_sentence(aliases: Sequence[str]) -> str:
    """Return the beginning of a sentence about these channel layers."""
    names = ", ".join(f"'{alias}'" for alias in aliases)
    return (
        f"CHANNEL_LAYERS: InMemoryChannelLayer ({names}) reaches the consumers of one worker only"
    )


def source_of_workers(environ: Mapping[str, str], arguments: Sequence[str]) -> str:
    """Return what asks for more than one worker, in words, or "".

    Args:
        environ: environment variables.
        arguments: sys.argv. That of a worker has its slot and the number of workers, "slot=1/2".
    """
    if arguments and arguments[0].endswith(WORKER_FILE):
        slot, _, workers = arguments[1].removeprefix("slot=").partition("/")
        # The signal SIGTTIN adds slots beyond the number in the configuration.
        return "--workers" if max(int(slot), int(workers)) > 1 else ""
    for name in WORKERS_VARIABLES:
        text = environ.get(name, "").strip()
        if text:
            several = text == "auto" or (text.isdecimal() and int(text) > 1)
            return f"{name}={text}" if several else ""
    return ""


def _installed() -> list[str]:
    return [config.name for config in apps.get_app_configs()]
