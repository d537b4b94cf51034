"""Every option of the server once: default, unit, help text, check.

The command line, the twistd plug-in, Django and the documentation are derived from this class.
"""

from __future__ import annotations

import dataclasses
import math
import re
import socket
from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from daphne_like.asgi.interface import INTERFACES, WSGI_THREADS
from daphne_like.asgi.lifespan import MODES
from daphne_like.exceptions import ConfigurationError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
MIN_REQUEST_LINE = 128
"""The smallest --max-request-line. http/h1/request_line.py caches shorter targets for all servers
of the process, because no server's limit can refuse them."""
AUTO = "auto"
WEB_CONCURRENCY = "WEB_CONCURRENCY"
MAX_WORKERS = 256
LOG_FORMATS = ("text", "json", "ecs")
LOG_LINE = "%(asctime)-15s %(levelname)-8s %(message)s"
FOREVER = -1
"""Daphne's value for "no limit", like 0; Options uses None instead."""
SECONDS_IN = {"m": 60, "h": 3600, "d": 86400}
BYTES_IN = {"k": 1024, "m": 1024**2, "g": 1024**3}


def on_or_off(text: str) -> bool:
    """Parse on or off.

    Raises:
        ArgumentTypeError: the text is no usual spelling of on or off.
    """
    value = {"on": True, "true": True, "yes": True, "1": True,
             "off": False, "false": False, "no": False, "0": False}.get(text.lower())  # fmt: skip
    if value is None:
        raise ArgumentTypeError(f"expected on or off, got {text!r}")
    return value


def seconds(text: str) -> float:
    """Parse a time: a number of seconds, or a number with a unit, such as 500ms or 5m.

    Returns:
        Seconds; an int if they are whole.

    Raises:
        ArgumentTypeError: the text is no such time.
    """
    found = re.fullmatch(r"(-?(?:\d+\.?\d*|\.\d+))(ms|s|m|h|d)?", text.lower(), re.ASCII)
    if found is None:
        raise ArgumentTypeError(
            f"expected seconds, or a time such as 500ms, 30s, 5m, 1h or 1d, got {text!r}"
        )
    number = float(found[1])
    value = number / 1000 if found[2] == "ms" else number * SECONDS_IN.get(found[2], 1)
    return int(value) if value.is_integer() else value


def whole_seconds(text: str) -> int:
    """Parse a time as `seconds` does, for options that take no fractions of a second.

    Raises:
        ArgumentTypeError: the text is no time, or not a whole number of seconds.
    """
    value = seconds(text)
    if not isinstance(value, int):
        raise ArgumentTypeError(f"expected whole seconds, or a time such as 30s, got {text!r}")
    return value


def size(text: str) -> int:
    """Parse a number of bytes, or a number with a unit: K, M or G, in powers of 1024.

    Raises:
        ArgumentTypeError: the text is no such size.
    """
    found = re.fullmatch(r"(-?\d+)([kmg])?", text.lower(), re.ASCII)
    if found is None:
        raise ArgumentTypeError(f"expected bytes, or a size such as 64K, 512M or 1G, got {text!r}")
    return int(found[1]) * BYTES_IN.get(found[2], 1)


def worker_number(text: str) -> int | str:
    """Parse a number of worker processes, or auto.

    Raises:
        ArgumentTypeError: the text is neither.
    """
    if text.lower() == AUTO:
        return AUTO
    if not re.fullmatch(r"\d+", text, re.ASCII):
        raise ArgumentTypeError(f"expected a number of processes or auto, got {text!r}")
    return int(text)


FORWARDED = "forwarded"
"""The value of --proxy-headers for the header Forwarded (RFC 7239)."""


def off_or_headers(text: str) -> bool | str:
    """Parse the headers of proxies to read: on for X-Forwarded-..., forwarded, or off.

    Raises:
        ArgumentTypeError: the text is none of these.
    """
    if text.lower() == FORWARDED:
        return FORWARDED
    try:
        return on_or_off(text)
    except ArgumentTypeError:
        raise ArgumentTypeError(f"expected on, off or {FORWARDED}, got {text!r}")


WHOLE = (int, size, whole_seconds)
"""The kinds of options whose values are whole numbers."""
PLACEHOLDERS: dict[Any, str] = {int: "N", size: "SIZE", seconds: "TIME", whole_seconds: "TIME"}
"""Kind of an option -> placeholder of its value in `--help` and in the documentation."""


def file_mode(text: str) -> int:
    """Parse file permissions in chmod's octal notation.

    Raises:
        ArgumentTypeError: the text is not three octal digits, with or without a leading 0.
    """
    if not re.fullmatch("0?[0-7]{3}", text):
        raise ArgumentTypeError(f"expected three octal digits, for example 660, got {text!r}")
    return int(text, 8)


