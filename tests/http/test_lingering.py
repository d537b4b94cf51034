"""The limits of a lingering close, on a clock of the test's own (RFC 9112, 9.6)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from daphne_like.http.lingering import (
    LINGER_SECONDS,
    MAX_LINGER_OCTETS,
    MAX_LINGER_SECONDS,
    Lingering,
)
from daphne_like.runtime.timeouts import Timeout


class Carrier:
    """A carrier that has sent its last response, and whose timeouts are counted."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.context: Any = SimpleNamespace(clock=lambda: self.now)
        self.timeouts: list[tuple[Timeout, float | None]] = []
        self.lingering = Lingering(self)

    def set_timeout(self, timeout: Timeout, seconds: float | None) -> None:
        self.timeouts.append((timeout, seconds))

    def goes_on(self, *, is_unread: bool = False) -> bool:
        """Let the timeout expire."""
        self.now += LINGER_SECONDS
        return self.lingering.goes_on(self, is_unread=is_unread)


@pytest.fixture
def carrier() -> Carrier:
    return Carrier()


def test_silent(carrier: Carrier) -> None:
    """A peer that sends nothing has one period."""
    carrier.lingering.begin(carrier)
    assert carrier.timeouts == [(Timeout.LINGER, LINGER_SECONDS)]
    assert not carrier.goes_on()
    assert len(carrier.timeouts) == 1


def test_sends_once(carrier: Carrier) -> None:
    """A peer that has sent something has one more period, and not a third one."""
    assert carrier.lingering.discard(1)
    assert carrier.goes_on()
    assert carrier.timeouts == [(Timeout.LINGER, LINGER_SECONDS)]
    assert not carrier.goes_on()


def test_does_not_read(carrier: Carrier) -> None:
    """While the response is in the transport, a silent peer has more time, up to the limit."""
    periods = 0
    while carrier.goes_on(is_unread=True):
        periods += 1
    assert periods == MAX_LINGER_SECONDS // LINGER_SECONDS - 1


def test_sends_for_ever(carrier: Carrier) -> None:
    """Each octet gains a period, up to the limit of time."""
    periods = 0
    while carrier.lingering.discard(1) and carrier.goes_on():
        periods += 1
    assert periods == MAX_LINGER_SECONDS // LINGER_SECONDS - 1


def test_octets(carrier: Carrier) -> None:
    """The limit of octets is for all of them together."""
    assert carrier.lingering.discard(MAX_LINGER_OCTETS - 1)
    assert carrier.lingering.discard(1)
    assert not carrier.lingering.discard(1)
