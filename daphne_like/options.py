"""Every option of the server once: default, unit, help text, check.

The command line, the twistd plug-in, Django and the documentation are derived from this class.
"""

from __future__ import annotations

import dataclasses
import math
import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from daphne_like.asgi.interface import INTERFACES, WSGI_THREADS
from daphne_like.asgi.lifespan import MODES
from daphne_like.exceptions import ConfigurationError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
FOREVER = -1
"""Daphne's way to write "no limit", beside 0; in Options it is None."""


def on_or_off(text: str) -> bool:
    """The value of a switch that is written out.

    Raises:
        ArgumentTypeError: neither on nor off, in any usual spelling.
    """
    value = {"on": True, "true": True, "yes": True, "1": True,
             "off": False, "false": False, "no": False, "0": False}.get(text.lower())  # fmt: skip
    if value is None:
        raise ArgumentTypeError(f"expected on or off, got {text!r}")
    return value


def seconds(text: str) -> float:
    """A time as written: a whole number stays one.

    Raises:
        ValueError: no number.
    """
    try:
        return int(text)
    except ValueError:
        return float(text)


def file_mode(text: str) -> int:
    """The permissions of a file, as chmod writes them.

    Raises:
        ArgumentTypeError: not three octal digits, with or without a 0 in front.
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
    """A field of Options.

    Args:
        default: the one place where it is written.
        help_: a sentence for `--help` and the documentation, with the unit.
        flags: as on the command line; none for what only the constructor takes.
        group: heading in `--help`.
        kind: makes the value of the text; None for a switch or text.
        more: `choices`, `metavar`, `least` (the least number that makes sense; without it a time
            is more than 0), `forever` (see without_limits), `const`, `repeated`.
    """
    metadata = {"help": help_, "flags": flags, "group": group, "kind": kind, **more}
    return dataclasses.field(default=default, metadata=metadata)


APPLICATION = "the application"
LISTEN = "where to listen"
TLS = "TLS"
LOG = "what to tell"
HTTP = "HTTP"
LIMITS = "limits (a peer over one gets the status in brackets)"
TIMES = "times, in seconds"
PROXY = "behind a proxy"
WEBSOCKET = "WebSocket"


@dataclass(frozen=True)
class Options:
    """What can be chosen about a server; None is "no limit" or "not given" throughout."""

    app_dir: str = option(
        ".", "directory to import the application from", "--app-dir", group=APPLICATION,
        metavar="DIR",
    )  # fmt: skip
    factory: bool = option(
        False,
        "what is named makes the application: call it, without arguments",
        "--factory",
        group=APPLICATION,
    )
    interface: str = option(
        "auto",
        "the application's interface; auto finds out",
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
        f"address to listen on ({DEFAULT_HOST} when nothing is given)",
        "-b",
        "--bind",
        group=LISTEN,
        metavar="HOST",
    )
    port: int | None = option(
        None,
        f"TCP port to listen on ({DEFAULT_PORT}); 0 picks a free one and prints it",
        "-p",
        "--port",
        group=LISTEN,
        kind=int,
        least=0,
        most=65535,
    )
    unix_socket: str | None = option(
        None,
        "UNIX socket to listen on; @name for an abstract one, which is no file (Linux)",
        "-u",
        "--unix-socket",
        group=LISTEN,
        metavar="PATH",
    )
    unix_mode: int | None = option(
        None,
        "permissions of the socket's file, for example 660, for -u and for unix: strings without "
        "a mode; everybody may connect (666) by default",
        "--unix-mode", group=LISTEN, kind=file_mode, metavar="MODE",
    )  # fmt: skip
    unix_owner: str | None = option(
        None, "user, by name or number, to give the socket's file to, for -u and unix: strings",
        "--unix-owner", group=LISTEN, metavar="USER",
    )  # fmt: skip
    unix_group: str | None = option(
        None, "group, by name or number, to give the socket's file to, for -u and unix: strings",
        "--unix-group", group=LISTEN, metavar="GROUP",
    )  # fmt: skip
    file_descriptor: int | None = option(
        None,
        "descriptor of a socket that listens already",
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
        "endpoint string on which every request is redirected to https (308), for example "
        "tcp:80; may be given several times",
        "--https-redirect",
        group=LISTEN,
        metavar="STRING",
        repeated=True,
    )
    backlog: int = option(
        2048,
        "connections that the system may keep waiting to be accepted, on every endpoint that does "
        "not say its own backlog=",
        "--backlog",
        group=LISTEN,
        kind=int,
        least=1,
    )
    tls_certificate: tuple[str, ...] = option(
        (), "PEM file of a certificate, with its chain behind it, or directory of such files with "
        "their keys: what -b, -p, -u and --fd listen on is TLS then; may be given several times, "
        "one for each set of host names, the first for all others",
        "--tls-certificate", group=TLS, metavar="PATH", repeated=True,
    )  # fmt: skip
    tls_key: tuple[str, ...] = option(
        (), "PEM file of the certificate's private key; the certificate's file when left out; "
        "several go with the certificates in their order",
        "--tls-key", group=TLS, metavar="PATH", repeated=True,
    )  # fmt: skip
    tls_key_password: str | None = option(
        None, "what opens an encrypted key: env:NAME, file:PATH (its first line) or pass:TEXT "
        "(which everybody on the machine can see)",
        "--tls-key-password", group=TLS, metavar="SOURCE",
    )  # fmt: skip
    tls_minimum_version: str = option(
        "1.2", "the oldest TLS that is spoken", "--tls-minimum-version", group=TLS,
        choices=("1.2", "1.3"),
    )  # fmt: skip
    tls_ciphers: str | None = option(
        None, "OpenSSL's cipher list for TLS 1.2; ECDHE with AES-GCM or ChaCha20 when left out",
        "--tls-ciphers", group=TLS, metavar="LIST",
    )  # fmt: skip
    tls_client_ca: str | None = option(
        None, "PEM file of those who sign clients' certificates; clients are asked for one then",
        "--tls-client-ca", group=TLS, metavar="FILE",
    )  # fmt: skip
    tls_client_verify: str | None = option(
        None, "whether a client may come without a certificate; required with --tls-client-ca "
        "when left out",
        "--tls-client-verify", group=TLS, choices=("optional", "required"),
    )  # fmt: skip
    tls_handshake_timeout: int = option(
        10, "seconds for a whole TLS handshake; then the connection is cut",
        "--tls-handshake-timeout", group=TLS, kind=int, least=1,
    )  # fmt: skip
    verbosity: int = option(
        1,
        "0 warnings, 1 start, stop and requests, 2 the wire, 3 asyncio's debug mode too",
        "-v",
        "--verbosity",
        group=LOG,
        kind=int,
        choices=(0, 1, 2, 3),
    )
    access_log: str | None = option(
        None,
        "file to append a line per request to, - for standard output "
        "(which it is anyway with -v 1 or more)",
        "--access-log",
        group=LOG,
        metavar="FILE",
    )
    log_fmt: str = option(
        "%(asctime)-15s %(levelname)-8s %(message)s",
        "format of the log, as Python's logging has it",
        "--log-fmt",
        group=LOG,
        metavar="FORMAT",
    )
    server_name: str | None = option(
        "daphne-like",
        "value of the Server field, unless the application sets its own",
        "-s",
        "--server-name",
        group=HTTP,
        metavar="NAME",
        off="--no-server-name",
    )
    root_path: str = option(
        "", "path below which the application is mounted (scope's root_path)", "--root-path",
        group=HTTP, metavar="PATH",
    )  # fmt: skip
    http: str = option(
        "auto",
        "versions of HTTP: auto serves 1.1 and 2 as the client asks (ALPN, or HTTP/2 by prior "
        "knowledge), 1 and 2 one of them alone",
        "--http",
        group=HTTP,
        choices=("auto", "1", "2"),
    )
    h2_max_streams: int = option(
        128, "requests at the same time on one connection of HTTP/2", "--h2-max-streams",
        group=LIMITS, kind=int, least=1, most=2147483647,
    )  # fmt: skip
    lifespan: str = option(
        "auto",
        "lifespan events: auto goes on without when the application raises, "
        "on makes that an error, off sends none",
        "--lifespan",
        group=HTTP,
        choices=MODES,
    )
    keep_underscores: bool = option(
        False,
        "keep request fields with an underscore in their name, which WSGI, CGI and Django cannot "
        "tell from the ones with a dash",
        "--keep-underscores",
        group=HTTP,
    )
    max_request_line: int = option(
        16384, "octets of a request target (414)", "--max-request-line", group=LIMITS,
        kind=int, least=128,
    )  # fmt: skip
    max_field_section: int = option(
        65536, "octets of all request fields together (431)", "--max-field-section",
        group=LIMITS, kind=int, least=256,
    )  # fmt: skip
    max_fields: int = option(
        100, "request fields (431)", "--max-fields", group=LIMITS, kind=int, least=1
    )
    max_body_size: int | None = option(
        None, "octets of a request body (413), without limit by default", "--max-body-size",
        group=LIMITS, kind=int, least=1, forever=True,
    )  # fmt: skip
    max_requests_per_connection: int | None = option(
        None, "requests on one connection, without limit by default",
        "--max-requests-per-connection", group=LIMITS, kind=int, least=1, forever=True,
    )  # fmt: skip
    max_connections: int | None = option(
        None, "connections at the same time (503), without limit by default", "--max-connections",
        group=LIMITS, kind=int, least=1, forever=True,
    )  # fmt: skip
    http_timeout: float | None = option(
        None, "for the application to finish its response (503), without limit by default",
        "-t", "--http-timeout", group=TIMES, kind=seconds, forever=True,
    )  # fmt: skip
    application_close_timeout: float = option(
        10, "for an application to end after its peer has gone; then it is cancelled",
        "--application-close-timeout", group=TIMES, kind=seconds, least=0,
    )  # fmt: skip
    graceful_timeout: float = option(
        10, "for requests in flight to be answered when the server stops",
        "--graceful-timeout", group=TIMES, kind=seconds, least=0,
    )  # fmt: skip
    lifespan_timeout: float = option(
        60, "for the application's startup, and for its shutdown", "--lifespan-timeout",
        group=TIMES, kind=seconds,
    )  # fmt: skip
    keep_alive_timeout: float = option(
        60, "for the next request on an idle connection", "--keep-alive-timeout",
        group=TIMES, kind=seconds,
    )  # fmt: skip
    header_timeout: float = option(
        10, "for a whole request head (408)", "--header-timeout", group=TIMES, kind=seconds
    )
    body_timeout: float = option(
        30, "in which a request body must make progress at the least rate (408)",
        "--body-timeout", group=TIMES, kind=seconds,
    )  # fmt: skip
    body_minimum_rate: int = option(
        240, "octets a second that a request body must come at, and that a client of HTTP/2 must "
        "take a response at", "--body-minimum-rate",
        group=TIMES, kind=int, least=0,
    )  # fmt: skip
    write_timeout: float = option(
        60, "for a peer to read what is waiting for it; then the connection is cut",
        "--write-timeout", group=TIMES, kind=seconds,
    )  # fmt: skip
    stall_warning: int | None = option(
        5, "without a turn of the event loop until a warning says what blocks it; 0 for never",
        "--stall-warning", group=TIMES, kind=int, least=1, forever=True,
    )  # fmt: skip
    h2_ping_interval: float | None = option(
        30, "without a word from a client of HTTP/2 whose requests are open until it is pinged; "
        "it has --ping-timeout to answer", "--h2-ping-interval",
        group=TIMES, kind=seconds, forever=True,
    )  # fmt: skip
    proxy_headers: bool = option(
        False,
        "take client address, port and scheme from X-Forwarded-For, -Port and -Proto of "
        "trusted proxies",
        "--proxy-headers",
        group=PROXY,
    )
    proxy_headers_host: str | None = option(
        None, "the field to take the address from instead of X-Forwarded-For",
        "--proxy-headers-host", group=PROXY, metavar="FIELD",
    )  # fmt: skip
    proxy_headers_port: str | None = option(
        None, "the field to take the port from instead of X-Forwarded-Port",
        "--proxy-headers-port", group=PROXY, metavar="FIELD",
    )  # fmt: skip
    trusted_proxies: str = option(
        "127.0.0.1,::1,unix",
        "addresses and networks of the proxies whose fields, and whose headers on haproxy: "
        "endpoints, count, separated by commas; unix for peers on a UNIX socket, * for everybody",
        "--trusted-proxies",
        group=PROXY,
        metavar="LIST",
    )
    websocket_timeout: float | None = option(
        86400, "seconds that a WebSocket may live", "--websocket-timeout",
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
        30, "seconds for the answer to a ping, 0 for ever", "--ping-timeout",
        group=WEBSOCKET, kind=seconds, forever=True,
    )  # fmt: skip
    websocket_max_message_size: int | None = option(
        1048576, "octets of a message (1009), 0 for no limit", "--websocket-max-message-size",
        group=WEBSOCKET, kind=int, least=1, forever=True,
    )  # fmt: skip
    websocket_max_frame_size: int | None = option(
        1048576, "octets of a frame (1009), 0 for no limit", "--websocket-max-frame-size",
        group=WEBSOCKET, kind=int, least=1, forever=True,
    )  # fmt: skip
    websocket_handshake_timeout: float | None = option(
        None, "seconds for the opening handshake; the smaller of this and "
        "websocket_connect_timeout counts", group=WEBSOCKET, kind=seconds, forever=True,
    )  # fmt: skip
    websocket_origins: tuple[str, ...] = option(
        (), "value of Origin that is served (403 for another one), for example "
        "https://example.org; may be given several times, every origin is served without; "
        "a request that has none comes from no browser and is served",
        "--websocket-origin", group=WEBSOCKET, metavar="ORIGIN", repeated=True,
    )  # fmt: skip
    websocket_stop_code: int = option(
        1012, "close code when the server stops: 1012 says that it will be back, 1001 that "
        "it goes away", "--websocket-stop-code", group=WEBSOCKET, kind=int, choices=(1012, 1001),
    )  # fmt: skip
    websocket_deflate: bool = option(
        True, "compress messages when the client offers to (permessage-deflate)",
        "--ws-per-message-deflate", group=WEBSOCKET, kind=on_or_off, metavar="on|off",
    )  # fmt: skip
    websocket_deflate_window: int = option(
        11, "bits of the compression window, 9 to 15: 4 * 2**bits octets for each connection "
        "that has sent, until it is idle, and 2**bits for each that has received",
        "--ws-deflate-window", group=WEBSOCKET, kind=int, least=9, most=15, metavar="BITS",
    )  # fmt: skip
    websocket_deflate_memory: int = option(
        4, "zlib's memory level, 1 to 9: 512 * 2**level octets for each connection that has "
        "sent, until it is idle",
        "--ws-deflate-memory", group=WEBSOCKET, kind=int, least=1, most=9, metavar="LEVEL",
    )  # fmt: skip
    request_buffer_size: int | None = option(
        None, "octets of body in one http.request event, as they arrive by default", group=HTTP
    )
    proxy_forwarded_address_header: str | None = option(
        None, "the field with the client's address", group=PROXY
    )
    proxy_forwarded_port_header: str | None = option(
        None, "the field with the client's port", group=PROXY
    )
    proxy_forwarded_proto_header: str | None = option(
        None, "the field with the client's scheme", group=PROXY
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
                object.__setattr__(self, field.name, (value,))  # one needs no tuple around it
        self._check_host()
        self._check_tls()
        self._check_root_path()
        for origin in self.websocket_origins:
            check_origin(origin)
        if (self.proxy_headers_host or self.proxy_headers_port) and not self.proxy_headers:
            raise ConfigurationError(
                "--proxy-headers-host and --proxy-headers-port need --proxy-headers"
            )

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

    def _check_root_path(self) -> None:
        """Refuse a root path that no application could make sense of; drop its last slash."""
        path = self.root_path
        if path and not path.startswith("/"):
            raise ConfigurationError(
                f"--root-path: expected a path that begins with /, for example /{path.strip('/')}, "
                f"got {path!r}"
            )
        object.__setattr__(self, "root_path", path.rstrip("/"))

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
        """Names of the fields with the client's address, port and scheme; None is not looked at."""
        address = self.proxy_forwarded_address_header
        port = self.proxy_forwarded_port_header
        proto = self.proxy_forwarded_proto_header
        if self.proxy_headers:
            address = address or self.proxy_headers_host or "X-Forwarded-For"
            port = port or self.proxy_headers_port or "X-Forwarded-Port"
            proto = proto or "X-Forwarded-Proto"
        return address, port, proto

    @property
    def max_head(self) -> int:
        """Octets of a whole request head."""
        return self.max_request_line + self.max_field_section


