"""The server's loggers while an application configures logging."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Iterator

import pytest

from daphne_like.observe import access, loggers

NAME = "daphne_like.test_loggers"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger(NAME)
    yield logger
    del logging.Logger.manager.loggerDict[NAME]


def disable_all() -> None:
    """What dictConfig does with loggers that it does not name."""
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = True


def fails_to_import() -> None:
    with loggers.kept_enabled():
        disable_all()
        raise ImportError


@pytest.fixture(autouse=True)
def others_stay() -> Iterator[None]:
    before = {
        logger: logger.disabled
        for logger in logging.Logger.manager.loggerDict.values()
        if isinstance(logger, logging.Logger)
    }
    yield
    for logger, disabled in before.items():
        logger.disabled = disabled


class TestKeptEnabled:
    """Ours go on, and only ours."""

    def test_ours(self, logger: logging.Logger) -> None:
        """A logger that was enabled is enabled again; another package's is not."""
        other = logging.getLogger("somebody.else")
        with loggers.kept_enabled():
            disable_all()
            assert logger.disabled
        assert (logger.disabled, other.disabled) == (False, True)

    def test_after_an_error(self, logger: logging.Logger) -> None:
        """It needs its log most when the import fails."""
        with pytest.raises(ImportError):
            fails_to_import()
        assert not logger.disabled

    def test_disabled_on_purpose(self, logger: logging.Logger) -> None:
        """One that was disabled before stays so."""
        logger.disabled = True
        with loggers.kept_enabled():
            disable_all()
        assert logger.disabled

    def test_a_name_that_begins_like_ours(self) -> None:
        """`daphne_like_too` is somebody else's."""
        other = logging.getLogger("daphne_like_too")
        with loggers.kept_enabled():
            disable_all()
        assert other.disabled


class TestLevel:
    """-v sets the level of `daphne_like`."""

    @pytest.fixture(autouse=True)
    def level_stays(self) -> Iterator[None]:
        above = logging.getLogger("daphne_like")
        before = above.level
        yield
        above.setLevel(before)

    @pytest.mark.parametrize(
        ("configured", "level"), [(logging.NOTSET, logging.INFO), (logging.ERROR, logging.ERROR)]
    )
    def test_level(self, configured: int, level: int) -> None:
        """Unless it has one."""
        above = logging.getLogger("daphne_like")
        above.setLevel(configured)
        loggers.use_level(logging.INFO)
        assert above.level == level


def test_nothing_is_attached_unasked() -> None:
    """Without `write_to` the access log has no handler of ours."""
    assert access._own is None
    with loggers.kept_enabled():
        disable_all()
    assert logging.getLogger("daphne_like.access").handlers == []
