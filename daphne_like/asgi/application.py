"""Imports the application that the user names."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from types import TracebackType
from typing import Any

from daphne_like.asgi.interface import (
    get_parameters,
    is_asynchronous,
    looks_like_a_factory,
    takes,
)
from daphne_like.exceptions import ConfigurationError

DEFAULT_NAMES = ("application", "app")
"""Attributes to try when the user names only a module; Django's name comes first."""


def import_application(path: str, factory: bool = False) -> Any:
    """Import `package.module:attribute.path`.

    The object is returned as found; `asgi.interface` makes an ASGI 3 application of it.

    Args:
        path: a module and, after the colon, an attribute of it; the attribute may contain dots.
            Without an attribute, the first of DEFAULT_NAMES that exists is used.
        factory: the attribute is a factory: call it without arguments to get the application.
    Raises:
        ConfigurationError: the module or attribute does not exist; the object is not callable;
            it is a factory and `factory` is false, or the reverse; or the module's own code
            failed, in which case `detail` holds the traceback of that code alone.
    """
    module_name, _, attributes = path.partition(":")
    _refuse_file(path, module_name, attributes)
    if not module_name or module_name.startswith("."):
        raise ConfigurationError(
            f"'{path}' does not name an application: expected module:attribute, "
            "for example mysite.asgi:application"
        )
    module = _module(module_name)
    if not attributes:
        path, attributes = _default_attribute(module, module_name)
    found = _attribute(module, module_name, attributes)
    if factory:
        return _call_factory(found, path)
    if not callable(found):
        raise ConfigurationError(
            f"'{path}' is no ASGI application: "
            f"an object of type {type(found).__name__} is not callable"
        )
    if looks_like_a_factory(found):
        if is_asynchronous(found):
            raise ConfigurationError(
                f"'{path}' is no ASGI application: it needs no arguments, and is asynchronous; "
                "an application has (scope, receive, send), a factory for --factory is a plain "
                "function, and start-up that waits belongs to lifespan"
            )
        raise ConfigurationError(
            f"'{path}' is no ASGI application: it needs no arguments; did you mean --factory?"
        )
    return found


def _refuse_file(path: str, module_name: str, attributes: str) -> None:
    """Refuse a file name, and suggest the module that the user probably meant."""
    if "/" not in module_name and "\\" not in module_name and not module_name.endswith(".py"):
        return
    parts = re.split(r"[/\\]+", re.sub(r"\.py$", "", module_name))
    attribute = attributes or DEFAULT_NAMES[0]
    if ".." in parts or not parts[0]:  # not below the working directory
        directory = re.sub(r"(?<=[^/\\])[/\\]+[^/\\]*$", "", module_name)
        meant = f"--app-dir {directory} {parts[-1]}:{attribute}"
    else:
        dotted = ".".join(part for part in parts if part not in ("", "."))
        meant = f"{dotted}:{attribute}"
    raise ConfigurationError(f"'{path}' names a file: expected a module; did you mean {meant}?")


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        above, _, last = name.rpartition(".")
        if error.name == name and hasattr(sys.modules.get(above), last):
            raise ConfigurationError(
                f"'{name}' is no module: expected module:attribute; did you mean {above}:{last}?"
            )
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError(
                f"There is no module named '{error.name}' "
                f"(looked for '{name}' in the working directory and the Python path)"
            )
        raise _failed(f"Importing '{name}'", error)
    except Exception as error:  # noqa: BLE001 # the module may raise anything
        raise _failed(f"Importing '{name}'", error)


def _default_attribute(module: Any, module_name: str) -> tuple[str, str]:
    """Return the complete path and the attribute for a user who has named only the module."""
    for name in DEFAULT_NAMES:
        if hasattr(module, name):
            return f"{module_name}:{name}", name
    wanted = " nor ".join(f"'{name}'" for name in DEFAULT_NAMES)
    raise ConfigurationError(
        f"'{module_name}' has neither {wanted}: name the attribute, for example {module_name}:site"
    )


def _attribute(found: Any, reached: str, attributes: str) -> Any:
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise ConfigurationError(f"'{reached}' has no attribute '{attribute}'")
        except Exception as error:  # noqa: BLE001 # a property, or a module's __getattr__
            raise _failed(f"Importing '{reached}.{attribute}'", error)
        reached = f"{reached}.{attribute}"
    return found


def _call_factory(make: Any, path: str) -> Any:
    """Call a factory and return its application."""
    if not callable(make):
        raise ConfigurationError(
            f"'{path}' is no factory: an object of type {type(make).__name__} is not callable"
        )
    parameters = get_parameters(make)
    if parameters is not None and not takes(parameters, 0):
        needed = [each.name for each in parameters if each.default is each.empty]
        raise ConfigurationError(
            f"'{path}' cannot be called without arguments: it needs {', '.join(needed)}"
        )
    if is_asynchronous(make):
        raise ConfigurationError(
            f"'{path}' is no factory: it is asynchronous; start-up that waits belongs to lifespan"
        )
    try:
        application = make()
    except Exception as error:  # noqa: BLE001 # the factory may raise anything
        raise _failed(f"Calling '{path}'", error)
    if inspect.iscoroutine(application):
        application.close()  # otherwise Python warns that it was never awaited
    if not callable(application):
        raise ConfigurationError(
            f"'{path}' made no ASGI application: "
            f"an object of type {type(application).__name__} is not callable"
        )
    return application


def _failed(what: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"{what} failed with {type(error).__name__}: {error}",
        detail="".join(
            traceback.format_exception(type(error), error, _without_own_frames(error.__traceback__))
        ).rstrip(),
    )


def _without_own_frames(tb: TracebackType | None) -> TracebackType | None:
    """Return the traceback without the leading frames of this module and the import system."""
    importer = sys.modules[importlib.import_module.__module__].__file__
    while tb is not None and (
        tb.tb_frame.f_code.co_filename in (__file__, importer)
        or tb.tb_frame.f_code.co_filename.startswith("<frozen importlib")
    ):
        tb = tb.tb_next
    return tb