def option(
    default: Any,
    help_: str,
    *flags: str,
    group: str,
    kind: Callable[[str], Any] | None = None,
    **more: Any,
) -> Any:
    """Return a field of Options.

    Args:
        default: default value, written here only.
        help_: a sentence for `--help` and the documentation, with the unit.
        flags: flags of the command line; empty for an option that only Python can set.
        group: heading in `--help`.
        kind: converts the text to a value; None for a switch or text.
        more: `choices`, `metavar`, `least` (minimum; without it a time must exceed 0), `forever`
            (see without_limits), `const`, `words` (a switch that may have one of these words as its
            value), `repeated`, `secret` (messages do not repeat the value),
            `environment` (another variable, besides the one that every option has).
    """
    metadata = {"help": help_, "flags": flags, "group": group, "kind": kind, **more}
    return dataclasses.field(default=default, metadata=metadata)


APPLICATION = "the application"
LISTEN = "where to listen"
TLS = "TLS"
WORKERS = "worker processes"
PROCESS = "the process"
DEVELOPMENT = "development"
LOG = "logging"
HTTP = "HTTP"
LIMITS = (
    "limits (exceeding one returns the status in parentheses; a size is bytes, or 64K, 512M, 1G)"
)
TIMES = "times (seconds, or 500ms, 30s, 5m, 1h, 1d)"
PROXY = "behind a proxy"
WEBSOCKET = "WebSocket"


