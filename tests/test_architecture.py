"""Which part of the package may import which (docs/contributing/architecture.rst).

Every import counts: at the top of a module, inside a function, and under TYPE_CHECKING.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "daphne_like"
PAGE = PACKAGE.parent / "docs" / "contributing" / "architecture.rst"
LOW = {
    "exceptions", "bounded_cache", "transport_interfaces", "wording", "observe.connection_log",
}  # fmt: skip
RUNNING = LOW | {"asgi", "options", "observe", "runtime"}
BELOW_THE_SERVER = RUNNING | {"tls", "reactor", "listening", "metrics", "process", "status"}
FRONT_DOOR = BELOW_THE_SERVER | {"server"}
MAY_IMPORT: dict[str, set[str]] = {
    "exceptions": set(),
    "bounded_cache": set(),
    "transport_interfaces": set(),
    "wording": set(),
    "observe.connection_log": {"wording"},
    "demo": set(),
    "checks": set(),
    "asgi": LOW,
    "tls": LOW,
    "reactor": LOW,
    "options": LOW | {"asgi"},
    "observe": LOW | {"asgi", "options"},
    "runtime": LOW | {"asgi", "options", "observe"},
    "metrics": RUNNING | {"listening"},
    "status": RUNNING | {"metrics"},
    "process": RUNNING | {"reactor", "listening", "metrics", "status"},
    "process.worker": FRONT_DOOR | {"launch", "checks"},
    "listening": RUNNING | {"tls"},
    "endpoints": {"listening"},
    "http": RUNNING,
    "http.h1": RUNNING | {"http"},
    "http.h2": RUNNING | {"http"},
    "http.factory": RUNNING | {"http", "http.h1", "http.h2"},
    "websocket": RUNNING | {"http"},
    "server": BELOW_THE_SERVER | {"http", "http.factory", "websocket"},
    "web": RUNNING | {"http", "reactor", "server"},
    "testing": FRONT_DOOR,
    "launch": FRONT_DOOR,
    "service": {"launch"},
    "cli": {"launch"},
    "management": FRONT_DOOR | {"launch"},
    "apps": {"checks"},
    "pytest_plugin": {"testing"},
    "__main__": {"launch", "process"},
    "__init__": {"launch"},
}  # fmt: skip
"""For each part of the package the other parts that it may import, inner parts first.

A module belongs to the part with the longest name that it begins with. That is how a folder's
versions of HTTP are kept apart, and how one module of a folder may stand higher than the others.
"""

CIRCLES: set[frozenset[str]] = {frozenset({"reactor.tls", "reactor.transport"})}
"""Modules that import each other in a circle: pairs within one part, and no new ones.

A transport loads the TLS part when `startTLS` is called, and that is a subclass of the transport.
"""

Modules = dict[str, Path]


def modules_of(package: Path) -> Modules:
    """Return the package's modules by their names below it, `__init__` for its own."""
    modules: Modules = {}
    for path in sorted(package.rglob("*.py")):
        *folders, stem = path.relative_to(package).with_suffix("").parts
        modules[".".join(folders if folders and stem == "__init__" else [*folders, stem])] = path
    return modules


