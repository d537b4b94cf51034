"""Finds the application a person names, and makes an ASGI 3 application of it."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from asgiref.compatibility import guarantee_single_callable

from daphne_like.exceptions import ConfigurationError

Application = Callable[..., Awaitable[None]]


def import_application(path: str) -> Application:
    """Import `package.module:attribute.path` and adapt it to ASGI 3 (ASGI C02).

    Args:
        path: a module and, after the colon, an attribute of it; dots reach further in.
    Returns:
        The application as one asynchronous callable.
    Raises:
        ConfigurationError: no colon, no such module or attribute, not callable, or the module's
            own code failed; then with the traceback of that code alone.
    """
    module_name, colon, attributes = path.partition(":")
    if not colon or not module_name or not attributes:
        raise ConfigurationError(
            f"'{path}' does not name an application: expected module:attribute, "
            "for example mysite.asgi:application"
        )
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigurationError(
                f"There is no module named '{error.name}' "
                f"(looked for '{module_name}' in the working directory and the Python path)"
            )
        raise _failed(module_name, error)
    except Exception as error:  # noqa: BLE001
        raise _failed(module_name, error)
    reached = module_name
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise ConfigurationError(f"'{reached}' has no attribute '{attribute}'")
        except Exception as error:  # noqa: BLE001 # a property, or a module's __getattr__
            raise _failed(f"{reached}.{attribute}", error)
        reached = f"{reached}.{attribute}"
    if not callable(found):
        raise ConfigurationError(
            f"'{path}' is no ASGI application: "
            f"an object of type {type(found).__name__} is not callable"
        )
    application: Application = guarantee_single_callable(found)
    return application


def _failed(module_name: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"Importing '{module_name}' failed with {type(error).__name__}: {error}",
        detail="".join(
            traceback.format_exception(type(error), error, _theirs(error.__traceback__))
        ).rstrip(),
    )


def _theirs(tb: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is neither ours nor the import system's."""
    importer = sys.modules[importlib.import_module.__module__].__file__
    while tb is not None and (
        tb.tb_frame.f_code.co_filename in (__file__, importer)
        or tb.tb_frame.f_code.co_filename.startswith("<frozen importlib")
    ):
        tb = tb.tb_next
    return tb