DEFAULT_PORTS = {"http": "80", "https": "443"}


def check_origin(origin: str) -> None:
    """Refuse a value of --websocket-origin that no browser sends (RFC 6454, 6.2).

    Raises:
        ConfigurationError: no scheme, a path, upper case or a default port; says what was meant.
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


def without_limits(values: dict[str, Any]) -> dict[str, Any]:
    """Values of options as Daphne's users write them, as Options takes them.

    Args:
        values: by the names of options; other names stay as they are.
    Returns:
        None in the place of -1 and 0, for options that may be without a limit.
    """
    forever = {field.name for field in dataclasses.fields(Options) if "forever" in field.metadata}
    return {
        name: None if name in forever and value in (FOREVER, 0) else value
        for name, value in values.items()
    }


def check(field: dataclasses.Field[Any], value: Any) -> None:
    """Refuse a value that makes no sense for its option.

    Raises:
        ConfigurationError: says what is expected.
    """
    metadata = field.metadata
    if value is None or not metadata["flags"]:
        return
    name = metadata["flags"][-1]
    choices = metadata.get("choices")
    if choices and value not in choices:
        expected = ", ".join(map(str, choices))
        raise ConfigurationError(f"{name}: expected one of {expected}, got {value!r}")
    if metadata["kind"] is int:
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
