"""The Django app: `"daphne_like"` in INSTALLED_APPS replaces runserver."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks

from daphne_like.checks import check_channel_layer, check_daphne_beside, check_order


class DaphneLikeConfig(AppConfig):  # type: ignore[misc] # Django has no types
    """Registers the system checks; Django finds the runserver command by its path."""

    name = "daphne_like"
    verbose_name = "daphne-like"

    def ready(self) -> None:
        checks.register(check_order, checks.Tags.staticfiles)
        checks.register(check_daphne_beside, checks.Tags.compatibility)
        checks.register(check_channel_layer, checks.Tags.compatibility)