@dataclass(frozen=True)
class Options:
    """All options of a server; None means "no limit" or "not given" throughout."""

    app_dir: str = option(
        ".", "directory to import the application from", "--app-dir", group=APPLICATION,
        metavar="DIR",
    )  # fmt: skip
    factory: bool = option(
        False,
        "call the named object, without arguments, to create the application",
        "--factory",
        group=APPLICATION,
    )
    interface: str = option(
        "auto",
        "the application's interface; auto detects it",
        "--interface",
        group=APPLICATION,
        choices=INTERFACES,
    )
    wsgi_threads: int = option(
        WSGI_THREADS, "threads for a WSGI application: requests that run at the same time",
        "--wsgi-threads", group=APPLICATION, kind=int, least=1,
    )  # fmt: skip
    host: str | None = option(
        None,
        f"address to listen on ({DEFAULT_HOST} by default)",
        "-b",
        "--bind",
        group=LISTEN,
        metavar="HOST",
    )
    port: int | None = option(
        None,
        f"TCP port to listen on ({DEFAULT_PORT} by default); 0 picks a free port and prints it",
        "-p",
        "--port",
        group=LISTEN,
        kind=int,
        least=0,
        most=65535,
    )
    unix_socket: str | None = option(
        None,
        "UNIX socket to listen on; @name for an abstract socket, which has no file (Linux)",
        "-u",
        "--unix-socket",
        group=LISTEN,
        metavar="PATH",
    )
    unix_mode: int | None = option(
        None,
        "permissions of the socket's file, for example 660, for -u and for unix: strings without "
        "a mode; every user may connect (666) by default",
        "--unix-mode", group=LISTEN, kind=file_mode, metavar="MODE",
    )  # fmt: skip
    unix_owner: str | None = option(
        None, "owner of the socket's file, by name or number, for -u and unix: strings",
        "--unix-owner", group=LISTEN, metavar="USER",
    )  # fmt: skip
    unix_group: str | None = option(
        None, "group of the socket's file, by name or number, for -u and unix: strings",
        "--unix-group", group=LISTEN, metavar="GROUP",
    )  # fmt: skip
    file_descriptor: int | None = option(
        None,
        "descriptor of a listening socket",
        "--fd",
        group=LISTEN,
        kind=int,
        least=0,
    )
    endpoints: tuple[str, ...] = option(
        (),
        "Twisted endpoint string, for example https:tcp:443:certificate=crt.pem:key=key.pem, "
        "systemd:domain=INET:index=0 or haproxy:tcp:8000; may be given several times",
        "-e",
        "--endpoint",
        group=LISTEN,
        metavar="STRING",
        repeated=True,
    )
    https_redirect: tuple[str, ...] = option(
        (),
        "endpoint string of a port that redirects every request to https (308), for example "
        "tcp:80; may be given several times",
        "--https-redirect",
        group=LISTEN,
        metavar="STRING",
        repeated=True,
    )
    backlog: int = option(
        2048,
        "connections that may wait in the system's listen queue, for every endpoint without its "
        "own backlog=",
        "--backlog",
        group=LISTEN,
        kind=int,
        least=1,
    )
    tls_certificate: tuple[str, ...] = option(
        (), "PEM file of a certificate followed by its chain, or directory of such files with "
        "their keys; -b, -p, -u and --fd then listen for TLS; may be given several times, one for "
        "each set of host names, and the first serves all other names",
        "--tls-certificate", group=TLS, metavar="PATH", repeated=True,
    )  # fmt: skip
    tls_key: tuple[str, ...] = option(
        (), "PEM file of the certificate's private key, by default the certificate's file; "
        "several keys belong to the certificates in the same order",
        "--tls-key", group=TLS, metavar="PATH", repeated=True,
    )  # fmt: skip
    tls_key_password: str | None = option(
        None, "password of an encrypted key: env:NAME, file:PATH (its first line) or pass:TEXT "
        "(which every user of the machine can see)",
        "--tls-key-password", group=TLS, metavar="SOURCE",
        secret=True,
    )  # fmt: skip
    tls_minimum_version: str = option(
        "1.2", "oldest accepted version of TLS", "--tls-minimum-version", group=TLS,
        choices=("1.2", "1.3"),
    )  # fmt: skip
    tls_ciphers: str | None = option(
        None, "OpenSSL cipher list for TLS 1.2; ECDHE with AES-GCM or ChaCha20 by default",
        "--tls-ciphers", group=TLS, metavar="LIST",
    )  # fmt: skip
    tls_client_ca: str | None = option(
        None, "PEM file of the authorities that sign client certificates; clients are then asked "
        "for a certificate",
        "--tls-client-ca", group=TLS, metavar="FILE",
    )  # fmt: skip
    tls_client_verify: str | None = option(
        None, "whether clients must send a certificate; required by default with --tls-client-ca",
        "--tls-client-verify", group=TLS, choices=("optional", "required"),
    )  # fmt: skip
    tls_handshake_timeout: int = option(
        10, "seconds for a complete TLS handshake before the connection is dropped",
        "--tls-handshake-timeout", group=TLS, kind=whole_seconds, least=1,
    )  # fmt: skip
    workers: int | str | None = option(
        None, "worker processes that serve the application, with a supervisor that restarts them; "
        "auto starts one per available CPU; without the option one process serves",
        "--workers", group=WORKERS, kind=worker_number, metavar="N|auto",
        environment=WEB_CONCURRENCY,
    )  # fmt: skip
    worker_timeout: float | None = option(
        30, "seconds that a worker's event loop may be blocked before the worker is replaced, with "
        "its stack in the log; 0 disables", "--worker-timeout", group=WORKERS,
        kind=seconds, forever=True,
    )  # fmt: skip
    worker_start_timeout: float = option(
        120, "seconds for a worker to become ready", "--worker-start-timeout", group=WORKERS,
        kind=seconds,
    )  # fmt: skip
    restart_surge: int | None = option(
        None, "workers that a restart (SIGHUP) replaces at the same time; by default all, or one "
        "after the other if there is not enough memory for all", "--restart-surge", group=WORKERS,
        kind=int, least=1,
    )  # fmt: skip
    max_requests: int | None = option(
        None, "requests after which a worker is replaced; its successor is ready before it stops",
        "--max-requests", group=WORKERS, kind=int, least=1, forever=True,
    )  # fmt: skip
    max_requests_jitter: int = option(
        0, "requests: largest random number that is added to --max-requests for each worker",
        "--max-requests-jitter", group=WORKERS, kind=int, least=0,
    )  # fmt: skip
    max_rss: int | None = option(
        None, "bytes of resident memory after which a worker is replaced (Linux)", "--max-rss",
        group=WORKERS, kind=size, least=1, forever=True,
    )  # fmt: skip
    max_lifetime: float | None = option(
        None, "seconds after which a worker is replaced", "--max-lifetime", group=WORKERS,
        kind=seconds, forever=True,
    )  # fmt: skip
    reuse_port: bool = option(
        False, "let each worker listen on a TCP socket of its own (SO_REUSEPORT, Linux); waiting "
        "connections are lost when a worker ends", "--reuse-port", group=WORKERS,
    )  # fmt: skip
    pid_file: str | None = option(
        None, "file that holds the process id while the server runs; it is locked, so a second "
        "server with the same file does not start (exit status 1)", "--pid-file", group=PROCESS,
        metavar="FILE",
    )  # fmt: skip
    reload: bool = option(
        False, "serve again with the new code after each change of a source file (needs the extra "
        "reload: pip install 'daphne-like[reload]')", "--reload", group=DEVELOPMENT,
    )  # fmt: skip
    reload_dir: tuple[str, ...] = option(
        (), "directory to watch instead of --app-dir; may be given several times", "--reload-dir",
        group=DEVELOPMENT, metavar="DIR", repeated=True,
    )  # fmt: skip
    reload_include: tuple[str, ...] = option(
        (), "files to watch beside Python files: a name or path below the watched directory, of a "
        "file or a directory, with * and ?, for example *.html; may be given several times",
        "--reload-include", group=DEVELOPMENT, metavar="PATTERN", repeated=True,
    )  # fmt: skip
    reload_exclude: tuple[str, ...] = option(
        (), "files not to watch, as for --reload-include, for example tests; may be given several "
        "times", "--reload-exclude", group=DEVELOPMENT, metavar="PATTERN", repeated=True,
    )  # fmt: skip
    verbosity: int = option(
        1,
        "0 logs warnings, 1 start, stop and requests, 2 what happens on connections, 3 also their "
        "bytes and what libraries log, and enables asyncio's debug mode",
        "-v",
        "--verbosity",
        group=LOG,
        kind=int,
        choices=(0, 1, 2, 3),
    )
    metrics: tuple[str, ...] = option(
        (), "endpoint string of a port that serves metrics to Prometheus at /metrics, for example "
        "tcp:9464:interface=127.0.0.1; may be given several times", "--metrics", group=LOG,
        metavar="STRING", repeated=True,
    )  # fmt: skip
    status: str | None = option(
        None, "endpoint string of a port that serves the status page, its data and probes, for "
        "example unix:/run/mysite/status.sock or tcp:9100:interface=127.0.0.1", "--status",
        group=PROCESS, metavar="STRING",
    )  # fmt: skip
    status_token: str | None = option(
        None, "token that requests to --status need: env:NAME or file:PATH; required where other "
        "machines can reach it", "--status-token", group=PROCESS, metavar="SOURCE", secret=True,
    )  # fmt: skip
    ready_workers: int | None = option(
        None, "workers that must be ready for /readyz of --status to answer 200; 1 by default",
        "--ready-workers", group=WORKERS, kind=int, least=1,
    )  # fmt: skip
    readiness_path: str | None = option(
        None, "path that the server answers itself, before the application: 200, or 503 from the "
        "first moment of a stop; for load balancers that can only ask on the application's port",
        "--readiness-path", group=PROCESS, metavar="PATH",
    )  # fmt: skip
    access_log: str | None = option(
        None,
        "file to append one line per request to, or - for standard output (the default with -v 1 "
        "or more)",
        "--access-log",
        group=LOG,
        metavar="FILE",
    )
    access_log_format: str | None = option(
        None,
        "format of the access log's lines: daphne, combined, json, or text with gunicorn's atoms, "
        "such as %(h)s, %(r)s or %({referer}i)s; daphne by default, json with --log-format json "
        "or ecs",
        "--access-log-format",
        group=LOG,
        metavar="FORMAT",
    )
    access_log_exclude: tuple[str, ...] = option(
        (), "path whose requests have no line in the access log, for example /health; may be "
        "given several times", "--access-log-exclude", group=LOG, metavar="PATH", repeated=True,
    )  # fmt: skip
    log_config: str | None = option(
        None, "file that configures Python's logging, for logging.config.dictConfig: TOML, or JSON "
        "if its name ends in .json", "--log-config", group=LOG, metavar="FILE",
    )  # fmt: skip
    log_format: str = option(
        "text", "format of all log lines: text as --log-fmt says, json with the names of "
        "OpenTelemetry, or ecs with those of the Elastic Common Schema", "--log-format",
        group=LOG, choices=LOG_FORMATS,
    )  # fmt: skip
    request_id: str = option(
        "auto", "give each request an id, that of a trusted proxy (X-Request-ID) or a new one: on "
        "puts it into scope[\"state\"] and the log, response also into the response, off gives "
        "no ids; auto means on if the format of a log shows the id, otherwise off", "--request-id",
        group=LOG, choices=("auto", "on", "response", "off"),
    )  # fmt: skip
    log_fmt: str = option(
        LOG_LINE,
        "format of log lines, in the syntax of Python's logging",
        "--log-fmt",
        group=LOG,
        metavar="FORMAT",
    )
    server_name: str | None = option(
        "daphne-like",
        "value of the Server header, unless the application sets its own",
        "-s",
        "--server-name",
        group=HTTP,
        metavar="NAME",
        off="--no-server-name",
    )
    root_path: str = option(
        "", "path under which the application is mounted (root_path in the scope)", "--root-path",
        group=HTTP, metavar="PATH",
    )  # fmt: skip
    http: str = option(
        "auto",
        "HTTP versions: auto serves 1.1 or 2 as the client asks (ALPN, or HTTP/2 by prior "
        "knowledge), 1 and 2 serve only that version",
        "--http",
        group=HTTP,
        choices=("auto", "1", "2"),
    )
    h2_max_streams: int = option(
        128, "requests at the same time on one HTTP/2 connection", "--h2-max-streams",
        group=LIMITS, kind=int, least=1, most=2147483647,
    )  # fmt: skip
    lifespan: str = option(
        "auto",
        "lifespan events: with auto the server continues without them if the application raises, "
        "with on that is an error, with off no events are sent",
        "--lifespan",
        group=HTTP,
        choices=MODES,
    )
    keep_underscores: bool = option(
        False,
        "keep request headers with an underscore in their name, which WSGI, CGI and Django cannot "
        "distinguish from those with a dash",
        "--keep-underscores",
        group=HTTP,
    )
    max_request_line: int = option(
        16384, "bytes of a request target (414)", "--max-request-line", group=LIMITS,
        kind=size, least=MIN_REQUEST_LINE,
    )  # fmt: skip
    max_field_section: int = option(
        65536, "bytes of all request headers together (431)", "--max-field-section",
        group=LIMITS, kind=size, least=256,
    )  # fmt: skip
    max_fields: int = option(
        100, "request headers (431)", "--max-fields", group=LIMITS, kind=int, least=1
    )
    max_body_size: int | None = option(
        None, "bytes of a request body (413), without limit by default", "--max-body-size",
        group=LIMITS, kind=size, least=1, forever=True,
    )  # fmt: skip
    max_requests_per_connection: int | None = option(
        None, "requests on one connection, without limit by default",
        "--max-requests-per-connection", group=LIMITS, kind=int, least=1, forever=True,
    )  # fmt: skip
    max_connections: int | None = option(
        None, "connections at the same time (503), without limit by default", "--max-connections",
        group=LIMITS, kind=int, least=1, forever=True,
    )  # fmt: skip
    max_connections_per_ip: int | None = option(
        None, "connections at the same time from one address, or one /64 network of IPv6 (503); "
        "for a client of a trusted proxy: requests; without limit by default",
        "--max-connections-per-ip", group=LIMITS, kind=int, least=1, forever=True,
    )  # fmt: skip
    max_concurrent_requests: int | None = option(
        None, "requests that the application handles at the same time in one process; further ones "
        "wait (503); WebSockets do not count; without limit by default",
        "--max-concurrent-requests", group=LIMITS, kind=int, least=1, forever=True,
    )  # fmt: skip
    max_queued_requests: int = option(
        100, "requests that may wait because of --max-concurrent-requests (503 for others)",
        "--max-queued-requests", group=LIMITS, kind=int, least=0,
    )  # fmt: skip
    request_queue_timeout: float = option(
        10, "seconds that a request may wait because of --max-concurrent-requests (503)",
        "--request-queue-timeout", group=TIMES, kind=seconds,
    )  # fmt: skip
    http_timeout: float | None = option(
        None, "seconds for the application to finish its response (503), without limit by default",
        "-t", "--http-timeout", group=TIMES, kind=seconds, forever=True,
    )  # fmt: skip
    application_close_timeout: float = option(
        10, "seconds for an application to end after its client has gone before it is cancelled",
        "--application-close-timeout", group=TIMES, kind=seconds, least=0,
    )  # fmt: skip
    graceful_timeout: float = option(
        10, "seconds for open requests to finish when the server stops",
        "--graceful-timeout", group=TIMES, kind=seconds, least=0,
    )  # fmt: skip
    drain_idle: float = option(
        5, "seconds after SIGTERM in which requests on idle and new connections are still "
        "answered, at most --graceful-timeout", "--drain-idle", group=TIMES, kind=seconds, least=0,
    )  # fmt: skip
    drain_spread: float | None = option(
        None, "seconds over which a stop by SIGTERM tells WebSockets and event streams to end, one "
        "after the other; by default one second for 1000 of them, at most half of "
        "--graceful-timeout", "--drain-spread", group=TIMES, kind=seconds, least=0,
    )  # fmt: skip
    shutdown_delay: float = option(
        0, "seconds after SIGTERM in which the server still accepts connections before it stops",
        "--shutdown-delay", group=TIMES, kind=seconds, least=0,
    )  # fmt: skip
    lifespan_timeout: float = option(
        60, "seconds for the application's startup, and for its shutdown", "--lifespan-timeout",
        group=TIMES, kind=seconds,
    )  # fmt: skip
    keep_alive_timeout: float = option(
        60, "seconds for the next request on an idle connection", "--keep-alive-timeout",
        group=TIMES, kind=seconds,
    )  # fmt: skip
    header_timeout: float = option(
        10, "seconds for a complete request head (408)", "--header-timeout",
        group=TIMES, kind=seconds,
    )  # fmt: skip
    body_timeout: float = option(
        30, "seconds in which a request body must arrive at the minimum rate (408)",
        "--body-timeout", group=TIMES, kind=seconds,
    )  # fmt: skip
    body_minimum_rate: int = option(
        240, "bytes per second: minimum rate at which a request body must arrive and an HTTP/2 "
        "client must read a response", "--body-minimum-rate",
        group=TIMES, kind=size, least=0,
    )  # fmt: skip
    write_timeout: float = option(
        60, "seconds a client may leave the response unread before the connection is dropped",
        "--write-timeout", group=TIMES, kind=seconds,
    )  # fmt: skip
    tcp_keepalive: int | None = option(
        60, "seconds after which a client whose system no longer acknowledges packets is taken to "
        "be gone, as after a loss of network or power; 0 leaves that to the kernel (hours)",
        "--tcp-keepalive", group=TIMES, kind=whole_seconds, least=4, most=32767, forever=True,
    )  # fmt: skip
    stall_warning: int | None = option(
        5, "warn when the event loop is blocked for this many seconds, and show where; 0 disables",
        "--stall-warning", group=TIMES, kind=whole_seconds, least=1, forever=True,
    )  # fmt: skip
    slow_request: float | None = option(
        None, "log a request that still runs after this many seconds, once, and show where it "
        "waits", "--slow-request", group=TIMES, kind=seconds, forever=True,
    )  # fmt: skip
    h2_ping_interval: float | None = option(
        30, "seconds without data from an HTTP/2 client with open requests before it is pinged; "
        "it must answer within --ping-timeout", "--h2-ping-interval",
        group=TIMES, kind=seconds, forever=True,
    )  # fmt: skip
    proxy_headers: bool | str = option(
        False, "take client address, port and scheme from the headers X-Forwarded-For, -Port and "
        "-Proto of trusted proxies; with forwarded, from the header Forwarded alone (RFC 7239), "
        "and Host too", "--proxy-headers", group=PROXY, kind=off_or_headers,
        words=("on", "off", FORWARDED), metavar=FORWARDED,
    )  # fmt: skip
    proxy_headers_host: str | None = option(
        None, "header to take the client's address from instead of X-Forwarded-For",
        "--proxy-headers-host", group=PROXY, metavar="HEADER",
    )  # fmt: skip
    proxy_headers_port: str | None = option(
        None, "header to take the client's port from instead of X-Forwarded-Port",
        "--proxy-headers-port", group=PROXY, metavar="HEADER",
    )  # fmt: skip
    proxy_headers_proto: str | None = option(
        None, "header to take the scheme from instead of X-Forwarded-Proto",
        "--proxy-headers-proto", group=PROXY, metavar="HEADER",
    )  # fmt: skip
    proxy_headers_authority: str | None = option(
        None, "header that replaces Host, for example X-Forwarded-Host, if the proxy sets it in "
        "every request; none by default", "--proxy-headers-authority", group=PROXY,
        metavar="HEADER",
    )  # fmt: skip
    proxy_headers_prefix: str | None = option(
        None, "header that replaces --root-path, for example X-Forwarded-Prefix, if the proxy sets "
        "it in every request; none by default", "--proxy-headers-prefix", group=PROXY,
        metavar="HEADER",
    )  # fmt: skip
    root_path_stripped: bool = option(
        False, "the proxy removes the root path from the path of each request; path in the scope "
        "has it again", "--root-path-stripped", group=PROXY,
    )  # fmt: skip
    trusted_proxies: str = option(
        "127.0.0.1,::1,unix",
        "addresses and networks of the proxies whose forwarded headers, and whose PROXY headers "
        "on haproxy: endpoints, are trusted, separated by commas; unix for peers on a UNIX socket, "
        "* for every peer",
        "--trusted-proxies",
        group=PROXY,
        metavar="LIST",
    )
    websocket_timeout: float | None = option(
        86400, "seconds that a WebSocket may stay open", "--websocket-timeout",
        group=WEBSOCKET, kind=seconds, forever=True,
    )  # fmt: skip
    websocket_connect_timeout: float | None = option(
        5, "seconds for the application to accept a WebSocket", "--websocket-connect-timeout",
        group=WEBSOCKET, kind=seconds, forever=True,
    )  # fmt: skip
    ping_interval: float | None = option(
        20, "seconds between two pings", "--ping-interval",
        group=WEBSOCKET, kind=seconds, forever=True,
    )  # fmt: skip
    ping_timeout: float | None = option(
        30, "seconds for the answer to a ping, 0 for no limit", "--ping-timeout",
        group=WEBSOCKET, kind=seconds, forever=True,
    )  # fmt: skip
    websocket_max_message_size: int | None = option(
        1048576, "bytes of a message (1009), 0 for no limit", "--websocket-max-message-size",
        group=WEBSOCKET, kind=size, least=1, forever=True,
    )  # fmt: skip
    websocket_max_frame_size: int | None = option(
        1048576, "bytes of a frame (1009), 0 for no limit", "--websocket-max-frame-size",
        group=WEBSOCKET, kind=size, least=1, forever=True,
    )  # fmt: skip
    websocket_handshake_timeout: float | None = option(
        None, "seconds for the opening handshake; the smaller of this and "
        "websocket_connect_timeout applies", group=WEBSOCKET, kind=seconds, forever=True,
    )  # fmt: skip
    websocket_origins: tuple[str, ...] = option(
        (), "accepted value of the Origin header (403 for others), for example "
        "https://example.org; may be given several times; by default every origin is accepted; "
        "a request without Origin does not come from a browser and is accepted",
        "--websocket-origin", group=WEBSOCKET, metavar="ORIGIN", repeated=True,
    )  # fmt: skip
    websocket_stop_code: int = option(
        1012, "close code when the server stops: 1012 announces a restart, 1001 that the server "
        "goes away", "--websocket-stop-code", group=WEBSOCKET, kind=int, choices=(1012, 1001),
    )  # fmt: skip
    websocket_deflate: bool = option(
        True, "compress messages if the client offers it (permessage-deflate)",
        "--ws-per-message-deflate", group=WEBSOCKET, kind=on_or_off, metavar="on|off",
    )  # fmt: skip
    websocket_deflate_window: int = option(
        11, "bits of the compression window, 9 to 15: uses 4 * 2**bits bytes for each connection "
        "that has sent a message, until it is idle, and 2**bits for each that has received one",
        "--ws-deflate-window", group=WEBSOCKET, kind=int, least=9, most=15, metavar="BITS",
    )  # fmt: skip
    websocket_deflate_memory: int = option(
        4, "zlib's memory level, 1 to 9: uses 512 * 2**level bytes for each connection that has "
        "sent a message, until it is idle",
        "--ws-deflate-memory", group=WEBSOCKET, kind=int, least=1, most=9, metavar="LEVEL",
    )  # fmt: skip
    request_buffer_size: int | None = option(
        None, "bytes of body in one http.request event; by default as many as arrive", group=HTTP
    )
    proxy_forwarded_address_header: str | None = option(
        None, "header with the client's address", group=PROXY
    )
    proxy_forwarded_port_header: str | None = option(
        None, "header with the client's port", group=PROXY
    )
    proxy_forwarded_proto_header: str | None = option(
        None, "header with the client's scheme", group=PROXY
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check(field, getattr(self, field.name))
        if self.server_name and not re.fullmatch(r"[\x20-\x7e]+", self.server_name):
            raise ConfigurationError(
                f"--server-name: expected printable ASCII, got {self.server_name!r}"
            )
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.metadata.get("repeated") and isinstance(value, str):
                object.__setattr__(self, field.name, (value,))  # a str is one value
        self._check_host()
        self._check_workers()
        self._check_tls()
        self._check_root_path()
        for origin in self.websocket_origins:
            check_origin(origin)
        for path in self.access_log_exclude:
            if not path.startswith("/"):
                raise ConfigurationError(
                    f"--access-log-exclude: expected a path that begins with /, got {path!r}"
                )
        self._check_proxy_headers()

    def _check_host(self) -> None:
        host = self.host or ""
        if host.startswith("unix:"):
            meant = f"-u {host.removeprefix('unix:')}"
        elif found := re.fullmatch(r"([^:]*|\[.*\]):(\d+)", host):
            meant = f"-b {found[1]} -p {found[2]}" if found[1] else f"-p {found[2]}"
        else:
            return
        raise ConfigurationError(
            f"--bind: expected an address without a port, got {host!r}; did you mean {meant}?"
        )

    def _check_workers(self) -> None:
        if self.workers is not None and self.workers != AUTO and not (
            isinstance(self.workers, int) and 1 <= self.workers <= MAX_WORKERS
        ):  # fmt: skip
            raise ConfigurationError(
                f"--workers: expected 1 to {MAX_WORKERS} or auto, got {self.workers!r}"
            )

    def _check_root_path(self) -> None:
        """Refuse a root path that does not begin with a slash; remove slashes at its end."""
        path = self.root_path
        if path and not path.startswith("/"):
            raise ConfigurationError(
                f"--root-path: expected a path that begins with /, for example /{path.strip('/')}, "
                f"got {path!r}"
            )
        object.__setattr__(self, "root_path", path.rstrip("/"))

    def _check_proxy_headers(self) -> None:
        if self.proxy_headers not in (True, False, FORWARDED):
            raise ConfigurationError(
                f"--proxy-headers: expected on, off or {FORWARDED}, got {self.proxy_headers!r}"
            )
        parts = ("host", "port", "proto", "authority")
        flags = [f"--proxy-headers-{part}" for part in parts if self._header(part)]
        if self.proxy_headers == FORWARDED:
            named = (
                self.proxy_forwarded_address_header
                or self.proxy_forwarded_port_header
                or self.proxy_forwarded_proto_header
            )
            if flags or named:
                raise ConfigurationError(
                    f"{(*flags, 'proxy_forwarded_..._header')[0]} has no effect with "
                    f"--proxy-headers {FORWARDED}"
                )
        if self.proxy_headers_prefix:
            flags.append("--proxy-headers-prefix")
        if flags and not self.proxy_headers:
            raise ConfigurationError(f"{flags[0]} needs --proxy-headers")
        if self.root_path_stripped and not (self.root_path or self.proxy_headers):
            raise ConfigurationError("--root-path-stripped needs --root-path or --proxy-headers")

    def _header(self, part: str) -> str | None:
        """Return the value of one of the options --proxy-headers-..."""
        value: str | None = getattr(self, f"proxy_headers_{part}")
        return value

    def _check_tls(self) -> None:
        if not self.tls_certificate:
            for name in ("key", "key_password", "ciphers", "client_ca", "client_verify"):
                if getattr(self, f"tls_{name}"):
                    flag = f"--tls-{name.replace('_', '-')}"
                    raise ConfigurationError(f"{flag} needs --tls-certificate")
        if len(self.tls_key) > len(self.tls_certificate):
            raise ConfigurationError("--tls-key: there are more keys than certificates")
        if self.tls_client_verify and not self.tls_client_ca:
            raise ConfigurationError("--tls-client-verify needs --tls-client-ca")

    @property
    def forwarded_fields(self) -> tuple[str | None, str | None, str | None]:
        """Names of the headers with the client's address, port and scheme; None for unused ones."""
        address = self.proxy_forwarded_address_header
        port = self.proxy_forwarded_port_header
        proto = self.proxy_forwarded_proto_header
        if self.proxy_headers and self.proxy_headers != FORWARDED:
            address = address or self.proxy_headers_host or "X-Forwarded-For"
            port = port or self.proxy_headers_port or "X-Forwarded-Port"
            proto = proto or self.proxy_headers_proto or "X-Forwarded-Proto"
        return address, port, proto

    @property
    def reads_forwarded_fields(self) -> bool:
        """True if headers of trusted proxies count."""
        return bool(self.proxy_headers) or any(self.forwarded_fields)

    @property
    def max_head(self) -> int:
        """Maximum octets of a whole request head."""
        return self.max_request_line + self.max_field_section


ONLY_WITH_WORKERS = (
    "max_requests", "max_rss", "max_lifetime", "reuse_port", "restart_surge", "ready_workers",
)  # fmt: skip
ONLY_WITH_RELOAD = ("reload_dir", "reload_include", "reload_exclude")


def check_workers(options: Options) -> None:
    """Refuse options that would have no effect without others, or beside others.

    Raises:
        ConfigurationError: an option of workers is given, but no number of workers; or one of
            reloading without --reload; or --reload with several workers.
    """
    for name in ONLY_WITH_RELOAD:
        if getattr(options, name) and not options.reload:
            raise ConfigurationError(f"{_flag(name)} needs --reload")
    if options.reload:
        _check_reload(options)
    for name in ONLY_WITH_WORKERS:
        if getattr(options, name) and options.workers is None:
            raise ConfigurationError(f"{_flag(name)} needs --workers; 1 is enough")
    for name in ("status_token", "ready_workers"):
        if getattr(options, name) and not options.status:
            raise ConfigurationError(f"{_flag(name)} needs --status")
    if options.reuse_port and not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigurationError("--reuse-port: this system has no SO_REUSEPORT")
    if options.max_requests_jitter and options.max_requests is None:
        raise ConfigurationError("--max-requests-jitter needs --max-requests")
    for name in ("max_queued_requests", "request_queue_timeout"):
        is_given = getattr(options, name) != getattr(Options, name)
        if is_given and options.max_concurrent_requests is None:
            raise ConfigurationError(f"{_flag(name)} needs --max-concurrent-requests")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _check_reload(options: Options) -> None:
    if options.workers not in (None, 1):
        raise ConfigurationError("--reload runs one worker, so --workers must be left out")
    for name in ONLY_WITH_WORKERS:
        if getattr(options, name):
            raise ConfigurationError(
                f"{_flag(name)} has no effect with --reload, so leave one of them out"
            )


DEFAULT_PORTS = {"http": "80", "https": "443"}


def check_origin(origin: str) -> None:
    """Refuse a value of --websocket-origin that no browser sends (RFC 6454, 6.2).

    Raises:
        ConfigurationError: the scheme is missing, or there is a path, an upper-case letter or a
            default port; the text suggests the correct value.
    """
    if origin == "null":
        return
    scheme, separator, rest = origin.partition("://")
    host = (rest if separator else origin).partition("/")[0].lower()
    scheme = scheme.lower() if separator else "https"
    default_port = DEFAULT_PORTS.get(scheme)
    if default_port is not None:
        host = host.removesuffix(f":{default_port}")
    if f"{scheme}://{host}" == origin and host and "*" not in host and origin.isascii():
        return
    if origin == "*":
        hint = "every origin is served without the option"
    elif not host or "*" in host or not origin.isascii():
        hint = "for example https://example.org"
    else:
        hint = f"did you mean {scheme}://{host}?"
    raise ConfigurationError(
        f"--websocket-origin: expected an origin as browsers send it, got {origin!r}; {hint}"
    )


def get_group(*groups: str) -> set[str]:
    """Return the names of all options of some groups."""
    return {
        field.name for field in dataclasses.fields(Options) if field.metadata["group"] in groups
    }


def without_limits(values: dict[str, Any]) -> dict[str, Any]:
    """Replace -1 and 0 (Daphne's values for "no limit") with None, as Options expects.

    Args:
        values: values by option name; other names are left unchanged.
    Returns:
        The values, with None instead of -1 and 0 for options that may have no limit.
    """
    forever = {field.name for field in dataclasses.fields(Options) if "forever" in field.metadata}
    return {
        name: None if name in forever and value in (FOREVER, 0) else value
        for name, value in values.items()
    }


def check(field: dataclasses.Field[Any], value: Any, where: str | None = None) -> None:
    """Refuse an invalid value of an option.

    Args:
        field: field of Options.
        value: the value; None is always valid.
        where: source of the value, for the message; the flag by default.
    Raises:
        ConfigurationError: the value is invalid; the text states the expected values.
    """
    metadata = field.metadata
    if value is None or not metadata["flags"]:
        return
    name = where or metadata["flags"][-1]
    choices = metadata.get("choices")
    if choices and value not in choices:
        expected = ", ".join(map(str, choices))
        raise ConfigurationError(f"{name}: expected one of {expected}, got {value!r}")
    if metadata["kind"] in WHOLE:
        least, most = metadata.get("least", 0), metadata.get("most")
        if not isinstance(value, int):
            raise ConfigurationError(f"{name}: expected a whole number, got {value!r}")
        if value < least or (most is not None and value > most):
            limit = f"{least} to {most}" if most is not None else f"{least} or more"
            raise ConfigurationError(f"{name}: expected {limit}, got {value}")
    elif metadata["kind"] is seconds:
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ConfigurationError(f"{name}: expected a number of seconds, got {value!r}")
        least = metadata.get("least")
        if value < 0 or (value == 0 and least is None):
            limit = "more than 0" if least is None else f"{least} or more"
            raise ConfigurationError(f"{name}: expected {limit}, got {value}")
