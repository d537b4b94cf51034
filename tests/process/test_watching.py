"""Which files --reload watches, and what the log says of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from daphne_like.exceptions import ConfigurationError
from daphne_like.process.watching import SourceFiles, Watcher, describe
from tests.support import needed

needed.module("watchfiles")


class TestSourceFiles:
    """Python files, those included, without those excluded."""

    @pytest.mark.parametrize("path", ["main.py", "shop/views.py", "shop/tests/test_views.py"])
    def test_python_files(self, path: str) -> None:
        assert f"/srv/{path}" in SourceFiles(["/srv"])

    @pytest.mark.parametrize("path", ["notes.txt", "shop/page.html", "main.pyc", "py"])
    def test_other_files(self, path: str) -> None:
        assert f"/srv/{path}" not in SourceFiles(["/srv"])

    @pytest.mark.parametrize(
        "pattern",
        ["*.html", "page.html", "shop/pages/page.html", "shop/*.html", "pages", "shop/pages/",
         "shop", "./shop", "/srv/shop/pages/page.html", "/srv/shop", "p?ge.html"],
    )  # fmt: skip
    def test_patterns(self, pattern: str) -> None:
        """A pattern includes a file, and excludes it although another one includes it."""
        path = "/srv/shop/pages/page.html"
        assert path not in SourceFiles(["/srv"])
        assert path in SourceFiles(["/srv"], [pattern])
        assert path not in SourceFiles(["/srv"], ["*.html"], [pattern])

    @pytest.mark.parametrize("pattern", ["page", "age.html", "pages/page.html", "srv", "*.htm"])
    def test_patterns_of_other_files(self, pattern: str) -> None:
        assert "/srv/shop/pages/page.html" not in SourceFiles(["/srv"], [pattern])

    def test_excluded_python_files(self) -> None:
        files = SourceFiles(["/srv"], (), ["tests", "conftest.py"])
        assert "/srv/tests/test_main.py" not in files
        assert "/srv/shop/conftest.py" not in files
        assert "/srv/shop/latest.py" in files

    def test_nested_directories(self) -> None:
        """A path is relative to the nearest of the watched directories."""
        files = SourceFiles(["/srv", "/srv/shop"])
        assert files.shorten("/srv/shop/views.py") == "views.py"
        assert files.shorten("/srv/main.py") == "main.py"
        assert files.shorten("/elsewhere/main.py") == "/elsewhere/main.py"


class TestDescription:
    """What the log says."""

    def test_one_file(self) -> None:
        assert describe(["/srv/a.py"], SourceFiles(["/srv"])) == "a.py changed"

    def test_many_files(self) -> None:
        paths = [f"/srv/{name}.py" for name in "abcde"]
        files = SourceFiles(["/srv"])
        assert describe(paths[:4], files) == "a.py, b.py, c.py and 1 other file changed"
        assert describe(paths, files) == "a.py, b.py, c.py and 2 other files changed"


class TestWatcher:
    """A thread that reports changed files of real directories."""

    @pytest.fixture
    def seen(self, tmp_path: Path) -> Iterator[list[str]]:
        """Names reported so far, of files changed below tmp_path."""
        seen: list[str] = []
        watcher = Watcher(
            [str(tmp_path)],
            SourceFiles([str(tmp_path)]),
            lambda paths: seen.extend(Path(path).name for path in paths),
        )
        watcher.start()

        def is_watching() -> bool:
            (tmp_path / "first.py").write_text("")
            return bool(seen)

        needed.until(is_watching)
        yield seen
        watcher.stop()

    def test_ignored_files(self, tmp_path: Path, seen: list[str]) -> None:
        """Caches, virtual environments and files of editors are left out."""
        for folder in ("__pycache__", ".venv", ".git", "node_modules"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "ignored.py").write_text("")
        (tmp_path / ".#ignored.py").write_text("")
        (tmp_path / "noticed.py").write_text("")
        needed.until(lambda: "noticed.py" in seen)
        assert set(seen) == {"first.py", "noticed.py"}

    def test_directory_that_is_moved_in(self, tmp_path: Path, seen: list[str]) -> None:
        """The system reports the directory alone."""
        outside = tmp_path.parent / f"{tmp_path.name}-outside"
        outside.mkdir()
        (outside / "module.py").write_text("")
        outside.rename(tmp_path / "package")
        needed.until(lambda: {"package", "module.py"} & set(seen))

    def test_no_directory(self, tmp_path: Path) -> None:
        """It says which one, before anything is watched."""
        missing = str(tmp_path / "missing")
        with pytest.raises(ConfigurationError, match="missing is not a directory"):
            Watcher([missing], SourceFiles([missing]), print)