def imports(name: str, modules: Modules, package: str) -> dict[str, bool]:
    """Return which modules of the package a module imports, and whether only for types.

    `from daphne_like import __version__` is not counted: it needs none of the other modules.
    """
    tree = ast.parse(modules[name].read_text(encoding="utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found: dict[str, bool] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for full_name in names:
            target = _module_of(full_name, modules, package)
            if target is not None and target != name:
                found[target] = found.get(target, True) and node in for_types
    return found


def _module_of(full_name: str, modules: Modules, package: str) -> str | None:
    """Return the module that `import full_name`, or `from ... import ...`, loads."""
    if full_name == package:
        return "__init__"
    if not full_name.startswith(f"{package}.") or full_name == f"{package}.__version__":
        return None
    name = full_name.removeprefix(f"{package}.")
    if name not in modules:
        name = name.rpartition(".")[0]
    return name or "__init__"


def part_of(module: str) -> str:
    """Return the part of a module: the longest name in the table that it begins with."""
    name = module
    while name not in MAY_IMPORT and "." in name:
        name = name.rpartition(".")[0]
    return name


def circles(graph: Mapping[str, Iterable[str]]) -> set[frozenset[str]]:
    """Return the sets of nodes, of two and more, in which each one reaches each other one."""
    reached: dict[str, set[str]] = {}
    for node in graph:
        seen: set[str] = set()
        ahead = list(graph[node])
        while ahead:
            other = ahead.pop()
            if other not in seen:
                seen.add(other)
                ahead.extend(graph[other])
        reached[node] = seen
    return {
        frozenset({node, *(other for other in seen if node in reached[other])})
        for node, seen in reached.items()
        if node in seen
    }


MODULES = modules_of(PACKAGE)


@functools.cache
def import_graph() -> dict[str, dict[str, bool]]:
    """Return what each module imports; read once, by the worker that runs these tests."""
    return {name: imports(name, MODULES, PACKAGE.name) for name in MODULES}


@functools.cache
def arrows() -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Return, for each pair of parts of which one imports the other, the modules that do so."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name, targets in import_graph().items():
        for target in targets:
            if part_of(name) != part_of(target):
                found.setdefault((part_of(name), part_of(target)), []).append((name, target))
    return found


class TestParts:
    """Parts: modules and folders below the package, mostly directly below it."""

    def test_each_part_is_known(self) -> None:
        """A new part is added to the table; a part that is gone leaves it."""
        assert {part_of(name) for name in MODULES} == MAY_IMPORT.keys()

    def test_longest_name(self) -> None:
        """A part may stand within another one."""
        assert part_of("http.h1.connection") == "http.h1"
        assert part_of("http.factory") == "http.factory"
        assert part_of("http.exchange") == part_of("http") == "http"
        assert part_of("unknown.module") == "unknown"

    def test_imports_point_inward(self) -> None:
        """A part imports those only that the table allows, for types too."""
        allowed = {(part, other) for part, others in MAY_IMPORT.items() for other in others}
        assert {pair: found for pair, found in arrows().items() if pair not in allowed} == {}

    def test_versions_of_http_are_apart(self) -> None:
        """No version of HTTP imports another one; the factory alone knows them all."""
        versions = {part for part in MAY_IMPORT if part.startswith("http.h")}
        assert len(versions) > 1
        for version in versions:
            assert not MAY_IMPORT[version] & versions
        knows_all = {part for part, others in MAY_IMPORT.items() if others >= versions}
        assert knows_all == {"http.factory"}

    def test_the_resource_alone_knows_the_server(self) -> None:
        """In web/ the carrier of a request knows a context, as the connections of http/ do."""
        assert arrows()["web", "server"] == [("web.resource", "server")]

    def test_the_table_has_no_circle(self) -> None:
        """The parts can be put in an order in which each imports only those before it."""
        assert circles(MAY_IMPORT) == set()


class TestModules:
    """Single modules."""

    def test_circles(self) -> None:
        """No circle beside those that are listed, and each of those is still there as listed."""
        assert {len(circle) for circle in CIRCLES} <= {2}
        found = circles(import_graph())
        assert [sorted(circle) for circle in found - CIRCLES] == [], "new, or changed"
        assert [sorted(circle) for circle in CIRCLES - found] == [], "gone: take it off the list"

    @pytest.mark.parametrize("name", MODULES)
    def test_says_what_it_is_for(self, name: str) -> None:
        """The module's head says what it is for."""
        assert ast.get_docstring(ast.parse(MODULES[name].read_text(encoding="utf-8")))


class TestTheTests:
    """What the tests above see."""

    @pytest.fixture
    def graph(self, tmp_path: Path) -> Callable[..., dict[str, dict[str, bool]]]:
        """graph(**sources): the imports of a package `pack` with these modules."""

        def make(**sources: str) -> dict[str, dict[str, bool]]:
            for name, source in {"__init__": "", **sources}.items():
                path = tmp_path / "pack" / f"{name.replace('__in__', '/')}.py"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(source)
            modules = modules_of(tmp_path / "pack")
            return {name: imports(name, modules, "pack") for name in modules}

        return make

    def test_ways_to_import(self, graph: Callable[..., dict[str, dict[str, bool]]]) -> None:
        """Modules and names, at the top and in functions; `__version__` does not count."""
        found = graph(
            a="import os, pack.b\nfrom pack import c, __version__\n",
            b="def f():\n    from pack.c import name\n    import pack\n",
            c="from pack.d import e\nfrom pack.d.e import name\n",
            d__in____init__="",
            d__in__e="",
        )
        assert found["a"] == {"b": False, "c": False}
        assert found["b"] == {"c": False, "__init__": False}
        assert found["c"] == {"d.e": False}

    def test_types(self, graph: Callable[..., dict[str, dict[str, bool]]]) -> None:
        """An import under TYPE_CHECKING counts, and is told from one that is executed."""
        source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pack.b import B\n"
        assert graph(a=source, b="")["a"] == {"b": True}
        assert graph(a=source + "def f():\n    import pack.b\n", b="")["a"] == {"b": False}

    def test_circles(self) -> None:
        """Two that meet are one; what leads into a circle, or out of it, is none of it."""
        graph = {"a": "b", "b": "c", "c": "bd", "d": "e", "e": "d", "f": "d", "g": ""}
        assert circles(graph) == {frozenset("bc"), frozenset("de")}


class TestPage:
    """docs/contributing/architecture.rst."""

    def test_what_it_names_exists(self) -> None:
        """Each path, and each name behind a path, is there."""
        missing = []
        for path, name in re.findall(r"``([\w/]+\.py)(?::([\w.]+))?``", PAGE.read_text()):
            file = PACKAGE.parent / path if path.startswith("tests/") else PACKAGE / path
            if not file.is_file() or (name and not _is_defined(name.split("."), file)):
                missing.append(f"{path}:{name}")
        assert not missing

    def test_each_part_is_described(self) -> None:
        """Each part of the package has its place in the page's table."""
        text = PAGE.read_text()
        for part in MAY_IMPORT.keys() - {"__init__"}:
            path = part.replace(".", "/")
            form = f"``{path}/``" if (PACKAGE / path).is_dir() else f"``{path}.py``"
            assert form in text, part


def _is_defined(names: list[str], path: Path) -> bool:
    """Tell whether a class, function, method or variable stands in a module, by its full name."""
    body: list[ast.stmt] = ast.parse(path.read_text(encoding="utf-8")).body
    for name in names:
        found = [node for node in body if name in _names_of(node)]
        if not found:
            return False
        body = getattr(found[-1], "body", [])
    return True


def _names_of(node: ast.stmt) -> list[str]:
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    named = [getattr(target, "id", "") for target in targets]
    return [*named, getattr(node, "name", "")]
