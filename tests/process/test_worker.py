"""A worker's side of the start."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from daphne_like.cli import CommandLineInterface
from daphne_like.exceptions import ConfigurationError
from daphne_like.options import Options
from daphne_like.process.configuration import Configuration
from daphne_like.process.worker import command_class, enter_directory, to_options


class TestOptions:
    """Options as the supervisor sends them."""

    @pytest.mark.parametrize(
        "options",
        [
            Options(),
            Options(workers=2, max_rss=5, worker_timeout=None, host="127.0.0.1", port=0),
            Options(endpoints=("tcp:80", "unix:/run/s"), trusted_proxies=("10.0.0.0/8", "::1")),
        ],
        ids=["default", "workers", "lists"],
    )
    def test_round_trip(self, options: Options) -> None:
        """A worker has the supervisor's options, lists and missing limits included."""
        configuration = Configuration("main:app", options, "a:b", (), (), 1)
        message = json.loads(json.dumps(configuration.to_message()))
        assert to_options(message["options"]) == options

    def test_options_of_another_version(self) -> None:
        """An option that this version does not have is left out."""
        assert to_options({"workers": 3, "later": [1]}) == Options(workers=3)


def test_command() -> None:
    """The command may be a subclass, in a module or within another class."""
    found = command_class(f"{CommandLineInterface.__module__}:CommandLineInterface")
    assert found is CommandLineInterface


class TestDirectory:
    """The directory of the present release."""

    @pytest.fixture(autouse=True)
    def releases(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Start in the old release; the link names the new one."""
        for name in ("old", "new"):
            (tmp_path / name).mkdir()
        (tmp_path / "current").symlink_to("new")
        monkeypatch.chdir(tmp_path / "old")
        monkeypatch.setattr(sys, "path", [str(tmp_path / "old"), "/elsewhere"])

    def test_the_link_is_followed(self, tmp_path: Path) -> None:
        """The application is imported from the new release, too."""
        enter_directory(str(tmp_path / "current"))
        assert os.getcwd() == str(tmp_path / "new")
        assert sys.path == [str(tmp_path / "current"), "/elsewhere"]

    def test_another_search_path(self, tmp_path: Path) -> None:
        """With `python -P` the working directory is not searched."""
        sys.path.pop(0)
        enter_directory(str(tmp_path / "current"))
        assert sys.path == ["/elsewhere"]

    def test_a_release_that_has_been_removed(self, tmp_path: Path) -> None:
        """A deployment that removes the supervisor's directory does not stop new workers."""
        (tmp_path / "old").rmdir()
        enter_directory(str(tmp_path / "current"))
        assert os.getcwd() == str(tmp_path / "new")

    def test_a_broken_link(self, tmp_path: Path) -> None:
        """One sentence, as for every wrong configuration."""
        (tmp_path / "new").rmdir()
        with pytest.raises(ConfigurationError, match="current: No such file or directory"):
            enter_directory(str(tmp_path / "current"))
