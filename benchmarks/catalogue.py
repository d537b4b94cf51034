"""All workloads, in the order of the report."""

from __future__ import annotations

from benchmarks.http2.workloads import HTTP2_WORKLOADS
from benchmarks.http_workloads import HTTP_WORKLOADS
from benchmarks.tls.workloads import TLS_WORKLOADS
from benchmarks.websocket.workloads import WEBSOCKET_WORKLOADS
from benchmarks.workloads import Workload

WORKLOADS: tuple[Workload, ...] = (
    *HTTP_WORKLOADS,
    *HTTP2_WORKLOADS,
    *TLS_WORKLOADS,
    *WEBSOCKET_WORKLOADS,
)
