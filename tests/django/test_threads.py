"""The threads that Django's sync views run in: asgiref's rules, and ASGI_THREADS."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support import needed
from tests.support.django_shop import open_shop
from tests.support.real_server import Running

httpx = needed.module("httpx")
SECONDS = 20


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a shop with two threads for what may run in any thread."""
    with (
        open_shop(tmp_path_factory.mktemp("shop"), ASGI_THREADS="2") as running,
        httpx.Client(base_url=running.url, timeout=SECONDS) as client,
    ):
        yield client


class TestThreadSensitive:
    """asgiref, `sync_to_async(thread_sensitive=True)`: one thread for a request."""

    def test_sync_view(self, client: Any) -> None:
        """A sync view is outside of the event loop's thread; sync code it awaits is in its own."""
        told = client.get("/threads/sync").json()
        first, second = told["threads"]
        assert first == second != told["main"]

    def test_async_view(self, client: Any) -> None:
        """An async view is in the event loop's thread, and all its sync code in one other."""
        told = client.get("/threads/async").json()
        assert told["own"] == told["main"]
        assert len(set(told["threads"])) == 1
        assert told["threads"][0] != told["main"]

    def test_two_requests_have_two_threads(self, client: Any) -> None:
        """Two sync views run at the same time: each waits for the other, and both answer."""
        with ThreadPoolExecutor(2) as callers:
            both = list(callers.map(client.get, ["/threads/meet"] * 2))
        assert [each.status_code for each in both] == [200, 200]
        assert len({each.json()["thread"] for each in both}) == 2


class TestPool:
    """Daphne's ASGI_THREADS: the size of the event loop's default executor."""

    def test_at_most_that_many_at_once(self, client: Any) -> None:
        """Of four calls that may run in any thread two run, and the others when those are done."""

        def state(query: str = "") -> dict[str, int]:
            told: dict[str, int] = client.get(f"/threads/pool/state{query}").json()
            return told

        with ThreadPoolExecutor(4) as callers:
            answers = callers.map(client.get, ["/threads/pool"] * 4)
            try:
                needed.until(lambda: state()["asked"] == 4 and state()["running"] >= 2)
            finally:
                state("?go")
            assert [each.status_code for each in answers] == [200] * 4
        assert state() == {"asked": 4, "running": 0, "most": 2}

    @pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
    def test_bad_value(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        """Anything but a whole number of one or more is refused: one sentence, exit status 2."""
        monkeypatch.setenv("ASGI_THREADS", value)
        running = Running("-p", "0", "flat:application")
        try:
            assert running.ended() == 2
        finally:
            log = running.stop()
        assert len(log.splitlines()) == 1
        assert "ASGI_THREADS" in log
        assert repr(value) in log or value in log
