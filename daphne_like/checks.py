"""Django system checks for the position of this app in INSTALLED_APPS."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 # Django's name for it

OURS, STATICFILES, DAPHNE = "daphne_like", "django.contrib.staticfiles", "daphne"


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


def _installed() -> list[str]:
    return [config.name for config in apps.get_app_configs()]
