"""Finds the application that a person names."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from daphne_like.asgi.interface import (
    is_asynchronous,
    looks_like_a_factory,
    parameters_of,
    takes,
)
from daphne_like.exceptions import ConfigurationError

Application = Callable[..., Awaitable[None]]

USUAL_NAMES = ("application", "app")
"""Attributes looked for when none is named: Django's first."""


def import_application(path: str, factory: bool = False) -> Any:
    """Import `package.module:attribute.path`.

    The object is returned as found; `asgi.interface` makes an ASGI 3 application of it.

    Args:
        path: a module and, after the colon, an attribute of it; dots reach further in. Without
            an attribute it is the first of USUAL_NAMES.
        factory: the attribute is called, without arguments, and makes the application.
    Raises:
        ConfigurationError: no such module or attribute, not callable, no factory where there
            ought to be one, a factory where there ought to be none; or code of the module
            failed, then with the traceback of that code alone.
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
        path, attributes = _usual(module, module_name)
    found = _attribute(module, module_name, attributes)
    if factory:
        return _made_by(found, path)
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
    """A person who names a file is told the module."""
    if "/" not in module_name and "\\" not in module_name and not module_name.endswith(".py"):
        return
    parts = re.split(r"[/\\]+", re.sub(r"\.py$", "", module_name))
    attribute = attributes or USUAL_NAMES[0]
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
    except Exception as error:  # noqa: BLE001 # whatever their code raises
        raise _failed(f"Importing '{name}'", error)


def _usual(module: Any, module_name: str) -> tuple[str, str]:
    """The whole path, and the attribute, when the person has named the module alone."""
    for name in USUAL_NAMES:
        if hasattr(module, name):
            return f"{module_name}:{name}", name
    wanted = " nor ".join(f"'{name}'" for name in USUAL_NAMES)
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


def _made_by(make: Any, path: str) -> Any:
    """What a factory makes."""
    if not callable(make):
        raise ConfigurationError(
            f"'{path}' is no factory: an object of type {type(make).__name__} is not callable"
        )
    parameters = parameters_of(make)
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
    except Exception as error:  # noqa: BLE001 # whatever their code raises
        raise _failed(f"Calling '{path}'", error)
    if inspect.iscoroutine(application):
        application.close()  # else it warns that it was never awaited
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
