"""Tells an application's interface, and makes an ASGI 3 application of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.compatibility import double_to_single_callable
from asgiref.sync import iscoroutinefunction

from daphne_like.exceptions import ConfigurationError

if TYPE_CHECKING:
    from daphne_like.asgi.application import Application

INTERFACES = ("auto", "asgi3", "asgi2", "wsgi")
WSGI_THREADS = 10

# How many arguments the first call of an application has.
CALLED_WITH = {"asgi3": 3, "wsgi": 2, "asgi2": 1}
CHOOSE = "choose with --interface asgi3, asgi2 or wsgi"


def as_asgi3(
    application: Any, interface: str = "auto", wsgi_threads: int | None = None
) -> Application:
    """Make an application of whatever interface an ASGI 3 one (ASGI C01, C02, G01).

    Args:
        application: as found; one of ASGI 3 is returned as it is.
        interface: one of INTERFACES.
        wsgi_threads: threads for a WSGI application, WSGI_THREADS by default.
    Raises:
        ConfigurationError: it is of none of the interfaces, or WSGI's library is missing.
    """
    if interface not in INTERFACES:
        raise ConfigurationError(
            f"--interface: expected one of {', '.join(INTERFACES)}, got {interface!r}"
        )
    if interface == "auto":
        interface = interface_of(application)
    adapted: Application = application
    if interface == "asgi2":
        adapted = double_to_single_callable(application)
    elif interface == "wsgi":
        # Not at the head: whoever serves ASGI loads no thread pool and needs no a2wsgi.
        from daphne_like.asgi.wsgi import WSGIApplication

        adapted = WSGIApplication(application, wsgi_threads or WSGI_THREADS)
    return adapted


def interface_of(application: Any) -> str:
    """Tell the interface of an application by how it wants to be called.

    asgiref's is_double_callable, which Daphne and uvicorn go by, takes every synchronous callable
    for ASGI 2: WSGI applications, and functions that return a coroutine, too.

    A callable that does not tell (written in C, or with `*args` alone, or a mock) is taken for
    ASGI 3, which nearly all are; `--interface` says otherwise.

    Returns:
        "asgi3", "asgi2" or "wsgi".
    Raises:
        ConfigurationError: it cannot be called with one, two or three arguments.
    """
    if not callable(application):
        raise ConfigurationError(
            f"No ASGI application: an object of type {type(application).__name__} is not callable"
        )
    if inspect.isclass(application):
        return _interface_of_class(application)
    if is_asynchronous(application):
        return "asgi3"
    parameters = parameters_of(application)
    if parameters is None or _takes_anything(parameters):
        return "asgi3"
    return _by_parameters(application, parameters)


def _interface_of_class(application: type) -> str:
    """A class is called like a function; what it makes then is awaited, iterated or called."""
    if hasattr(application, "__await__"):
        return "asgi3"
    parameters = parameters_of(application)
    calls = next((vars(base)["__call__"] for base in application.__mro__
                  if "__call__" in vars(base)), None)  # fmt: skip
    if calls is not None and parameters is not None:
        inner = parameters_of(partial(calls, None))
        if inner is not None and not _takes_anything(inner) and takes(inner, 3):
            raise ConfigurationError(
                f"The class {application.__name__} is no ASGI application, its instances are: "
                "name an instance, or use --factory (a consumer of Channels: its as_asgi())"
            )
    if parameters is None or _takes_anything(parameters):
        return "wsgi" if hasattr(application, "__iter__") else "asgi2"
    return _by_parameters(application, parameters)


def _by_parameters(application: Any, parameters: list[inspect.Parameter]) -> str:
    possible = [name for name, count in CALLED_WITH.items() if takes(parameters, count)]
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
    """Whether calling it gives a coroutine, as far as it says so."""
    return iscoroutinefunction(application) or iscoroutinefunction(
        getattr(type(application), "__call__", None)  # noqa: B004 # the function, not whether
    )


def parameters_of(called: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """The parameters of a callable as its caller sees them; None where it does not tell."""
    try:
        return list(inspect.signature(called).parameters.values())
    except (TypeError, ValueError):  # written in C, or a __signature__ that is none
        return None


def takes(parameters: list[inspect.Parameter], count: int) -> bool:
    """Whether a callable can be called with so many positional arguments."""
    least = most = 0
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            most = max(most, count)
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            most += 1
            least += parameter.default is parameter.empty
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            return False
    return least <= count <= most


def _takes_anything(parameters: list[inspect.Parameter]) -> bool:
    return all(takes(parameters, count) for count in CALLED_WITH.values())


def wants_server(ready_callable: Callable[..., Any]) -> bool:
    """Return whether a `ready_callable` is to be called with the server.

    Daphne calls its own without arguments, so one that cannot take the server gets none. A
    parameter with a default counts only if it is called `server`: `lambda port=port: ...` binds a
    value of its author's. A callable that does not tell (written in C) gets the server.
    """
    parameters = parameters_of(ready_callable)
    if parameters is None:
        return True
    if not takes(parameters, 1):
        return False
    first = parameters[0]
    return first.default is first.empty or first.name == "server"


def looks_like_a_factory(found: Any) -> bool:
    """Whether it may be called without arguments, and hardly as an application."""
    parameters = parameters_of(found)
    if parameters is None or not takes(parameters, 0) or takes(parameters, 3):
        return False
    return not (parameters and parameters[0].name in ("scope", "environ", "env"))


def _shown(parameters: list[inspect.Parameter]) -> str:
    return f"({', '.join(parameter.name for parameter in parameters)})"
