"""The pytest plug-in: the fixture `daphne_like_server`, and the stand-in for Daphne.

Every pytest run of every user imports this module: it imports nothing that takes time, and no
module of the server before a test asks for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from daphne_like.testing.stand_in import stand_in_for_daphne

if TYPE_CHECKING:
    from daphne_like.testing.running import RunningServer

# Here and not in a hook: conftest modules import channels.testing before any hook of ours runs.
stand_in_for_daphne()


@pytest.fixture
def daphne_like_server() -> Iterator[Callable[..., RunningServer]]:
    """Starts real servers that end with the test: `daphne_like_server(application, **options)`.

    An application is an object or "module:attribute"; options are those of the command, by name.
    The server has `url`, `ws_url`, `host`, `port` and `log`. It runs in a process of its own: see
    `daphne_like.testing.RunningServer`.
    """
    from daphne_like.testing.running import DidNotStart, RunningServer

    servers: list[RunningServer] = []

    def start(application: Any, **options: Any) -> RunningServer:
        __tracebackhide__ = True
        try:
            server = RunningServer(application, **options)
        except DidNotStart as error:
            cause = str(error)
        else:
            servers.append(server)
            return server
        # Here and not above: within the except block pytest would print the error behind it too.
        pytest.fail(cause, pytrace=False)

    yield start
    for server in servers:
        server.stop()
