"""Notifications for systemd (sd_notify(3)), read at the other end of a datagram socket."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daphne_like.process.systemd import Notifier
from tests.support.service_manager import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServiceManager]:
    made = ServiceManager(tmp_path / "notify" if request.param == "path" else None)
    yield made
    made.close()


class TestStates:
    """One datagram for each change."""

    def test_a_life(self, manager: ServiceManager) -> None:
        """Start, reload and stop, each with its status."""
        notifier = Notifier(manager.address)
        notifier.ready("Serving main:app")
        before = int(time.monotonic() * 1e6)
        notifier.reloading()
        after = int(time.monotonic() * 1e6)
        notifier.reloaded()
        notifier.stopping(81)
        ready, reloading, reloaded, stopping = manager.received()
        assert ready == reloaded == ["READY=1", "STATUS=Serving main:app"]
        assert reloading[0] == "RELOADING=1"
        assert reloading[2:] == ["STATUS=Reloading"]
        name, _, microseconds = reloading[1].partition("=")
        assert name == "MONOTONIC_USEC"
        assert before <= int(microseconds) <= after
        assert stopping == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=81000000", "STATUS=Stopping"]

    def test_a_reload_during_the_start(self, manager: ServiceManager) -> None:
        """It does not announce a service that is not ready."""
        notifier = Notifier(manager.address)
        notifier.reloading()
        notifier.reloaded()
        assert manager.received() == []

    def test_nothing_follows_a_stop(self, manager: ServiceManager) -> None:
        """Neither a start that ends late nor a reload, and the stop is reported once."""
        notifier = Notifier(manager.address)
        notifier.stopping(1)
        assert len(manager.received()) == 1
        notifier.ready("late")
        notifier.reloading()
        notifier.reloaded()
        notifier.stopping(1)
        assert manager.received() == []

    def test_a_reload_that_failed(self, manager: ServiceManager) -> None:
        """The service goes on, so it is ready; the status has the reason."""
        notifier = Notifier(manager.address)
        notifier.ready("Serving")
        notifier.reloading()
        notifier.reloaded("Reload failed: no module named main")
        assert manager.received()[-1] == ["READY=1", "STATUS=Reload failed: no module named main"]

    def test_a_status_is_one_line(self, manager: ServiceManager) -> None:
        """A line feed in a name adds no assignment."""
        Notifier(manager.address).status("Serving a\nMAINPID=1\r\n at é\udc80")
        assert manager.received() == [["STATUS=Serving a MAINPID=1 at é?"]]


class TestWatchdog:
    """WATCHDOG=1 at half of the time."""

    def test_half_of_the_time(self, manager: ServiceManager) -> None:
        """Calls in between send nothing."""
        notifier = Notifier(manager.address, watchdog_seconds=30)
        sent = []
        for now in (0.0, 0.5, 14.9, 15.0, 15.5, 29.9, 30.5):
            notifier.beat(now)
            sent.append((now, manager.received()))
        assert [now for now, found in sent if found] == [0.0, 15.0, 30.5]
        assert all(found in ([], [["WATCHDOG=1"]]) for _, found in sent)

    def test_nobody_watches(self, manager: ServiceManager) -> None:
        """Without WATCHDOG_USEC there is no beat."""
        Notifier(manager.address).beat(0.0)
        assert manager.received() == []


class TestEnvironment:
    """The variables of sd_notify(3) and sd_watchdog_enabled(3)."""

    def test_they_are_read_and_removed(self, manager: ServiceManager) -> None:
        """The application's children do not find them; others stay."""
        environment = {
            "NOTIFY_SOCKET": manager.address,
            "WATCHDOG_USEC": "30000000",
            "WATCHDOG_PID": str(os.getpid()),
            "LISTEN_FDS": "1",
        }
        notifier = Notifier.from_environment(environment)
        assert environment == {"LISTEN_FDS": "1"}
        assert notifier.beat_seconds == 15
        notifier.status("here")
        assert manager.received() == [["STATUS=here"]]

    @pytest.mark.parametrize(
        "environment",
        [
            {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
            {"WATCHDOG_USEC": "0"},
            {"WATCHDOG_USEC": "-1"},
            {"WATCHDOG_USEC": "often"},
            {},
        ],
    )
    def test_no_watchdog(self, environment: dict[str, str]) -> None:
        """Another process is watched, or the time is no positive number."""
        variables = {"NOTIFY_SOCKET": "/run/notify", **environment}
        assert Notifier.from_environment(variables).beat_seconds is None
        assert variables == {}

    def test_watched_without_a_process(self) -> None:
        """WATCHDOG_PID is optional."""
        variables = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "2000000"}
        assert Notifier.from_environment(variables).beat_seconds == 1


class TestErrors:
    """No error reaches the service."""

    @pytest.mark.parametrize(
        "address",
        [None, "", "relative", "vsock:2:1234", "/nowhere/at/all", "/" + "x" * 200, "@gone"],
    )
    def test_nobody_listens(self, address: str | None) -> None:
        """An address that is missing, unknown, too long or left."""
        notifier = Notifier(address, watchdog_seconds=2)
        notifier.ready("Serving")
        notifier.beat(0.0)
        notifier.stopping(1)

    def test_systemd_does_not_read(self, manager: ServiceManager) -> None:
        """A full queue costs a bounded time."""
        notifier = Notifier(manager.address)
        before = time.monotonic()
        sent = 0
        while time.monotonic() - before < 0.09:
            notifier.status("again")
            sent += 1
            assert sent < 100_000
        assert time.monotonic() - before < 5
        assert 0 < len(manager.received()) < sent
