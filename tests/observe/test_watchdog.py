"""Says what blocks the event loop."""

from __future__ import annotations

import threading

import pytest

from daphne_like.observe.watchdog import Watchdog

WARNED = "The event loop has been blocked"


def test_a_blocked_thread_is_reported_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    """One warning per stall, with the line where the loop's thread is; one when it goes on."""
    watchdog = Watchdog(0.05)
    watchdog.start()
    warned = threading.Event()
    caplog.handler.emit = lambda record: (caplog.handler.records.append(record), warned.set())  # type: ignore[method-assign]
    assert warned.wait(10), "no warning"  # this wait is what blocks the loop
    watchdog.stop()
    watchdog.beat()
    texts = [record.getMessage() for record in caplog.records]
    assert len([text for text in texts if WARNED in text]) == 1
    assert "test_watchdog.py" in texts[0]
    assert 'warned.wait(10), "no warning"' in texts[0]
    assert texts[-1].startswith("The event loop runs again after")


def test_a_beating_loop_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """No warning while the loop comes round."""
    watchdog = Watchdog(5)
    watchdog.start()
    watchdog.beat()
    watchdog.stop()
    assert caplog.records == []
