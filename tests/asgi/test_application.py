"""Finding the application that a person names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
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


def refusal(path: str, factory: bool = False) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        import_application(path, factory)
    assert caught.value.exit_status == 2
    return caught.value


class TestNames:
    """The command's argument, `module:application`."""

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

    @pytest.mark.parametrize("path", ["", ":", ":application", ".asgi:application"])
    def test_no_name(self, path: str) -> None:
        """Without a module, or with one that is relative to nothing."""
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

    @pytest.mark.parametrize("path", ["found_u", "found_u:"])
    def test_usual_names(self, module: Any, path: str) -> None:
        """Without an attribute it is `application`, then `app`."""
        module("found_u.py", "async def app(scope, receive, send): pass\n")
        assert import_application(path) is sys.modules["found_u"].app
        sys.modules["found_u"].application = application = lambda scope, receive, send: None
        assert import_application(path) is application

    def test_no_usual_name(self, module: Any) -> None:
        """Neither of the two is there."""
        module("found_n.py", "async def site(scope, receive, send): pass\n")
        assert str(refusal("found_n")) == (
            "'found_n' has neither 'application' nor 'app': "
            "name the attribute, for example found_n:site"
        )

    @pytest.mark.parametrize(
        ("path", "meant"),
        [
            ("mysite/asgi.py", "mysite.asgi:application"),
            ("./mysite/asgi.py:site", "mysite.asgi:site"),
            ("mysite\\asgi.py", "mysite.asgi:application"),
            ("main.py:app", "main:app"),
            ("mysite/asgi", "mysite.asgi:application"),
            ("../../site/main.py", "--app-dir ../../site main:application"),
            ("../main.py:app", "--app-dir .. main:app"),
            ("/srv/site/main.py:app", "--app-dir /srv/site main:app"),
        ],
    )
    def test_file(self, path: str, meant: str) -> None:
        """Who names a file is told the module."""
        assert str(refusal(path)) == (
            f"'{path}' names a file: expected a module; did you mean {meant}?"
        )

    def test_dot_for_colon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who writes a dot in the place of the colon is told; a module that is not there, too."""
        monkeypatch.setitem(sys.modules, "dotted", ModuleType("dotted"))
        sys.modules["dotted"].app = print  # type: ignore[attr-defined]
        assert str(refusal("dotted.app")) == (
            "'dotted.app' is no module: expected module:attribute; did you mean dotted:app?"
        )
        assert str(refusal("dotted.other")).startswith("There is no module named 'dotted.other'")

    def test_asynchronous_factory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is not told --factory, which would refuse it."""

        async def make() -> Any:
            """Would make an application."""

        monkeypatch.setitem(sys.modules, "factories", ModuleType("factories"))
        sys.modules["factories"].make = make  # type: ignore[attr-defined]
        said = str(refusal("factories:make"))
        assert "is asynchronous" in said
        assert "did you mean" not in said

    def test_as_found(self, module: Any) -> None:
        """C02: the object is returned as found, of whatever interface it is."""
        module("found_o.py", "def app(environ, start_response): pass\n")
        assert import_application("found_o") is sys.modules["found_o"].app

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
    """The application's own traceback is shown, without frames of ours."""

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


APPLICATION = "async def application(scope, receive, send): pass\n"
FACTORIES = (
    APPLICATION
    + """
def make(debug=False): return application
async def asynchronous(): return application
def returns_coroutine(): return asynchronous()
def needs(settings, *, debug): return application
def nothing(): pass
def fails(): raise RuntimeError("no database")
class Site:
    async def __call__(self, scope, receive, send): pass
text = "text"
"""
)


class TestFactories:
    """`--factory` calls what is named for the application."""

    def test_called(self, module: Any) -> None:
        """What the attribute returns is the application."""
        module("found_f.py", FACTORIES)
        assert import_application("found_f:make", True) is sys.modules["found_f"].application

    def test_class(self, module: Any) -> None:
        """A class makes its instance, also where that one is asynchronous."""
        module("found_f.py", FACTORIES)
        site = import_application("found_f:Site", True)
        assert type(site) is sys.modules["found_f"].Site

    @pytest.mark.parametrize(
        ("attribute", "sentence"),
        [
            (
                "asynchronous",
                "is no factory: it is asynchronous; start-up that waits belongs to lifespan",
            ),
            (
                "returns_coroutine",
                "made no ASGI application: an object of type coroutine is not callable",
            ),
            ("needs", "cannot be called without arguments: it needs settings, debug"),
            ("nothing", "made no ASGI application: an object of type NoneType is not callable"),
            ("text", "is no factory: an object of type str is not callable"),
        ],
    )
    def test_refusal(self, module: Any, attribute: str, sentence: str) -> None:
        """What is no factory, or makes no application, is refused with a sentence."""
        module("found_f.py", FACTORIES)
        assert str(refusal(f"found_f:{attribute}", True)) == f"'found_f:{attribute}' {sentence}"

    def test_failing(self, module: Any) -> None:
        """The factory's own traceback is shown, and no frame of ours."""
        module("found_f.py", FACTORIES)
        error = refusal("found_f:fails", True)
        assert str(error) == "Calling 'found_f:fails' failed with RuntimeError: no database"
        assert "in fails" in error.detail
        assert subject.__file__ not in error.detail

    @pytest.mark.parametrize("attribute", ["make", "nothing"])
    def test_hint(self, module: Any, attribute: str) -> None:
        """A factory named without `--factory` is told from an application."""
        module("found_f.py", FACTORIES)
        assert str(refusal(f"found_f:{attribute}")) == (
            f"'found_f:{attribute}' is no ASGI application: it needs no arguments; "
            "did you mean --factory?"
        )
