"""System checks of where the app stands in INSTALLED_APPS."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from daphne_like import checks
from tests.support.manage import environment

Project = Callable[..., Path]
STAND_IN = "import sys, types\n"


@pytest.fixture
def check(project: Project) -> Callable[..., str]:
    """check(*apps): what `manage.py check` says about a project of these apps."""

    def run(*apps: str) -> str:
        folder = project(f"INSTALLED_APPS = {list(apps)!r}")
        (folder / "daphne").mkdir()
        (folder / "daphne" / "__init__.py").write_text("")
        ended = subprocess.run(
            [sys.executable, "manage.py", "check"],
            cwd=folder, env=environment(), capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        return ended.stdout + ended.stderr

    return run


class TestOrder:
    """The app must stand before `django.contrib.staticfiles`."""

    def test_before_staticfiles(self, check: Callable[..., str]) -> None:
        """Before it: nothing to say."""
        assert "no issues" in check("daphne_like", "django.contrib.staticfiles")

    def test_without_staticfiles(self, check: Callable[..., str]) -> None:
        """Without it: nothing to say."""
        assert "no issues" in check("daphne_like")

    def test_after_staticfiles(self, check: Callable[..., str]) -> None:
        """After it: daphne_like.E001, with the way out."""
        said = check("django.contrib.staticfiles", "daphne_like")
        assert "(daphne_like.E001) 'daphne_like' must stand before" in said
        assert "move 'daphne_like' up" in said

    def test_daphnes_name(self) -> None:
        """A project that imports Daphne's check by its name finds ours."""
        assert checks.check_daphne_installed is checks.check_order


class TestDaphneBeside:
    """A second check warns of Daphne's app in INSTALLED_APPS beside ours."""

    @pytest.mark.parametrize(
        ("apps", "winner"),
        [
            (
                ("daphne_like", "daphne"),
                "'daphne_like' stands first, so runserver is daphne-like's",
            ),
            (("daphne", "daphne_like"), "'daphne' stands first, so runserver is Daphne's"),
        ],
    )
    def test_both_apps(self, check: Callable[..., str], apps: tuple[str], winner: str) -> None:
        """daphne_like.W001 says whose runserver it is."""
        said = check(*apps)
        assert "(daphne_like.W001)" in said
        assert winner in said
