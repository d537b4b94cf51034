"""Where the parts of the test suite are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path for folder in ("tests", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")
)


IMPORT = re.compile(
    r"^ *(?:from (tests[\w.]*) import (\([^)]*\)|.*)|import (tests[\w., ]*))$", re.MULTILINE
)


def imported(path: Path) -> Iterator[str]:
    """The names below `tests` that a module imports, anywhere in it."""
    for module, names, modules in IMPORT.findall(path.read_text()):
        yield from re.findall(r"[\w.]+", modules)
        if module:
            yield module
            yield from (f"{module}.{name}" for name in re.findall(r"\w+", names))


def is_test_module(name: str) -> bool:
    """Tell whether that is a module of tests or of fixtures, or something in one."""
    parts = name.split(".")
    files = (ROOT.joinpath(*parts[:end]).with_suffix(".py") for end in (len(parts), len(parts) - 1))
    return parts[0] == "tests" and any(
        (f.name.startswith("test_") or f.name == "conftest.py") and f.is_file() for f in files
    )


def test_no_module_imports_a_test_module() -> None:
    """What two test modules import is in tests/support, or in a module of rules beside them."""
    names = {str(path.relative_to(ROOT)): set(imported(path)) for path in MODULES}
    wrong = {
        path: found
        for path, modules in names.items()
        if (found := sorted(filter(is_test_module, modules)))
    }
    assert wrong == {}


@pytest.mark.parametrize(
    "name", ["tests.http.test_rules", "tests.http.test_rules.Rules", "tests.web.conftest.tree"]
)
def test_test_modules_are_known(name: str) -> None:
    """A test module is found by its own name, and by that of what is imported from it."""
    assert is_test_module(name)


def test_helpers_are_in_support() -> None:
    """Beside the tests of the whole package there is nothing but pytest's own modules."""
    names = {path.name for path in (ROOT / "tests").glob("*.py")}
    assert {name for name in names if not name.startswith("test_")} == {
        "__init__.py",
        "conftest.py",
    }
