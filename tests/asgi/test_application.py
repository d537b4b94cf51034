"""Finding the application that a person names."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daphne_like.asgi import application as subject
from daphne_like.asgi.application import import_application
from daphne_like.exceptions import ConfigurationError


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """module(name, source): it can be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(name: str, source: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(source)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def refusal(path: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        import_application(path)
    assert caught.value.exit_status == 2
    return caught.value


class TestNames:
    """The issue: `daphne-like module:application`."""

    def test_attribute(self, module: Any) -> None:
        """`module:attribute`."""
        module("found_a.py", "async def application(scope, receive, send): pass\n")
        application = import_application("found_a:application")
        assert application is sys.modules["found_a"].application

    def test_dotted(self, module: Any) -> None:
        """A module of a package, and an attribute of an attribute."""
        module("found_p/__init__.py", "")
        module(
            "found_p/asgi.py",
            "class site:\n    @staticmethod\n    async def app(scope, receive, send): pass\n",
        )
        assert import_application("found_p.asgi:site.app") is sys.modules["found_p.asgi"].site.app

    @pytest.mark.parametrize("path", ["", "mysite", "mysite.asgi", ":application", "mysite:"])
    def test_no_name(self, path: str) -> None:
        """Without module, colon or attribute."""
        assert str(refusal(path)) == (
            f"'{path}' does not name an application: expected module:attribute, "
            "for example mysite.asgi:application"
        )

    @pytest.mark.parametrize("path", ["no_such_module", "no_such_module.asgi"])
    def test_no_module(self, path: str) -> None:
        """The module is not there."""
        error = refusal(f"{path}:application")
        assert str(error) == (
            "There is no module named 'no_such_module' "
            f"(looked for '{path}' in the working directory and the Python path)"
        )
        assert error.detail == ""

    def test_no_attribute(self, module: Any) -> None:
        """The attribute is not there, at whatever depth."""
        module("found_b.py", "class site: pass\n")
        assert str(refusal("found_b:app")) == "'found_b' has no attribute 'app'"
        assert str(refusal("found_b:site.app")) == "'found_b.site' has no attribute 'app'"

    def test_not_callable(self, module: Any) -> None:
        """The attribute is no application."""
        module("found_c.py", "application = 'text'\n")
        assert str(refusal("found_c:application")) == (
            "'found_c:application' is no ASGI application: an object of type str is not callable"
        )


class TestTheirOwnErrors:
    """The issue: the application's own traceback is shown, and no frame of ours."""

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            ("import no_such_library\n", "ModuleNotFoundError: No module named 'no_such_library'"),
            ("1 / 0\n", "ZeroDivisionError: division by zero"),
            ("raise RuntimeError('SECRET_KEY is empty')\n", "RuntimeError: SECRET_KEY is empty"),
            ("def (:\n", "SyntaxError: invalid syntax (found_d.py, line 1)"),
        ],
    )
    def test_failing_import(self, module: Any, source: str, said: str) -> None:
        """One sentence, and the traceback of the module alone."""
        module("found_d.py", source)
        error = refusal("found_d:application")
        assert str(error) == f"Importing 'found_d' failed with {said}"
        assert "found_d.py" in error.detail
        assert error.detail.splitlines()[-1].startswith(said.partition(":")[0])
        assert subject.__file__ not in error.detail
        assert "importlib" not in error.detail

    def test_failing_attribute(self, module: Any) -> None:
        """A module that makes its attributes when they are asked for."""
        module("found_e.py", "def __getattr__(name):\n    raise RuntimeError('not configured')\n")
        error = refusal("found_e:application")
        assert str(error) == (
            "Importing 'found_e.application' failed with RuntimeError: not configured"
        )
        assert "in __getattr__" in error.detail
        assert subject.__file__ not in error.detail


class TestVersions:
    """ASGI, "Legacy Applications"."""

    @pytest.mark.parametrize(
        "source",
        [
            (
                "class application:\n"
                "    def __init__(self, scope): self.scope = scope\n"
                "    async def __call__(self, receive, send): await send(self.scope)\n"
            ),
            (
                "def application(scope):\n"
                "    async def instance(receive, send): await send(scope)\n"
                "    return instance\n"
            ),
        ],
        ids=["class", "function"],
    )
    def test_asgi_2(self, module: Any, source: str) -> None:
        """C02: an application in two calls is run as one in a single call."""
        module("found_f.py", source)
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(import_application("found_f:application")({"type": "x"}, None, send))
        assert sent == [{"type": "x"}]

    def test_asgi_3_object(self, module: Any) -> None:
        """C01: an object with an asynchronous `__call__` stays what it is."""
        module(
            "found_g.py",
            "class Site:\n    async def __call__(self, scope, receive, send): pass\n"
            "application = Site()\n",
        )
        assert import_application("found_g:application") is sys.modules["found_g"].application
