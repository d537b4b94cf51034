"""Telling the interface of an application, and making an ASGI 3 one of it."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import AsyncMock, MagicMock, Mock

import pytest
from asgiref.sync import markcoroutinefunction

from daphne_like.asgi.interface import INTERFACES, as_asgi3, detect_interface
from daphne_like.exceptions import ConfigurationError
from tests.support import needed


async def asgi3(scope: Any, receive: Any, send: Any) -> None:
    await send(scope)


def returns_coroutine(scope: Any, receive: Any, send: Any) -> Any:
    return asgi3(scope, receive, send)


def asgi2(scope: Any) -> Any:
    async def instance(receive: Any, send: Any) -> None:
        await send(scope)

    return instance


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"Hello"]


class ASGI3Object:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send(scope)


class ASGI3Delegates:
    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        return asgi3(scope, receive, send)


class ASGI3Awaitable:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.running = asgi3(scope, receive, send)

    def __await__(self) -> Any:
        return self.running.__await__()


class ASGI3AwaitableAnything:
    def __init__(self, *args: Any) -> None: ...

    def __await__(self) -> Any: ...


class ASGI2Class:
    def __init__(self, scope: Any) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        await send(self.scope)


class ASGI2WithSettings:
    def __init__(self, scope: Any, settings: Any = None) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None: ...


class ASGI2Anything:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


class WSGIObject:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class WSGIClass:
    def __init__(self, environ: Any, start_response: Any) -> None: ...

    def __iter__(self) -> Iterator[bytes]:
        return iter([b""])


class Site:
    async def asgi3(self, scope: Any, receive: Any, send: Any) -> None: ...

    def asgi2(self, scope: Any) -> Any: ...

    def wsgi(self, env: Any, start: Any) -> Any: ...


def wrapped(function: Any) -> Any:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


def blindly_wrapped(function: Any) -> Any:
    return lambda *args, **kwargs: function(*args, **kwargs)


def configured(settings: Any, scope: Any, receive: Any, send: Any) -> Any: ...


def wsgi_by_its_environ(environ: Any, respond: Any, settings: Any = None) -> Any: ...


def wsgi_configured(environ: Any, start_response: Any, settings: Any = None) -> Any: ...


@markcoroutinefunction
def marked(*args: Any) -> Any: ...


FOUND = {
    "coroutine function": (asgi3, "asgi3"),
    "function that returns a coroutine": (returns_coroutine, "asgi3"),
    "object with an asynchronous call": (ASGI3Object(), "asgi3"),
    "object whose call returns a coroutine": (ASGI3Delegates(), "asgi3"),
    "class of awaitables": (ASGI3Awaitable, "asgi3"),
    "class of awaitables that tells nothing": (ASGI3AwaitableAnything, "asgi3"),
    "asynchronous method": (Site().asgi3, "asgi3"),
    "partial of a coroutine function": (functools.partial(asgi3), "asgi3"),
    "partial that binds the first": (functools.partial(configured, {}), "asgi3"),
    "partial of an object": (functools.partial(ASGI3Object()), "asgi3"),
    "marked as coroutine function": (marked, "asgi3"),
    "decorated ASGI 3": (wrapped(asgi3), "asgi3"),
    "lambda": (lambda scope, receive, send: asgi3(scope, receive, send), "asgi3"),
    "function of two calls": (asgi2, "asgi2"),
    "class of two calls": (ASGI2Class, "asgi2"),
    "class of two calls with settings": (ASGI2WithSettings, "asgi2"),
    "class of two calls that tells nothing": (ASGI2Anything, "asgi2"),
    "method of two calls": (Site().asgi2, "asgi2"),
    "decorated ASGI 2": (wrapped(asgi2), "asgi2"),
    "partial of two calls": (functools.partial(ASGI2WithSettings, settings=1), "asgi2"),
    "WSGI function": (wsgi, "wsgi"),
    "WSGI object": (WSGIObject(), "wsgi"),
    "WSGI class": (WSGIClass, "wsgi"),
    "WSGI method": (Site().wsgi, "wsgi"),
    "decorated WSGI": (wrapped(wsgi), "wsgi"),
    "WSGI with settings": (wsgi_configured, "wsgi"),
    "WSGI by its first argument": (wsgi_by_its_environ, "wsgi"),
    "partial of WSGI": (functools.partial(wsgi), "wsgi"),
    "function that tells nothing": (blindly_wrapped(asgi3), "asgi3"),
    "mock": (Mock(), "asgi3"),
    "magic mock": (MagicMock(), "asgi3"),
    "asynchronous mock": (AsyncMock(), "asgi3"),
    "written in C, without a signature": (type(sys.flags).__call__, "asgi3"),
}


class TestFinding:
    """`--interface auto`; C01 and C02."""

    @pytest.mark.parametrize("name", FOUND)
    def test_interface(self, name: str) -> None:
        """C01, C02, G01: the interface follows from how an application wants to be called."""
        application, interface = FOUND[name]
        assert detect_interface(application) == interface

    @pytest.mark.parametrize(
        ("module", "attribute", "interface"),
        [("flask", "Flask", "wsgi"), ("quart", "Quart", "asgi3")],
    )
    def test_flask_and_quart(self, module: str, attribute: str, interface: str) -> None:
        """G01: the one is WSGI, the other, much alike, is not."""
        framework = needed.module(module)
        assert detect_interface(getattr(framework, attribute)("name")) == interface

    def test_django(self) -> None:
        """G01: both of Django's."""
        needed.module("django")
        from django.core.handlers.asgi import ASGIHandler
        from django.core.handlers.wsgi import WSGIHandler

        assert detect_interface(WSGIHandler.__new__(WSGIHandler)) == "wsgi"
        assert detect_interface(ASGIHandler.__new__(ASGIHandler)) == "asgi3"

    def test_falcon(self) -> None:
        """G01: the ASGI application inherits from the WSGI one."""
        falcon = needed.module("falcon")
        needed.module("falcon.asgi")
        assert detect_interface(falcon.App()) == "wsgi"
        assert detect_interface(falcon.asgi.App()) == "asgi3"


