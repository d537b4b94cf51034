"""System checks: where the app stands in INSTALLED_APPS, and a channel layer for all workers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from daphne_like import checks
from tests.support.manage import environment
from tests.support.supervised import Supervised

Project = Callable[..., Path]
WORKER = f"/site-packages/{checks.WORKER_FILE}"
LAYERS = "CHANNEL_LAYERS = {'default': {'BACKEND': 'channels.layers.%s'}}"
SITE = """
from django.conf import settings
from django.core.asgi import get_asgi_application
settings.configure(SECRET_KEY="tests", CHANNEL_LAYERS={"default": {"BACKEND": %r}})
application = get_asgi_application()
"""


@pytest.fixture
def check(project: Project) -> Callable[..., str]:
    """check(*apps, settings=, **variables): what `manage.py check` says about such a project."""

    def run(*apps: str, settings: str = "", **variables: str) -> str:
        folder = project(f"INSTALLED_APPS = {list(apps)!r}", settings)
        (folder / "daphne").mkdir()
        (folder / "daphne" / "__init__.py").write_text("")
        ended = subprocess.run(
            [sys.executable, "manage.py", "check"],
            cwd=folder, env=environment() | variables, capture_output=True, text=True, timeout=30,
            check=False,
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


class TestChannelLayer:
    """A layer in the memory of one process does not reach the consumers of other workers."""

    @pytest.mark.parametrize("name", checks.WORKERS_VARIABLES)
    @pytest.mark.parametrize("workers", ["2", "auto"])
    def test_several_workers(self, check: Callable[..., str], name: str, workers: str) -> None:
        """daphne_like.E002 names the layer and the variable, and says what to do."""
        said = check("daphne_like", settings=LAYERS % "InMemoryChannelLayer", **{name: workers})
        assert "(daphne_like.E002)" in said
        assert f"('default') reaches the consumers of one worker only, and {name}={workers}" in said
        assert "pip install channels_redis" in said

    def test_one_worker(self, check: Callable[..., str]) -> None:
        """DAPHNE_LIKE_WORKERS counts before WEB_CONCURRENCY, and one worker is no mistake."""
        layers = LAYERS % "InMemoryChannelLayer"
        variables = {"DAPHNE_LIKE_WORKERS": "1", "WEB_CONCURRENCY": "4"}
        assert "no issues" in check("daphne_like", settings=layers, **variables)

    def test_another_layer(self, check: Callable[..., str]) -> None:
        """Any other layer may serve several workers."""
        layers = LAYERS % "Other"
        assert "no issues" in check("daphne_like", settings=layers, WEB_CONCURRENCY="4")

    @pytest.mark.parametrize(
        ("arguments", "source"),
        [
            ((WORKER, "slot=1/2"), "--workers"),
            ((WORKER, "slot=2/1"), "--workers"),
            ((WORKER, "slot=1/1"), ""),
            (("manage.py", "slot=1/2"), ""),
            ((), ""),
        ],
    )
    def test_in_a_worker(self, arguments: tuple[str, ...], source: str) -> None:
        """The command line of a worker says how many there are; that of others does not."""
        assert checks.source_of_workers({}, arguments) == source

    def test_a_worker_knows_better(self) -> None:
        """In a worker the environment does not count: the command line may have overruled it."""
        assert checks.source_of_workers({"WEB_CONCURRENCY": "4"}, (WORKER, "slot=1/1")) == ""

    def test_wrong_number(self) -> None:
        """A number that is none is the server's business."""
        assert checks.source_of_workers({"WEB_CONCURRENCY": "many"}, ()) == ""

    @pytest.mark.parametrize(
        ("workers", "layer", "warnings"),
        [("2", checks.IN_MEMORY, 1), ("1", checks.IN_MEMORY, 0), ("2", "other.Layer", 0)],
    )
    def test_log(self, tmp_path: Path, workers: str, layer: str, warnings: int) -> None:
        """Django checks nothing in a worker, so the first of several workers warns, once."""
        (tmp_path / "site_of_workers.py").write_text(SITE % layer)
        application = "site_of_workers:application"
        running = Supervised(workers=workers, application=application, cwd=tmp_path)
        try:
            running.wait_until_ready()
        finally:
            log = running.stop()
        assert log.count("InMemoryChannelLayer ('default') reaches the consumers") == warnings, log
        assert log.count("; use channels_redis") == warnings
