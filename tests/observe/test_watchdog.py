"""Says what blocks the event loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from daphne_like.observe.watchdog import Watchdog, log

WARNED = "The event loop has been blocked"


class Heard(logging.Handler):
    """What the watchdog says, and an event for its first word."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.first = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self.first.set()


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler = Heard()
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


def test_a_blocked_thread_is_reported_with_its_place(heard: Heard) -> None:
    """One warning per stall, with the line where the loop's thread is; one when it goes on."""
    watchdog = Watchdog(0.05)
    watchdog.start()
    assert heard.first.wait(10), "no warning"  # this wait is what blocks the loop
    watchdog.stop()
    watchdog.beat()
    assert len([text for text in heard.texts if WARNED in text]) == 1
    assert "test_watchdog.py" in heard.texts[0]
    assert 'heard.first.wait(10), "no warning"' in heard.texts[0]
    assert heard.texts[-1].startswith("The event loop runs again after")


def test_a_beating_loop_is_left_alone(heard: Heard) -> None:
    """No warning while the loop comes round."""
    watchdog = Watchdog(5)
    watchdog.start()
    watchdog.beat()
    watchdog.stop()
    assert heard.texts == []