class TestRefusals:
    """Sentences for people."""

    def test_no_arguments(self) -> None:
        """A factory is not an application."""

        def make_app() -> Any: ...

        with pytest.raises(ConfigurationError, match=r"did you mean --factory\?$"):
            detect_interface(make_app)

    def test_too_many_arguments(self) -> None:
        """Nor is what needs four arguments."""
        with pytest.raises(ConfigurationError) as error:
            detect_interface(configured)
        assert str(error.value) == (
            "configured(settings, scope, receive, send) is no ASGI or WSGI application: expected "
            "(scope, receive, send), (scope) or (environ, start_response); "
            "choose with --interface asgi3, asgi2 or wsgi"
        )

    def test_class_instead_of_instance(self) -> None:
        """C01: a class whose instances are applications, as a consumer of Channels is."""
        with pytest.raises(ConfigurationError, match="name an instance, or use --factory"):
            detect_interface(ASGI3Object)

    def test_consumer(self) -> None:
        """A consumer of Channels without `as_asgi()`."""
        needed.module("channels")
        from channels.consumer import AsyncConsumer

        with pytest.raises(ConfigurationError, match=r"its as_asgi\(\)"):
            detect_interface(AsyncConsumer)
        assert detect_interface(AsyncConsumer.as_asgi()) == "asgi3"

    def test_not_callable(self) -> None:
        """Text is no application."""
        with pytest.raises(ConfigurationError, match="type str is not callable"):
            detect_interface("application")

    def test_unknown_interface(self) -> None:
        """Only what INTERFACES names."""
        with pytest.raises(ConfigurationError, match=r"^--interface: expected one of auto, "):
            as_asgi3(asgi3, "asgi4")


class TestAdapting:
    """ASGI, "Legacy Applications"."""

    @pytest.mark.parametrize("interface", ["auto", "asgi3"])
    def test_asgi_3_stays(self, interface: str) -> None:
        """C01: an ASGI 3 application is run as it is, with nothing in between."""
        assert as_asgi3(asgi3, interface) is asgi3

    @pytest.mark.parametrize("interface", ["auto", "asgi2"])
    @pytest.mark.parametrize("application", [asgi2, ASGI2Class])
    def test_asgi_2(self, application: Callable[..., Any], interface: str) -> None:
        """C02: an application in two calls is run as one in a single call."""
        sent = run(as_asgi3(application, interface), {"type": "x"})
        assert sent == [{"type": "x"}]

    @pytest.mark.parametrize("application", [returns_coroutine, ASGI3Delegates(), ASGI3Awaitable])
    def test_coroutine_returned(self, application: Callable[..., Any]) -> None:
        """C01: a synchronous callable may return the awaitable."""
        assert run(as_asgi3(application), {"type": "x"}) == [{"type": "x"}]

    def test_told_interface_counts(self) -> None:
        """C02: what is told is not found out."""
        anything = blindly_wrapped(asgi2)
        assert run(as_asgi3(anything, "asgi2"), {"type": "x"}) == [{"type": "x"}]

    def test_twice(self) -> None:
        """C01: what is adapted already stays, of whatever interface it was."""
        for application in (asgi2, wsgi):
            adapted = as_asgi3(application)
            assert as_asgi3(adapted) is adapted

    def test_interfaces(self) -> None:
        """The names that the command line offers."""
        assert INTERFACES == ("auto", "asgi3", "asgi2", "wsgi")


def run(application: Callable[..., Any], scope: dict[str, Any]) -> list[Any]:
    """What an application sends."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def story() -> None:
        await application(scope, None, send)

    asyncio.run(story())
    return sent
