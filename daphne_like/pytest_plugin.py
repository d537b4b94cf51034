"""The pytest plug-in: the fixture `daphne_like_server` and the substitute for `daphne.testing`.

Every pytest run of every user imports this module. So it imports nothing slow, and no module of the
server before a test uses the fixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from daphne_like.testing.stand_in import stand_in_for_daphne

if TYPE_CHECKING:
    from daphne_like.testing.running import RunningServer

# Called at import, because conftest modules import channels.testing before any hook runs.
stand_in_for_daphne()


@pytest.fixture
def daphne_like_server() -> Iterator[Callable[..., RunningServer]]:
    """Start real servers that stop at the end of the test.

    Call it with `daphne_like_server(application, **options)`. The application is an object or
    "module:attribute"; the options are those of the command, by name. The returned server has
    `url`, `ws_url`, `host`, `port` and `log`. It runs in a separate process: see
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
        # Fail outside the except block: inside it, pytest would print the first error as well.
        pytest.fail(cause, pytrace=False)

    yield start
    for server in servers:
        server.stop()
