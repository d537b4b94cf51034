"""What a client that leaves does to Django's database connections.

The views write inside of a transaction and stay there until the test opens their gate; the settings
let SQLite fail at once, so that a transaction left open shows as an error of the next write.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import needed
from tests.support.django_shop import open_files, open_shop

httpx = needed.module("httpx")
django = needed.module("django")

TELLS_VIEWS = django.VERSION >= (5, 0)
"""Since 5.0 Django cancels a view itself; before, the server does (--application-close-timeout)."""


SECONDS = 5.0


class Shop:
    """A running shop, and what its tests ask of it."""

    def __init__(self, running: Any, client: Any) -> None:
        self.running = running
        self.client = client

    def diary(self) -> list[str]:
        """What has happened in the server."""
        lines: list[str] = self.client.get("/tell").json()["diary"]
        return lines

    def wait_for(self, line: str) -> None:
        """Wait until it has happened."""
        needed.until(lambda: line in self.diary(), SECONDS)

    def leaves(self, kind: str, name: str) -> None:
        """A client asks, and leaves when the view is in the middle of its transaction."""
        connection = self.running.connect()
        request = f"GET /hold/{kind}/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        connection.sendall(request.encode())
        self.wait_for(f"holding {name}")
        connection.close()

    def count(self, name: str) -> int:
        """Products of that name."""
        return int(self.client.get(f"/how-many/{name}").text)

    def is_free(self) -> None:
        """No transaction is open, and a write succeeds at once."""
        needed.until(lambda: self.client.get("/tell").json()["open_transactions"] == 0)
        assert self.client.get("/write/next").status_code == 200


@pytest.fixture(scope="module", params=["0", "60"], ids=["closes", "keeps"])
def age(request: pytest.FixtureRequest) -> str:
    """CONN_MAX_AGE: 0 closes with the request, 60 keeps, and checks health before use."""
    return str(request.param)


@pytest.fixture(scope="module")
def shop(age: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop, with a server that cancels what stays a second after its client."""
    choices = {} if age == "0" else {"SHOP_CONN_MAX_AGE": age}
    with (
        open_shop(
            tmp_path_factory.mktemp("shop"),
            "--application-close-timeout",
            "1",
            SHOP_LOCK_TIMEOUT="0",
            **choices,
        ) as running,
        httpx.Client(base_url=running.url, timeout=20) as client,
    ):
        yield Shop(running, client)


class TestLeaving:
    """A request that is cancelled by a disconnect leaves the database free."""

    @pytest.mark.parametrize("kind", ["sync-view", "async-view", "sync-stream"])
    def test_thread_in_a_transaction_finishes_it(self, shop: Shop, kind: str) -> None:
        """A thread cannot be cancelled: its transaction is committed, and the database is free."""
        shop.leaves(kind, kind)
        assert shop.client.get("/write/meanwhile").text == "database is locked"
        shop.client.get(f"/open/{kind}")
        shop.wait_for(f"committed {kind}")
        shop.is_free()
        assert shop.count(kind) == 1

    @pytest.mark.parametrize("kind", ["steps-view", "async-stream"])
    def test_coroutine_in_a_transaction_rolls_it_back(self, shop: Shop, kind: str) -> None:
        """A coroutine is cancelled: its transaction is rolled back, and the database is free."""
        shop.leaves(kind, kind)
        shop.is_free()
        assert shop.count(kind) == 0

    def test_view_is_cancelled_once(self, shop: Shop) -> None:
        """H28: an async view sees CancelledError, once."""
        shop.leaves("sleeping-view", "asleep")
        shop.wait_for("cancelled asleep")
        shop.is_free()
        assert shop.diary().count("cancelled asleep") == 1

    def test_stopped_upload_begins_nothing(self, shop: Shop) -> None:
        """A client that leaves in the middle of its body has reached no view, and begun nothing."""
        connection = shop.running.connect()
        connection.sendall(
            b"POST /raw?cut HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n"
            + b"x" * 999
        )
        connection.close()
        shop.is_free()
        assert "started /raw" not in shop.diary()


class TestSignals:
    """`close_old_connections` has the effect that it has under Daphne."""

    def test_started_and_finished_once(self, shop: Shop) -> None:
        """request_started and request_finished are sent once for a request that is answered."""
        assert shop.client.get("/write/signals").status_code == 200
        shop.wait_for("finished /write/signals")
        mine = [line for line in shop.diary() if line.endswith(" /write/signals")]
        assert mine == [f"{what} /write/signals" for what in ("started", "connected", "finished")]

    @pytest.mark.skipif(not TELLS_VIEWS, reason="before Django 5.0 a cancelled request has no end")
    @pytest.mark.parametrize(
        "kind", ["sync-view", "async-view", "steps-view", "sync-stream", "async-stream"]
    )
    def test_finished_once_when_the_client_leaves(self, shop: Shop, kind: str) -> None:
        """request_finished is sent once for a request whose client leaves."""
        name = f"signals-{kind}"
        shop.leaves(kind, name)
        shop.client.get(f"/open/{name}")
        shop.wait_for(f"finished /hold/{kind}/{name}")
        shop.is_free()
        path = f" /hold/{kind}/{name}"
        ours = [line.removesuffix(path) for line in shop.diary() if line.endswith(path)]
        assert ours == ["started", "connected", "finished"]

    @pytest.mark.skipif(not TELLS_VIEWS, reason="before Django 5.0 a cancelled request has no end")
    def test_finished_though_it_sends_all_the_time(self, shop: Shop) -> None:
        """H30: `send` does not raise before Django has cancelled what sends."""
        for number in range(5):
            shop.leaves("busy-stream", f"busy-{number}")
        for number in range(5):
            shop.wait_for(f"finished /hold/busy-stream/busy-{number}")

    def test_connection_ends_with_its_request(self, shop: Shop, age: str) -> None:
        """With CONN_MAX_AGE=0 the end of the request closes the connection.

        With more it is left to the thread; Django's handler gives each request a thread of its own,
        so that nobody uses it again, and the garbage collector closes it.
        """

        def ended(most: int) -> bool:
            return open_files(shop.running, "shop.sqlite3") <= most

        def collected(most: int) -> bool:
            shop.client.get("/collect")
            return ended(most)

        if TELLS_VIEWS:
            needed.until(lambda: collected(0), SECONDS)
        before = open_files(shop.running, "shop.sqlite3")  # left by clients of other tests

        for number in range(5):
            assert shop.client.get(f"/write/descriptor-{number}").status_code == 200
        needed.until(lambda: (ended if age == "0" else collected)(before), SECONDS)
