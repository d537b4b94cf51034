"""Imports point inward only (docs/discussion/flow.rst; design, part 2)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "daphne_like"
INNERMOST = {"exceptions"}
MAY_IMPORT = {
    "asgi": INNERMOST,
    "deadlines": INNERMOST,
    "http": INNERMOST | {"asgi", "deadlines", "interfaces"},
    "interfaces": set(),
    "reactor": INNERMOST | {"interfaces"},
    "tls": INNERMOST | {"interfaces"},
    "websocket": INNERMOST | {"asgi", "deadlines", "http"},
    "demo": set(),
    "options": INNERMOST | {"asgi"},
    "proxies": INNERMOST,
    "listening": INNERMOST,
    "proxy_protocol": INNERMOST | {"listening", "proxies", "tls"},
    "unix_files": INNERMOST | {"listening"},
    "endpoints": INNERMOST | {"options", "proxies", "proxy_protocol", "unix_files", "tls"},
}
"""Which parts a part may import; one that is not here may import all of them."""


def imports(path: Path) -> set[str]:
    """Parts of the package that a module imports when it runs, not for types alone."""
    found: set[str] = set()
    skipped: set[ast.AST] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skipped |= {inner for part in node.body for inner in ast.walk(part)}
        if node in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("daphne_like.")}
    return found - {"__version__"}


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_a_module_imports_inward_only(path: Path) -> None:
    """`asgi` imports none of the others, `http` neither the reactor nor the server."""
    part = part_of(path)
    if part in MAY_IMPORT:
        assert imports(path) <= MAY_IMPORT[part] | {part}


def test_the_rule_is_seen_to_work() -> None:
    """The server does import what the inner parts may not."""
    assert {"reactor", "http", "asgi"} <= imports(PACKAGE / "server.py")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    """The module's head says what it is for."""
    assert ast.get_docstring(ast.parse(path.read_text()))
