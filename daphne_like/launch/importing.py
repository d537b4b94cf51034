"""Imports the application as the front doors do."""

from __future__ import annotations

import os
import sys
from typing import Any

from daphne_like.asgi.application import import_application
from daphne_like.exceptions import ConfigurationError
from daphne_like.observe import loggers
from daphne_like.options import Options


def import_from(path: str, options: Options) -> Any:
    """Import an application, from `--app-dir` first.

    Raises:
        ConfigurationError: there is no such directory, or the application cannot be imported.
    """
    if not os.path.isdir(options.app_dir):
        raise ConfigurationError(f"--app-dir: {options.app_dir} is not a directory")
    if options.app_dir not in sys.path:
        sys.path.insert(0, options.app_dir)
    with loggers.kept_enabled():
        return import_application(path, options.factory)
