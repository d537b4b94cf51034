"""`BaseDaphneTestingInstance`, `DaphneTestingInstance` and `TestApplication`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from daphne_like.testing import BaseDaphneTestingInstance, DaphneTestingInstance
from tests.support import processes
from tests.support.start_methods import start_method

DEADLINE = 20.0

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

OK: list[dict[str, Any]] = [
    {"type": "http.response.start", "status": 200, "headers": []},
    {"type": "http.response.body", "body": b"as told"},
]


@pytest.fixture(params=["fork", "spawn"], autouse=True)
def method(request: pytest.FixtureRequest) -> Iterator[str]:
    """The start method of processes."""
    with start_method(request.param):
        yield request.param


def get(server: Any, path: str = "/", **headers: str) -> str:
    request = Request(f"http://{server.host}:{server.port}{path}", headers=headers)
    with urlopen(request, timeout=DEADLINE) as answer:
        return answer.read().decode()


class TestDaphneTestingInstance:
    """Daphne's own names and arguments."""

    def test_a_dialogue(self) -> None:
        """It sends what it was told and gives scope and events, of the latest instance alone."""
        with DaphneTestingInstance() as server:
            for path in ("/first", "/second"):
                server.add_send_messages(OK)
                assert get(server, path) == "as told"
            scope, messages = server.get_received()
        assert scope["type"] == "http"
        assert scope["path"] == "/second"
        assert messages[0] == {"type": "http.request", "body": b"", "more_body": False}
        assert all(message["type"] == "http.disconnect" for message in messages[1:])

    def test_nothing_yet(self) -> None:
        """There is nothing before the first request: the application got no lifespan scope."""
        with DaphneTestingInstance() as server, pytest.raises(ValueError, match="nothing yet"):
            server.get_received()

    def test_the_applications_error_is_raised(self) -> None:
        """What the application raises, `get_received` raises."""
        with DaphneTestingInstance() as server:
            server.add_send_messages([{"type": "http.response.nonsense"}])
            with pytest.raises(OSError):
                get(server)
            with pytest.raises(Exception, match=r"http\.response\.nonsense"):
                server.get_received()

    def test_two_at_a_time(self) -> None:
        """Two instances do not read each other's messages and results."""
        with DaphneTestingInstance() as one, DaphneTestingInstance() as other:
            one.add_send_messages([OK[0], {"type": "http.response.body", "body": b"one"}])
            other.add_send_messages([OK[0], {"type": "http.response.body", "body": b"other"}])
            with ThreadPoolExecutor(2) as pool:
                answers = list(pool.map(get, (one, other), ("/one", "/other")))
            assert answers == ["one", "other"]
            assert one.get_received()[0]["path"] == "/one"
            assert other.get_received()[0]["path"] == "/other"

    def test_the_folder_is_gone(self) -> None:
        """What was stored is removed at the end; the result can still be had."""
        with DaphneTestingInstance() as server:
            server.add_send_messages(OK)
            get(server)
        assert server.get_received()[0]["path"] == "/"
        assert not Path(server.application.folder).exists()

    def test_again(self) -> None:
        """One instance may serve twice; what it received the first time is over."""
        server = DaphneTestingInstance()
        for path in ("/first", "/second"):
            with server:
                server.add_send_messages(OK)
                get(server, path)
                assert server.get_received()[0]["path"] == path
        assert not Path(server.application.folder).exists()

    def test_message_size(self) -> None:
        """The limits are the server's."""
        with DaphneTestingInstance(websocket_max_message_size=10) as server:
            server.add_send_messages([{"type": "websocket.accept"}])
            with connect(f"ws://{server.host}:{server.port}/", proxy=None) as websocket:
                websocket.send("x" * 11)
                with pytest.raises(ConnectionClosed) as closed:
                    websocket.recv(timeout=DEADLINE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


class TestBaseDaphneTestingInstance:
    """Daphne's own names and arguments."""

    def test_forwarded_fields(self) -> None:
        """With `xff` the client is who X-Forwarded-For says."""
        with BaseDaphneTestingInstance(xff=True, application=processes.client) as server:
            assert get(server, **{"X-Forwarded-For": "192.0.2.7"}) == "192.0.2.7"

    def test_no_forwarded_fields(self) -> None:
        """Without, it is the peer."""
        with BaseDaphneTestingInstance(application=processes.client) as server:
            assert get(server, **{"X-Forwarded-For": "192.0.2.7"}) == "127.0.0.1"

    def test_no_limit(self) -> None:
        """0 is no limit, as Daphne has it."""
        server = BaseDaphneTestingInstance(
            websocket_max_message_size=0, websocket_max_frame_size=0, application=processes.client
        )
        with server:
            assert get(server) == "127.0.0.1"

    def test_setup_that_raises(self) -> None:
        """A server that does not start is an error with the traceback."""
        server = BaseDaphneTestingInstance(application=processes.client)
        server.process_setup = processes.raise_in_setup  # type: ignore[method-assign] # a hook
        with pytest.raises(RuntimeError, match="LookupError: no setup today"), server:
            pass
