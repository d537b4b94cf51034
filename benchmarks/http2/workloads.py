"""The HTTP/2 workloads: requests of :mod:`benchmarks.http_workloads`, on streams.

:mod:`benchmarks.http2.load` measures them.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import http_workloads
from benchmarks.http_workloads import HTTPWorkload

CONNECTIONS = 16
STREAMS = 32
"""Concurrent streams of each connection; if a server allows fewer, the client waits."""


@dataclass(frozen=True)
class HTTP2Workload(HTTPWorkload):
    """An HTTP workload over HTTP/2."""

    secured: bool = False
    """Over TLS, HTTP/2 by ALPN."""

    @property
    def tls(self) -> bool:
        return self.secured


def _over_http2(
    name: str, title: str, request: HTTPWorkload, secured: bool = False
) -> HTTP2Workload:
    return HTTP2Workload(
        name,
        title,
        request.unit,
        request.target,
        request.answer,
        method=request.method,
        body=request.body,
        connections=CONNECTIONS,
        secured=secured,
    )


HTTP2_WORKLOADS = (
    _over_http2("h2", "bare GET over HTTP/2", http_workloads.HELLO),
    _over_http2("h2big", "100 kB in one body over HTTP/2", http_workloads.BIG),
    _over_http2("h2tls", "bare GET over HTTP/2 and TLS 1.3", http_workloads.HELLO, secured=True),
    _over_http2("h2stream", "ten chunks of 100 bytes over HTTP/2", http_workloads.STREAM),
    _over_http2("h2upload", "POST of 1 MB over HTTP/2", http_workloads.UPLOAD),
)
