"""Logging that a file configures: --log-config."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from daphne_like.exceptions import ConfigurationError
from daphne_like.launch import log_config

TOML = """
[formatters.plain]
format = "%(name)s %(message)s"
[handlers.file]
class = "logging.FileHandler"
filename = "{path}"
formatter = "plain"
[loggers."log_config.test"]
handlers = ["file"]
level = "INFO"
"""
JSON = """{{
  "version": 1,
  "formatters": {{"plain": {{"format": "%(name)s %(message)s"}}}},
  "handlers": {{"file": {{"class": "logging.FileHandler", "filename": "{path}",
    "formatter": "plain"}}}},
  "loggers": {{"log_config.test": {{"handlers": ["file"], "level": "INFO"}}}}
}}"""


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("log_config.test")
    yield logger
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


class TestFile:
    """A dictionary for dictConfig."""

    @pytest.mark.parametrize(("name", "text"), [("log.toml", TOML), ("log.json", JSON)])
    def test_formats(self, tmp_path: Path, logger: logging.Logger, name: str, text: str) -> None:
        """TOML or JSON; version may be left out, and existing loggers stay enabled."""
        existing = logging.getLogger("log_config.existing")
        path = tmp_path / "out.log"
        (tmp_path / name).write_text(text.format(path=path))
        log_config.configure(str(tmp_path / name))
        logger.info("hello")
        assert path.read_text() == "log_config.test hello\n"
        assert not existing.disabled

    @pytest.mark.parametrize(
        ("name", "text", "sentence"),
        [
            ("a.toml", None, "--log-config: {path}: No such file or directory"),
            ("a.json", None, "--log-config: {path}: No such file or directory"),
            ("a.toml", "x", "{path}: Expected"),
            ("a.json", "x", "--log-config: {path}: expected JSON: Expecting value"),
            ("a.json", "[]", "--log-config: {path}: expected an object"),
            ("a.toml", "version = 2", "--log-config: {path}: Unsupported version: 2"),
            (
                "a.toml",
                '[handlers.h]\nclass = "no.Such"',
                "--log-config: {path}: Unable to configure handler 'h': ",
            ),
            (
                "a.toml",
                '[root]\nhandlers = ["absent"]',
                "--log-config: {path}: Unable to configure root logger: ",
            ),
        ],
    )
    def test_mistake(self, tmp_path: Path, name: str, text: str | None, sentence: str) -> None:
        """One sentence, which names the file."""
        path = tmp_path / name
        if text is not None:
            path.write_text(text)
        with pytest.raises(ConfigurationError) as raised:
            log_config.configure(str(path))
        assert str(raised.value).startswith(sentence.format(path=path))
        assert "\n" not in str(raised.value)
