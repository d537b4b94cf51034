"""The stages of a server, and what its connections are told of them."""

from __future__ import annotations

import pytest

from daphne_like.options import Options
from daphne_like.runtime.context import ServerContext
from daphne_like.runtime.lifecycle import Lifecycle, Stage


class TestAccepting:
    """Connections are accepted only while the server serves (ASGI L06)."""

    @pytest.mark.parametrize(
        ("stages", "accepting"),
        [
            ([], True),  # without ports: a site of twisted.web
            ([Stage.STARTING, Stage.DRAINING], True),
            ([Stage.BOUND], False),
            ([Stage.BOUND, Stage.STARTING], False),
            ([Stage.BOUND, Stage.STARTING, Stage.SERVING], True),
            ([Stage.BOUND, Stage.STARTING, Stage.SERVING, Stage.DRAINING], True),
            ([Stage.BOUND, Stage.STARTING, Stage.DRAINING], False),
            ([Stage.BOUND, Stage.STARTING, Stage.DRAINING, Stage.CLOSING, Stage.STOPPED], False),
        ],
    )
    def test_stages(self, stages: list[Stage], accepting: bool) -> None:
        """L06: a server that is stopped before its application has started accepts nobody."""
        context = ServerContext(Options())
        lifecycle = Lifecycle(context, ())
        sibling = lifecycle.share()
        for stage in stages:
            lifecycle.enter(stage)
        assert (context.accepting, sibling.accepting) == (accepting, accepting)

    def test_leaving(self) -> None:
        """A server that is about to stop is not ready, but accepts and serves as before."""
        context = ServerContext(Options())
        lifecycle = Lifecycle(context, ())
        lifecycle.enter(Stage.BOUND)
        assert not lifecycle.is_ready
        lifecycle.enter(Stage.SERVING)
        assert (lifecycle.is_ready, lifecycle.is_stopping) == (True, False)
        lifecycle.enter(Stage.LEAVING)
        assert (lifecycle.is_ready, lifecycle.is_stopping) == (False, True)
        assert (context.accepting, context.draining) == (True, False)

    def test_no_way_back(self) -> None:
        """A stage that has been passed is not entered again."""
        context = ServerContext(Options())
        lifecycle = Lifecycle(context, ())
        lifecycle.enter(Stage.DRAINING)
        lifecycle.enter(Stage.SERVING)
        assert (lifecycle.stage, context.draining) == (Stage.DRAINING, True)
