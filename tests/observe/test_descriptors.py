"""Says that the file descriptors are used up."""

from __future__ import annotations

import errno
import logging

import pytest
from twisted.internet.task import Clock

from daphne_like.observe.descriptors import DescriptorWatch
from daphne_like.reactor.core import report
from tests.support.memory import Loop

WARNED = "The file descriptors of this process are used up"


class TestDescriptorWatch:
    """Told once a minute."""

    def test_once_a_minute(self, caplog: pytest.LogCaptureFixture) -> None:
        """A shortage is told when it is found, and once a minute while it lasts."""
        clock = Clock()
        watch = DescriptorWatch(clock.seconds)
        told = []
        for _ in range(300):
            watch.tell_shortage(errno.EMFILE)
            clock.advance(0.5)
            told.append(len(caplog.messages))
        assert told[0] == 1
        assert told[119] == 1
        assert told[120] == 2
        assert told[-1] == 3
        assert all(text.startswith(WARNED) for text in caplog.messages)

    def test_whole_system(self, caplog: pytest.LogCaptureFixture) -> None:
        """A shortage of the whole system is another one."""
        DescriptorWatch().tell_shortage(errno.ENFILE)
        assert caplog.messages[0].startswith("The file descriptors of this system are used up")

    def test_end(self, caplog: pytest.LogCaptureFixture) -> None:
        """The end is told once for each warning, however often the shortage comes and goes."""
        caplog.set_level(logging.INFO)
        watch = DescriptorWatch(Clock().seconds)
        watch.tell_end()
        for _ in range(3):
            watch.tell_shortage(errno.EMFILE)
            watch.tell_end()
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


class TestReport:
    """The exception handler of the native reactor's event loop."""

    def test_accept_out_of_resources(self, caplog: pytest.LogCaptureFixture) -> None:
        """What asyncio says each second while there is no descriptor is left to the warning."""
        caplog.set_level(logging.INFO)
        loop = Loop()
        message = "socket.accept() out of system resource"
        report(loop, {"message": message, "exception": OSError(errno.EMFILE, "none left")})
        retry = "Exception in callback BaseSelectorEventLoop._start_serving(...)"
        report(loop, {"message": retry, "exception": ValueError("Invalid file object")})
        assert caplog.messages == []
        report(loop, {"message": "anything else"})
        assert caplog.messages == ["anything else"]
        loop.close()
