"""Says that the file descriptors are used up."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable

import pytest
from twisted.internet.task import Clock

from daphne_like.observe.descriptors import DescriptorWatch, take_one
from daphne_like.reactor.core import report
from tests.support.memory import Loop

WARNED = "The file descriptors of this process are used up."


def failing(number: int) -> Callable[[], None]:
    """Takes no descriptor, for a reason."""

    def take() -> None:
        raise OSError(number, "on purpose")

    return take


class TestDescriptorWatch:
    """Told once a minute."""

    def test_once_a_minute(self, caplog: pytest.LogCaptureFixture) -> None:
        """A shortage is told when it is found, and once a minute while it lasts."""
        clock = Clock()
        watch = DescriptorWatch(clock.seconds, failing(errno.EMFILE))
        told = []
        for _ in range(300):
            watch.check()
            clock.advance(0.5)
            told.append(len(caplog.messages))
        assert told[0] == 1
        assert told[119] == 1
        assert told[120] == 2
        assert told[-1] == 3
        assert all(text.startswith(WARNED) for text in caplog.messages)

    def test_whole_system(self, caplog: pytest.LogCaptureFixture) -> None:
        """A shortage of the whole system is another one."""
        DescriptorWatch(take=failing(errno.ENFILE)).check()
        assert caplog.messages[0].startswith("The file descriptors of this system are used up")

    @pytest.mark.parametrize("take", [take_one, failing(errno.ENOENT)])
    def test_silent(self, caplog: pytest.LogCaptureFixture, take: Callable[[], None]) -> None:
        """Where there are descriptors, or cannot be told, nothing is said."""
        DescriptorWatch(take=take).check()
        assert caplog.messages == []


class TestReport:
    """The exception handler of the native reactor's event loop."""

    def test_accept_out_of_resources(self, caplog: pytest.LogCaptureFixture) -> None:
        """What asyncio says each second while there is no descriptor is left to the warning."""
        caplog.set_level(logging.INFO)
        loop = Loop()
        message = "socket.accept() out of system resource"
        report(loop, {"message": message, "exception": OSError(errno.EMFILE, "none left")})
        assert caplog.messages == []
        report(loop, {"message": "anything else"})
        assert caplog.messages == ["anything else"]
        loop.close()
