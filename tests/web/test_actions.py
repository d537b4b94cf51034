"""What a server whose carrier is twisted.web tells its action logger and other observers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.observe.action_logger import ActionLogger
from tests.support.applications import GET, Script, body, sending, start
from tests.support.listener import Listener
from tests.support.web_tree import Tree, WebWire

REQUEST = GET.replace(b" / ", b" /app/ ")


class Told:
    """What the action logger was told: status, size, and whether the response was cut."""

    def __init__(self) -> None:
        self.entries: list[tuple[Any, Any, bool]] = []

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        assert (protocol, action) == ("http", "complete")
        self.entries.append((details["status"], details["size"], "cut" in details))


@pytest.fixture
def told() -> Told:
    return Told()


def asks(tree: Tree, told: Told) -> WebWire:
    """A connection with one request, to a server that has an action logger."""
    tree.server.context.observer = ActionLogger(told)
    wire = tree.connect()
    wire.sends(REQUEST)
    tree.settle()
    return wire


class TestEnds:
    """Each exchange has one entry, however it ends."""

    def test_complete(self, tree: Callable[..., Tree], told: Told) -> None:
        """A complete response has its status and size."""
        asks(tree(sending(start(), body(b"abc", True), body(b"de"))), told)
        assert told.entries == [(200, 5, False)]

    def test_error(self, tree: Callable[..., Tree], told: Told) -> None:
        """The response that the server makes itself has its own."""
        asks(tree(sending()), told)
        assert told.entries == [(500, len("Internal Server Error\n"), False)]

    def test_cut(self, tree: Callable[..., Tree], told: Told) -> None:
        """A response that the application leaves incomplete is marked, and told once."""
        asks(tree(sending(start(), body(b"abc", True))), told)
        assert told.entries == [(200, 3, True)]

    def test_lost(self, tree: Callable[..., Tree], told: Told) -> None:
        """A client that leaves before the response has an entry without a status."""
        wire = asks(tree(Script()), told)
        wire.vanishes()
        assert told.entries == [(None, 0, False)]


class TestEvents:
    """Observers, see tests/observe/test_observer.py."""

    def test_an_exchange(self, tree: Callable[..., Tree]) -> None:
        """A request counts as a connection."""
        listener = Listener()
        site = tree(sending(start(), body(b"abc")))
        site.server.add_observer(listener)
        wire = site.connect()
        wire.sends(REQUEST)
        site.settle()
        assert listener.events == [
            ("connection_opened", "twisted.web"),
            ("exchange_opened",),
            ("exchange_ended",),
            ("connection_closed", "twisted.web"),
        ]
