"""Every series of the metrics once: name, help text, labels and buckets.

Names and buckets of HTTP are those of OpenTelemetry's conventions, as Prometheus writes them. Two
families must not differ in their suffix only, because OpenMetrics has one name for both.
"""

from __future__ import annotations

from dataclasses import dataclass

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"

DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds of a request."""
SIZES = (0.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8)
"""Octets of a body."""
LIFETIMES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds of a connection or of a WebSocket, in the buckets of .NET's server."""
DELAYS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds by which the event loop is late."""


@dataclass(frozen=True)
class Series:
    """One family of series.

    Attributes:
        name: without the suffix of its kind (`_total`, `_bucket`).
        kind: COUNTER, GAUGE or HISTOGRAM.
        help: a sentence.
        labels: names of the labels.
        bounds: upper bounds of the buckets of a histogram, without the infinite one.
        by_worker: each worker's values are kept apart, under the label `worker`.
    """

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    by_worker: bool = False

    @property
    def width(self) -> int:
        """Number of values of each series: a sum and its buckets for a histogram, otherwise one."""
        return len(self.bounds) + 2 if self.kind == HISTOGRAM else 1


HTTP = ("http_request_method", "http_response_status_code", "url_scheme",
        "network_protocol_version")  # fmt: skip

REQUEST_DURATION = Series(
    "http_server_request_duration_seconds", HISTOGRAM,
    "Seconds from the head of a request to the end of its response.", HTTP, DURATIONS,
)  # fmt: skip
QUEUE_TIME = Series(
    "daphne_like_request_queue_seconds", HISTOGRAM,
    "Seconds that requests waited in a trusted proxy, by its X-Request-Start.", (), DURATIONS,
)  # fmt: skip
REQUEST_BODY = Series(
    "http_server_request_body_size_bytes", HISTOGRAM, "Bytes of request bodies that arrived.",
    HTTP, SIZES,
)  # fmt: skip
RESPONSE_BODY = Series(
    "http_server_response_body_size_bytes", HISTOGRAM, "Bytes of response bodies that were sent.",
    HTTP, SIZES,
)  # fmt: skip
ACTIVE_REQUESTS = Series(
    "http_server_active_requests", GAUGE, "Requests whose response is not complete.",
    ("http_request_method", "url_scheme"),
)  # fmt: skip
ACTIVE_CONNECTIONS = Series(
    "daphne_like_active_connections", GAUGE, "Open connections by their present protocol.",
    ("protocol",),
)  # fmt: skip
CONNECTIONS = Series(
    "daphne_like_connections", COUNTER, "Connections that have spoken a protocol.", ("protocol",)
)
CONNECTION_DURATION = Series(
    "daphne_like_connection_duration_seconds", HISTOGRAM,
    "Seconds that connections were open, by their last protocol.", ("protocol",), LIFETIMES,
)  # fmt: skip
REFUSALS = Series(
    "daphne_like_refusals", COUNTER, "Requests and connections that the server has refused.",
    ("reason",),
)  # fmt: skip
HANDSHAKE_DURATION = Series(
    "daphne_like_tls_handshake_duration_seconds", HISTOGRAM, "Seconds of complete TLS handshakes.",
    (), LIFETIMES,
)  # fmt: skip
HANDSHAKES_FAILED = Series(
    "daphne_like_tls_handshakes_failed", COUNTER, "TLS handshakes that failed.", ("reason",)
)
ACTIVE_WEBSOCKETS = Series(
    "daphne_like_active_websockets", GAUGE, "Open WebSockets, over HTTP/1.1 and HTTP/2."
)
WEBSOCKETS = Series("daphne_like_websockets", COUNTER, "WebSockets that were accepted.")
WEBSOCKET_MESSAGES = Series(
    "daphne_like_websocket_messages", COUNTER, "Messages of WebSockets.", ("direction",)
)
WEBSOCKET_BYTES = Series(
    "daphne_like_websocket_message_bytes", COUNTER,
    "Bytes of the messages of WebSockets, not compressed.", ("direction",),
)  # fmt: skip
WEBSOCKET_CLOSES = Series(
    "daphne_like_websocket_closes", COUNTER, "WebSockets by close code, and by who closed.",
    ("code", "by"),
)  # fmt: skip
BACKPRESSURE = Series(
    "daphne_like_backpressure_seconds", COUNTER,
    "Seconds in which applications could not send because their peers did not read.",
    ("protocol",),
)  # fmt: skip
APPLICATIONS = Series(
    "daphne_like_applications", GAUGE,
    "Instances of the application; leaving are those whose peers have gone.", ("state",),
)  # fmt: skip
APPLICATION_CLOSE = Series(
    "daphne_like_application_close_seconds", HISTOGRAM,
    "Seconds from a peer's end to the end of the application instance.", (), LIFETIMES,
)  # fmt: skip
APPLICATIONS_CANCELLED = Series(
    "daphne_like_applications_cancelled", COUNTER,
    "Cancellations of instances that did not end after their peers had gone.",
)  # fmt: skip
LOOP_DELAY = Series(
    "daphne_like_event_loop_delay_seconds", HISTOGRAM,
    "Seconds by which the event loop was late, seen twice a second.", (), DELAYS,
)  # fmt: skip
LOOP_STALLS = Series(
    "daphne_like_event_loop_stalls", COUNTER,
    "Times that the event loop was late by more than --stall-warning.",
)  # fmt: skip
CPU = Series(
    "daphne_like_worker_cpu_seconds", COUNTER, "Seconds of CPU time, of user and system.",
    by_worker=True,
)  # fmt: skip

OF_A_PROCESS = (
    REQUEST_DURATION, QUEUE_TIME, REQUEST_BODY, RESPONSE_BODY, ACTIVE_REQUESTS, ACTIVE_CONNECTIONS,
    CONNECTIONS, CONNECTION_DURATION, REFUSALS, HANDSHAKE_DURATION, HANDSHAKES_FAILED,
    ACTIVE_WEBSOCKETS, WEBSOCKETS, WEBSOCKET_MESSAGES, WEBSOCKET_BYTES, WEBSOCKET_CLOSES,
    BACKPRESSURE, APPLICATIONS, APPLICATION_CLOSE, APPLICATIONS_CANCELLED, LOOP_DELAY, LOOP_STALLS,
    CPU,
)  # fmt: skip
"""What each process that serves counts, in the order in which it is shown."""

INFO = Series(
    "daphne_like_info", GAUGE, "Versions, as labels of the constant 1.",
    ("version", "python", "twisted", "loop"),
)  # fmt: skip
ACCEPT_QUEUE = Series(
    "daphne_like_accept_queue", GAUGE,
    "Connections that wait in the system's listen queue (TCP on Linux).", ("endpoint",),
)  # fmt: skip
WORKERS = Series("daphne_like_workers", GAUGE, "Worker processes by state.", ("state",))
WORKER_READY = Series(
    "daphne_like_worker_ready", GAUGE, "1 if the worker of a slot is ready.", ("worker",)
)
WORKER_MEMORY = Series(
    "daphne_like_worker_resident_memory_bytes", GAUGE, "Resident memory in bytes.", ("worker",)
)
WORKER_DESCRIPTORS = Series(
    "daphne_like_worker_open_fds", GAUGE, "Open file descriptors.", ("worker",)
)
WORKER_START = Series(
    "daphne_like_worker_start_time_seconds", GAUGE,
    "Start of the process, in seconds since 1970.", ("worker",),
)  # fmt: skip
WORKER_EXITS = Series(
    "daphne_like_worker_exits", COUNTER, "Ends of worker processes by reason.", ("reason",)
)
RESTARTS = Series(
    "daphne_like_restarts", COUNTER, "Restarts of all workers by outcome.", ("outcome",)
)

SERIES = {
    series.name: series
    for series in (
        INFO, *OF_A_PROCESS, ACCEPT_QUEUE, WORKERS, WORKER_READY, WORKER_MEMORY,
        WORKER_DESCRIPTORS, WORKER_START, WORKER_EXITS, RESTARTS,
    )
}  # fmt: skip
"""All series by name."""
