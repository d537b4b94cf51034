"""Detects the interface of an application and adapts it to ASGI 3."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from asgiref.compatibility import double_to_single_callable
from asgiref.sync import iscoroutinefunction

from daphne_like.exceptions import ConfigurationError

Application = Callable[..., Awaitable[None]]
"""An ASGI 3 application."""

INTERFACES = ("auto", "asgi3", "asgi2", "wsgi")
WSGI_THREADS = 10

# Number of arguments of an application's first call.
ARGUMENT_COUNTS = {"asgi3": 3, "wsgi": 2, "asgi2": 1}
CHOOSE = "choose with --interface asgi3, asgi2 or wsgi"


def as_asgi3(
    application: Any, interface: str = "auto", wsgi_threads: int | None = None
) -> Application:
    """Adapt an application of any supported interface to ASGI 3 (ASGI C01, C02, G01).

    Args:
        application: the imported object; an ASGI 3 application is returned unchanged.
        interface: one of INTERFACES.
        wsgi_threads: threads for a WSGI application, WSGI_THREADS by default.
    Raises:
        ConfigurationError: the application has none of the interfaces, or a2wsgi is missing.
    """
    if interface not in INTERFACES:
        raise ConfigurationError(
            f"--interface: expected one of {', '.join(INTERFACES)}, got {interface!r}"
        )
    if interface == "auto":
        interface = detect_interface(application)
    adapted: Application = application
    if interface == "asgi2":
        adapted = double_to_single_callable(application)
    elif interface == "wsgi":
        # Imported here, because an ASGI application needs neither a thread pool nor a2wsgi.
        from daphne_like.asgi.wsgi import WSGIApplication

        adapted = WSGIApplication(application, wsgi_threads or WSGI_THREADS)
    return adapted


def detect_interface(application: Any) -> str:
    """Detect the interface of an application from its signature.

    asgiref's is_double_callable, which Daphne and uvicorn use, treats every synchronous callable
    as ASGI 2, including WSGI applications and functions that return a coroutine.

    A callable without a usable signature (written in C, with only `*args`, or a mock) is treated
    as ASGI 3, because nearly all applications are; `--interface` overrides that.

    Returns:
        "asgi3", "asgi2" or "wsgi".
    Raises:
        ConfigurationError: the application cannot be called with one, two or three arguments.
    """
    if not callable(application):
        raise ConfigurationError(
            f"No ASGI application: an object of type {type(application).__name__} is not callable"
        )
    if inspect.isclass(application):
        return _detect_class_interface(application)
    if is_asynchronous(application):
        return "asgi3"
    parameters = get_parameters(application)
    if parameters is None or _takes_anything(parameters):
        return "asgi3"
    return _by_parameters(application, parameters)


def _detect_class_interface(application: type) -> str:
    """Detect the interface of a class: its instances are awaited, iterated or called."""
    if hasattr(application, "__await__"):
        return "asgi3"
    parameters = get_parameters(application)
    calls = next((vars(base)["__call__"] for base in application.__mro__
                  if "__call__" in vars(base)), None)  # fmt: skip
    if calls is not None and parameters is not None:
        inner = get_parameters(partial(calls, None))
        if inner is not None and not _takes_anything(inner) and takes(inner, 3):
            raise ConfigurationError(
                f"The class {application.__name__} is no ASGI application, its instances are: "
                "name an instance, or use --factory (a consumer of Channels: its as_asgi())"
            )
    if parameters is None or _takes_anything(parameters):
        return "wsgi" if hasattr(application, "__iter__") else "asgi2"
    return _by_parameters(application, parameters)


def _by_parameters(application: Any, parameters: list[inspect.Parameter]) -> str:
    possible = [name for name, count in ARGUMENT_COUNTS.items() if takes(parameters, count)]
    if not possible:
        name = getattr(application, "__qualname__", type(application).__qualname__)
        hint = "did you mean --factory?" if takes(parameters, 0) else CHOOSE
        raise ConfigurationError(
            f"{name}{_shown(parameters)} is no ASGI or WSGI application: expected (scope, receive, "
            f"send), (scope) or (environ, start_response); {hint}"
        )
    names = [parameter.name for parameter in parameters]
    if "wsgi" in possible and (names[0] in ("environ", "env") or names[1] == "start_response"):
        return "wsgi"
    if "asgi2" in possible and names[0] == "scope" and "receive" not in names:
        return "asgi2"
    return possible[0]


def is_asynchronous(application: Any) -> bool:
    """Tell whether an application is declared as asynchronous."""
    return iscoroutinefunction(application) or iscoroutinefunction(
        getattr(type(application), "__call__", None)  # noqa: B004 # the function, not whether
    )


def get_parameters(called: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """Return the parameters of a callable, or None if it has no usable signature."""
    try:
        return list(inspect.signature(called).parameters.values())
    except (TypeError, ValueError):  # written in C, or its __signature__ is not a Signature
        return None


def takes(parameters: list[inspect.Parameter], count: int) -> bool:
    """Tell whether a callable accepts `count` positional arguments."""
    minimum = maximum = 0
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            maximum = max(maximum, count)
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            maximum += 1
            minimum += parameter.default is parameter.empty
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            return False
    return minimum <= count <= maximum


def _takes_anything(parameters: list[inspect.Parameter]) -> bool:
    return all(takes(parameters, count) for count in ARGUMENT_COUNTS.values())


def wants_server(ready_callable: Callable[..., Any]) -> bool:
    """Tell whether a `ready_callable` should be called with the server as its argument.

    Daphne calls it without arguments, so a callable that accepts none is called without the
    server. A parameter with a default counts only if its name is `server`: the default in
    `lambda port=port: ...` is a value that the author has bound. A callable without a usable
    signature (written in C) is called with the server.
    """
    parameters = get_parameters(ready_callable)
    if parameters is None:
        return True
    if not takes(parameters, 1):
        return False
    first = parameters[0]
    return first.default is first.empty or first.name == "server"


def looks_like_a_factory(found: Any) -> bool:
    """Tell whether an object accepts no arguments and does not look like an application."""
    parameters = get_parameters(found)
    if parameters is None or not takes(parameters, 0) or takes(parameters, 3):
        return False
    return not (parameters and parameters[0].name in ("scope", "environ", "env"))


def _shown(parameters: list[inspect.Parameter]) -> str:
    return f"({', '.join(parameter.name for parameter in parameters)})"
