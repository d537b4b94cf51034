"""A project's own tests, by Django's test runner and by pytest, where Daphne is not installed."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path

import pytest

from tests.support import needed
from tests.support.python_runs import CHANNELS_PROJECT, Run

needed.module("channels")

WITHOUT = ["-p", "no:django", "-p", "no:asyncio"]
"""The project prepares Django itself."""

METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> None:
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("daphne")
    shutil.copytree(CHANNELS_PROJECT, tmp_path, dirs_exist_ok=True)


@pytest.mark.parametrize("method", METHODS)
def test_django_runs_live_tests(run: Run, method: str) -> None:
    """ChannelsLiveServerTestCase, communicators and our own case pass with each start method."""
    done = run("manage.py", "test", "--noinput", STAND_IN="1", START_METHOD=method)
    assert "Ran 8 tests" in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("method", METHODS[:2])
def test_pytest_runs_live_tests(run: Run, method: str) -> None:
    """The same under pytest, where the plug-in stands in for Daphne by itself."""
    done = run("-m", "pytest", "-q", *WITHOUT, START_METHOD=method)
    assert "8 passed" in done.stdout, done.stdout + done.stderr


def test_without_the_line_the_tests_are_lost(run: Run) -> None:
    """What the line is for: channels.testing cannot be imported without it."""
    done = run("manage.py", "test", "--noinput", "test_channels")
    assert "No module named 'daphne'" in done.stderr


@pytest.fixture
def broken(tmp_path: Path) -> None:
    """The application's module cannot be imported; the rest of the project can."""
    (tmp_path / "routing.py").write_text("raise RuntimeError('no such luck')\n")
    with (tmp_path / "settings.py").open("a") as file:
        file.write("ASGI_APPLICATION = 'routing.application'\n")


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("method", METHODS[:2])
def test_a_project_that_fails_ends_the_test(run: Run, method: str) -> None:
    """A project that cannot be served ends Channels' wait, with the cause on standard error."""
    arguments = ("manage.py", "test", "--noinput", "test_channels.LiveTests")
    done = run(*arguments, STAND_IN="1", START_METHOD=method)
    assert done.returncode == 1
    assert "Server stopped" in done.stderr
    assert "RuntimeError: no such luck" in done.stderr


@pytest.mark.usefixtures("broken")
def test_our_case_shows_the_cause(run: Run) -> None:
    """Where the project cannot be imported, the test's error is its traceback."""
    done = run("manage.py", "test", "--noinput", "test_ours")
    _, _, error = done.stderr.partition("RuntimeError: The server did not start:")
    assert "routing.py" in error
    assert "RuntimeError: no such luck" in error


@pytest.mark.parametrize(("name", "stand_in"), [("test_ours", ""), ("test_channels", "1")])
def test_a_database_in_memory_is_refused(run: Run, name: str, stand_in: str) -> None:
    """A database that the server's process cannot see is refused with a sentence."""
    done = run("manage.py", "test", "--noinput", name, STAND_IN=stand_in, TEST_DATABASE=":memory:")
    assert "ImproperlyConfigured" in done.stderr
