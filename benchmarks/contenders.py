"""The contenders: their command lines, and the workloads that they are known not to support.

Each runs one process with one event loop and no access log; all other options have their defaults.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.http2.workloads import HTTP2_WORKLOADS
from benchmarks.http_workloads import HELLO_LOGGED, HELLO_METRICS
from benchmarks.tls.credentials import Credentials
from benchmarks.tls.workloads import TLS_WORKLOADS
from benchmarks.websocket.workloads import WEBSOCKET_WORKLOADS
from benchmarks.workloads import Workload

REPOSITORY = Path(__file__).resolve().parent.parent
APPLICATION = "benchmarks.applications:application"
OURS = "daphne_like"

# Longer than any workload, because connections closed as idle would distort `idle`.
KEEP_ALIVE_SECONDS = "75"


@dataclass(frozen=True)
class Contender:
    """A server's command; :meth:`command_line` fills in the placeholders."""

    name: str
    command: tuple[str, ...]
    distribution: str
    """Name of the distribution whose version is reported."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Workloads (by name) not to try, each with the reason."""
    only: tuple[str, ...] | None = None
    """Names of the workloads that it takes part in; None for all."""
    tls_command: tuple[str, ...] = ()
    """The command for TLS."""
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Commands for single workloads (by name), which need other options."""

    @property
    def is_ours(self) -> bool:
        """Tell whether this interpreter runs it, with the application from the repository."""
        return self.distribution == OURS

    def takes_part_in(self, workload: Workload) -> bool:
        """Tell whether there is anything to measure or to refuse."""
        return self.only is None or workload.name in self.only

    def command_line(
        self,
        peers: Path,
        port: int | str,
        credentials: Credentials | None = None,
        workload: str = "",
    ) -> list[str]:
        """Return the command with this interpreter, the peers' programs, the folder and the port.

        With "{port}" as the port, the placeholder stays. With credentials, it is the TLS command.
        A workload may have a command of its own.
        """
        values = {
            "ours": sys.executable,
            "bin": str(peers / "bin"),
            "here": str(REPOSITORY / "benchmarks"),
            "port": str(port),
        }
        if credentials is None:
            command = self.commands.get(workload, self.command)
            return [part.format_map(values) for part in command]
        values["certificate"] = str(credentials.certificate)
        values["key"] = str(credentials.key)
        return [part.format_map(values) for part in self.tls_command]


def _contender(
    name: str,
    command: str,
    distribution: str,
    refusals: Mapping[str, str] | None = None,
    only: tuple[str, ...] | None = None,
    tls: str = "",
    commands: Mapping[str, str] | None = None,
) -> Contender:
    # Split first, because a path that is filled in may contain blanks.
    return Contender(
        name,
        tuple(command.split()),
        distribution,
        refusals or {},
        only,
        tuple(tls.split()),
        {workload: tuple(other.split()) for workload, other in (commands or {}).items()},
    )


# Of uvicorn 0.54's three, websockets-sansio is the default, and was the fastest when tried:
# ws 18 µs (websockets 28, wsproto 29), ws-deflate 42 (51, 69), ws-handshake 272 (490, 314).
_UVICORN = (
    "--http httptools --ws websockets-sansio --loop uvloop --workers 1 --no-access-log"
    " --log-level warning"
)
# granian serves at most as many connections at a time as its backlog; `idle` opens 4 000.
_GRANIAN = "--interface asgi --workers 1 --loop uvloop --no-access-log --log-level warning"

_OURS = "{ours} -m daphne_like -v 0"
_UVICORN_COMMAND = (
    f"{{bin}}/uvicorn {_UVICORN} --timeout-keep-alive {KEEP_ALIVE_SECONDS}"
    f" --host 127.0.0.1 --port {{port}} {APPLICATION}"
)
_GRANIAN_COMMAND = (
    f"{{bin}}/granian {_GRANIAN} --backlog 8192 --host 127.0.0.1 --port {{port}} {APPLICATION}"
)
_HYPERCORN_COMMAND = (
    f"{{bin}}/hypercorn -k uvloop -w 1 --log-level warning --keep-alive {KEEP_ALIVE_SECONDS}"
    f" -b 127.0.0.1:{{port}} {APPLICATION}"
)
_GUNICORN = (
    f"{{bin}}/gunicorn -k asgi -w 1 --log-level warning --keep-alive {KEEP_ALIVE_SECONDS}"
    " -b 127.0.0.1:{port}"
)
_FASTPYSGI_COMMAND = f"{{bin}}/fastpysgi --host 127.0.0.1 --port {{port}} {APPLICATION}"
_FLOOR_COMMAND = "{bin}/python {here}/floor.py {port}"
_ASGI_FLOOR_COMMAND = "{bin}/python {here}/asgi_floor.py {port}"
_SSL_STRING = "ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}"

_NO_HTTP2 = {one.name: "it has no HTTP/2" for one in HTTP2_WORKLOADS}
_HTTP2_BY_ALPN = {one.name: "it has HTTP/2 over TLS only" for one in HTTP2_WORKLOADS if not one.tls}

_NO_METRICS = {HELLO_METRICS.name: "it serves no metrics"}
# All access logs go to standard output, which is a file. Levels are those that show its lines.
_UVICORN_LOGGED = _UVICORN_COMMAND.replace("--no-access-log --log-level warning", "--access-log")
_GRANIAN_LOGGED = _GRANIAN_COMMAND.replace("--no-access-log --log-level warning", "--access-log")
_GRANIAN_MEASURED = f"{_GRANIAN_COMMAND} --metrics --metrics-port 29464"

CONTENDERS = (
    _contender(
        OURS,
        f"{_OURS} -b 127.0.0.1 -p {{port}} {APPLICATION}",
        OURS,
        tls=f"{_OURS} -b 127.0.0.1 -p {{port}} --tls-certificate {{certificate}} --tls-key {{key}}"
        f" {APPLICATION}",
        commands={
            HELLO_LOGGED.name: f"{_OURS} -b 127.0.0.1 -p {{port}} --access-log -"
            f" --access-log-format json {APPLICATION}",
            HELLO_METRICS.name: f"{_OURS} -b 127.0.0.1 -p {{port}}"
            f" --metrics tcp:0:interface=127.0.0.1 {APPLICATION}",
        },
    ),
    _contender(
        # The same with Twisted's TLS, as in Twisted's own endpoint strings.
        "ours-ssl",
        "",
        OURS,
        only=tuple(one.name for one in TLS_WORKLOADS),
        tls=f"{_OURS} -e {_SSL_STRING} {APPLICATION}",
    ),
    _contender(
        "uvicorn",
        _UVICORN_COMMAND,
        "uvicorn",
        refusals={**_NO_HTTP2, **_NO_METRICS},
        tls=f"{_UVICORN_COMMAND} --ssl-certfile {{certificate}} --ssl-keyfile {{key}}",
        commands={HELLO_LOGGED.name: _UVICORN_LOGGED},
    ),
    _contender(
        "granian",
        _GRANIAN_COMMAND,
        "granian",
        tls=f"{_GRANIAN_COMMAND} --ssl-certificate {{certificate}} --ssl-keyfile {{key}}",
        commands={HELLO_LOGGED.name: _GRANIAN_LOGGED, HELLO_METRICS.name: _GRANIAN_MEASURED},
    ),
    _contender(
        "hypercorn",
        _HYPERCORN_COMMAND,
        "hypercorn",
        refusals=_NO_METRICS,
        tls=f"{_HYPERCORN_COMMAND} --certfile {{certificate}} --keyfile {{key}}",
        commands={HELLO_LOGGED.name: f"{_HYPERCORN_COMMAND} --access-logfile -"},
    ),
    _contender(
        "Daphne",
        f"{{bin}}/daphne -v 0 -b 127.0.0.1 -p {{port}} {APPLICATION}",
        "daphne",
        refusals={**_HTTP2_BY_ALPN, **_NO_METRICS},
        commands={
            HELLO_LOGGED.name: f"{{bin}}/daphne -v 0 -b 127.0.0.1 -p {{port}} --access-log -"
            f" {APPLICATION}"
        },
        tls=f"{{bin}}/daphne -v 0 -e {_SSL_STRING} {APPLICATION}",
    ),
    _contender(
        "gunicorn",
        f"{_GUNICORN} {APPLICATION}",
        "gunicorn",
        only=(HELLO_LOGGED.name,),
        commands={HELLO_LOGGED.name: f"{_GUNICORN} --access-logfile - {APPLICATION}"},
    ),
    _contender(
        "fastpysgi",
        _FASTPYSGI_COMMAND,
        "fastpysgi",
        refusals={
            **_NO_HTTP2,
            **_NO_METRICS,
            **{one.name: "it has no WebSocket" for one in WEBSOCKET_WORKLOADS},
            HELLO_LOGGED.name: "it has no access log",
        },
        tls=f"{_FASTPYSGI_COMMAND} --certfile {{certificate}} --keyfile {{key}}",
    ),
    _contender(
        "uvloop-floor",
        _FLOOR_COMMAND,
        "uvloop",
        # It runs no application and parses nothing.
        only=("hello", "browser", "varied", "tls", "tls-handshake", "tls-resume"),
        tls=f"{_FLOOR_COMMAND} {{certificate}} {{key}}",
    ),
    _contender(
        "asgi-floor",
        _ASGI_FLOOR_COMMAND,
        "uvloop",
        # It runs the application and ignores both the request and the application's messages.
        only=("hello", "tls"),
        tls=f"{_ASGI_FLOOR_COMMAND} {{certificate}} {{key}}",
    ),
    _contender(
        "picows-floor",
        "{bin}/python {here}/websocket/floor.py {port}",
        "picows",
        only=("ws", "ws8k"),
    ),
)
