"""The methods of measuring a workload, by its protocol: the check, one slice of load, memory."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks import checks, generators, load, memory
from benchmarks.http2 import checks as http2_checks
from benchmarks.http2.load import H2Load
from benchmarks.http2.workloads import HTTP2Workload
from benchmarks.http_workloads import HTTPWorkload
from benchmarks.results import Sample
from benchmarks.serving import Server
from benchmarks.tls import checks as tls_checks
from benchmarks.tls import transfers
from benchmarks.tls.credentials import Credentials
from benchmarks.tls.workloads import TLSWorkload
from benchmarks.websocket import checks as websocket_checks
from benchmarks.websocket import memory as websocket_memory
from benchmarks.websocket.workloads import WebSocketWorkload
from benchmarks.workloads import Unit, Workload

WARM_UP_SECONDS = 1


@dataclass(frozen=True)
class Settings:
    """The settings of a measurement."""

    rounds: int
    slice_seconds: int
    connections: int
    server_core: int
    load_core: int
    peers: Path
    transfer_megabytes: int = 1000
    credentials: Credentials | None = None
    """None if no workload uses TLS."""


class Load(Protocol):
    """Something that makes the load of one slice."""

    def measure(self, server: Server) -> Sample:
        """Measure one slice."""


@dataclass(frozen=True)
class Method:
    """A workload's check, load and memory, each for a server that listens."""

    workload: Workload
    settings: Settings

    def check(self, server: Server) -> None:
        """Check the server's response."""
        if isinstance(self.workload, WebSocketWorkload):
            websocket_checks.check(server.port, self.workload)
        elif isinstance(self.workload, TLSWorkload):
            tls_checks.check(server, self.workload)
        elif isinstance(self.workload, HTTP2Workload):
            http2_checks.check(server, self.workload)
        else:
            checks.check(server.port, self._http)

    def warm_up(self, server: Server) -> None:
        """Load the server for a short time that is not counted."""
        self._load(WARM_UP_SECONDS).measure(server)

    def measure(self, server: Server) -> Sample:
        """Measure a slice of load, or memory."""
        if not self.workload.unit.is_memory:
            return self._load(self.settings.slice_seconds).measure(server)
        if isinstance(self.workload, WebSocketWorkload):
            return websocket_memory.measure(server, self.workload)
        if isinstance(self.workload, TLSWorkload):
            megabytes, core = self.settings.transfer_megabytes, self.settings.load_core
            return transfers.measure(server, self.workload, megabytes, core)
        return memory.measure(server, self._http)

    @property
    def _http(self) -> HTTPWorkload:
        assert isinstance(self.workload, HTTPWorkload)
        return self.workload

    def _load(self, seconds: int) -> Load:
        settings = self.settings
        core, connections = settings.load_core, settings.connections
        if isinstance(self.workload, WebSocketWorkload):
            python = settings.peers / "bin" / "python"
            return generators.Generator(python, core, seconds, connections, self.workload)
        if isinstance(self.workload, HTTP2Workload):
            return H2Load(core, seconds, self.workload)
        if self._http.unit is Unit.CONNECTION:
            python = Path(sys.executable)
            return generators.Generator(
                python, core, seconds, connections, self._http, generators.TLS
            )
        return load.Wrk(core, seconds, connections, self._http)
