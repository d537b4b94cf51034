"""Configures logging from a file: --log-config."""

from __future__ import annotations

import json
from typing import Any

from daphne_like.exceptions import ConfigurationError
from daphne_like.launch.configuration_file import parse_toml
from daphne_like.observe import loggers


def configure(path: str) -> None:
    """Configure logging as a file says: TOML, or JSON if its name ends in .json.

    The content is what `logging.config.dictConfig` takes. `version` may be left out, and loggers
    that exist stay enabled unless the file says otherwise.

    Raises:
        ConfigurationError: the file cannot be read, or logging cannot be configured so.
    """
    import logging.config  # with logging.handlers and socketserver, which few servers need

    content = read(path)
    content.setdefault("version", 1)
    content.setdefault("disable_existing_loggers", False)
    try:
        with loggers.kept_enabled():
            logging.config.dictConfig(content)
    except (ValueError, TypeError, AttributeError, ImportError, KeyError) as error:
        # dictConfig names the part in its message, and what is wrong with it in the cause.
        cause = error.__cause__ or error
        detail = f": {cause}" if cause is not error else ""
        raise ConfigurationError(f"--log-config: {path}: {error}{detail}")


def read(path: str) -> dict[str, Any]:
    """Return the content of the file.

    Raises:
        ConfigurationError: it cannot be read, or is neither TOML nor JSON.
    """
    if not path.endswith(".json"):
        return parse_toml(path, "--log-config:")
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except OSError as error:
        raise ConfigurationError(f"--log-config: {path}: {error.strerror}")
    except ValueError as error:
        raise ConfigurationError(f"--log-config: {path}: expected JSON: {error}")
    if not isinstance(content, dict):
        raise ConfigurationError(f"--log-config: {path}: expected an object")
    return content
