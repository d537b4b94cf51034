"""The status of a server that is the only process of its application."""

from __future__ import annotations

import dataclasses
import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from daphne_like import __version__
from daphne_like.observe.observer import Observer
from daphne_like.observe.watchdog import stack_of_thread
from daphne_like.options import Options
from daphne_like.runtime.connections import Connections
from daphne_like.runtime.context import ServerContext
from daphne_like.runtime.drain import Drain
from daphne_like.runtime.drain_plan import DrainPlan
from daphne_like.runtime.lifecycle import Lifecycle
from daphne_like.status.history import Gauges, History
from daphne_like.status.listing import Listing
from daphne_like.status.recorder import Recorder
from daphne_like.status.rows import Query
from daphne_like.status.sample import Sample

PRIVATE_MODE = 0o600

log = logging.getLogger("daphne_like.server")


class Shown(Protocol):
    """The part of a Server that is shown."""

    context: ServerContext
    connections: Connections
    lifecycle: Lifecycle
    drainer: Drain
    options: Options
    application: Any

    @property
    def listening_addresses(self) -> list[tuple[str, int | None]]:
        """Addresses on which the server listens."""

    def add_observer(self, observer: Observer) -> None:
        """Tell an observer what happens."""

    def reopen_logs(self) -> None:
        """Open the file of the access log again."""

    def stop(self) -> None:
        """Begin a graceful stop."""


class OneProcess:
    """See Service.

    Args:
        server: the server.
        memory: returns the resident memory of a process in octets; None if not known.
    """

    def __init__(self, server: Shown, memory: Callable[[int], int | None]) -> None:
        self._server = server
        self._memory = memory
        self._started = time.time()
        self._thread = threading.get_ident()
        self._recorder = Recorder.of(server)
        self._listing = Listing(self._recorder)
        self._last = Sample()
        self.history = History(time.monotonic)
        server.lifecycle.add_check(self._tick)

    def _tick(self) -> None:
        if not self.history.is_due:
            return
        self._last = sample = self._recorder.take()
        self.history.add(sample)
        pid = os.getpid()
        gauges = Gauges(self._memory(pid), sample.cpu, sample.delay)
        self.history.close({pid: sample}, {"1": (pid, gauges)})

    # Service.

    @property
    def is_ready(self) -> bool:
        """See Service."""
        return self._server.lifecycle.is_ready

    @property
    def is_stopping(self) -> bool:
        """See Service."""
        return self._server.lifecycle.is_stopping

    @property
    def actions(self) -> tuple[str, ...]:
        """See Service."""
        return ("drain", "reopen")

    def overview(self) -> dict[str, Any]:
        """See Service."""
        lifecycle, sample, pid = self._server.lifecycle, self._last, os.getpid()
        state = "draining" if lifecycle.is_stopping else "ready" if self.is_ready else "starting"
        worker = {
            "slot": 1,
            "pid": pid,
            "generation": 1,
            "age": round(time.time() - self._started, 1),
            "state": state,
            "blocked": None,
            "memory": self._memory(pid),
            "delay": sample.delay,
            "connections": len(self._server.connections),
            "instances": len(self._server.context.applications.running),
            "requests": self.history.totals["requests"],
        }
        return {
            **about(),
            "started": round(self._started, 1),
            "application": name_of(self._server.application),
            "addresses": written(self._server.listening_addresses),
            "supervised": False,
            "generation": 1,
            "wanted": 1,
            "workers": [worker],
        }

    async def listing(self, query: Query) -> dict[str, Any]:
        """See Service."""
        rows, omitted = self._listing.rows(query)
        return {
            "rows": [{**row, "worker": 1} for row in rows],
            "omitted": omitted,
            "silent": [],
        }

    async def threads(self, slot: int) -> str | None:
        """See Service."""
        if slot != 1:
            return None
        parts = []
        for thread in threading.enumerate():
            if thread.ident is not None and thread.ident in sys._current_frames():
                parts.append(f"{thread.name}:\n{stack_of_thread(thread.ident)}")
        return "\n".join(parts)

    def act(self, action: str) -> None:
        """See Service."""
        log.warning("The status page asks for: %s", action)
        if action == "reopen":
            self._server.reopen_logs()
        elif action == "drain":
            self._server.drainer.plan = DrainPlan.patient(self._server.options)
            self._server.stop()


def written(addresses: Iterable[tuple[str, int | None]]) -> list[str]:
    """Return addresses as host:port or the path of a UNIX socket.

    Not the endpoint strings, which may contain the password of a key.
    """
    return [
        host if port is None else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        for host, port in addresses
    ]


def name_of(application: Any) -> str:
    """Return where an application is defined, as "module:name"."""
    named = application if hasattr(application, "__qualname__") else type(application)
    return f"{named.__module__}:{named.__qualname__}"


def status_options(options: Options) -> Options:
    """Return the options of the server of the page, from those of a small server.

    A stream of events has no end, and a UNIX socket is for its owner alone, unless an option or its
    endpoint string says otherwise.
    """
    mode = PRIVATE_MODE if options.unix_mode is None else options.unix_mode
    return dataclasses.replace(options, http_timeout=None, unix_mode=mode)


def about() -> dict[str, Any]:
    """Return what is the same for all processes."""
    return {
        "version": __version__,
        "python": platform.python_version(),
        "host": platform.node(),
        "now": round(time.time(), 1),
    }
