"""The command: measure all contenders under all workloads, and write the report."""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from benchmarks import chart, machine, memory, peers, tables
from benchmarks.catalogue import WORKLOADS
from benchmarks.contenders import CONTENDERS, OURS, REPOSITORY, Contender
from benchmarks.http2.workloads import HTTP2Workload
from benchmarks.measurement import Trial, progress
from benchmarks.methods import Settings
from benchmarks.results import Report, Row, summarise
from benchmarks.tls import credentials
from benchmarks.tls.credentials import Credentials
from benchmarks.websocket.workloads import WEBSOCKET_WORKLOADS
from benchmarks.workloads import Unit, Workload

DEFAULT_OUTPUT = REPOSITORY / "docs" / "_static" / "benchmarks"
DEFAULT_PEERS = REPOSITORY / ".benchmarks" / "venv"
PROGRAMS = {"wrk": "wrk", "h2load": "nghttp2-client", "taskset": "util-linux"}


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure daphne_like and its peers side by side, by turns: median processor "
        "time for each request, WebSocket message, handshake or MB, how many in a second, resident "
        "memory, and the ratio to daphne_like. Linux only; wrk, h2load and taskset are needed. A "
        "whole run takes about an hour.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    option = parser.add_argument
    option(
        "--workloads",
        nargs="+",
        metavar="NAME",
        choices=[one.name for one in WORKLOADS],
        default=[one.name for one in WORKLOADS],
        help="which workloads: %(choices)s",
    )
    option(
        "--contenders",
        nargs="+",
        metavar="NAME",
        choices=[one.name for one in CONTENDERS],
        default=[one.name for one in CONTENDERS],
        help="which contenders: %(choices)s",
    )
    option("--rounds", type=_positive, default=5, help="slices of each contender and workload")
    option("--slice", type=_positive, default=2, metavar="SECONDS", help="length of one slice")
    option("--connections", type=_positive, default=64, help="connections of the load")
    option(
        "--transfer",
        type=_positive,
        default=1000,
        metavar="MB",
        help="length of an upload or download over TLS",
    )
    option("--server-core", type=int, default=cores[0], help="core the servers are bound to")
    option("--load-core", type=int, default=cores[-1], help="core the load is bound to")
    option("--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR", help="for the report")
    option(
        "--peers-venv",
        type=Path,
        default=DEFAULT_PEERS,
        metavar="DIR",
        help="virtual environment of the peers; the default one is made on demand with pip, "
        "another one is used as it is",
    )
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return number


def check_machine() -> None:
    """Refuse a machine that cannot measure, and say what to do.

    Raises:
        SystemExit: the system is not Linux, or a program is missing.
    """
    if sys.platform != "linux":
        raise SystemExit("benchmarks: figures are read from /proc, which only Linux has")
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            raise SystemExit(f"benchmarks: {program} is missing (Debian: apt install {package})")


def raise_descriptor_limit() -> None:
    """Raise the limit of open files, of this process and the servers, for the idle connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < memory.DESCRIPTORS_NEEDED:
        progress(f"idle needs {memory.DESCRIPTORS_NEEDED} open files; the limit is {hard}")


def needs_picows(options: argparse.Namespace) -> bool:
    """Tell whether a workload needs WebSocket load."""
    return any(one.name in options.workloads for one in WEBSOCKET_WORKLOADS)


def needs_peers(options: argparse.Namespace) -> bool:
    """Tell whether the peers' virtual environment is needed; picows is in it too."""
    ours = {one.name for one in CONTENDERS if one.is_ours}
    return not ours.issuperset(options.contenders) or needs_picows(options)


def measure(options: argparse.Namespace) -> Report:
    """Measure what the options ask for."""
    contenders = [one for one in CONTENDERS if one.name in options.contenders]
    workloads = [one for one in WORKLOADS if one.name in options.workloads]
    with credentials_for(workloads) as made:
        return _measured(options, contenders, workloads, made)


@contextmanager
def credentials_for(workloads: Sequence[Workload]) -> Iterator[Credentials | None]:
    """Create certificate and key for the run, if a workload uses TLS."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-tls-") as name:
        yield credentials.make(Path(name)) if any(one.tls for one in workloads) else None


def _measured(
    options: argparse.Namespace,
    contenders: Sequence[Contender],
    workloads: Sequence[Workload],
    made: Credentials | None,
) -> Report:
    settings = Settings(
        rounds=options.rounds,
        slice_seconds=options.slice,
        connections=options.connections,
        server_core=options.server_core,
        load_core=options.load_core,
        peers=options.peers_venv.absolute(),
        transfer_megabytes=options.transfer,
        credentials=made,
    )
    rows = [row for one in workloads for row in _rows(one, contenders, settings)]
    transfers = any(one.unit is Unit.TRANSFER for one in workloads)
    transfer = {"MB a transfer": options.transfer} if transfers else {}
    return Report(
        machine=machine.facts(
            settings.peers,
            websocket=needs_picows(options),
            tls=made is not None,
            http2=any(isinstance(one, HTTP2Workload) for one in workloads),
        ),
        versions=machine.versions(contenders, sys.executable, settings.peers),
        settings={
            "rounds": options.rounds,
            "seconds a slice": options.slice,
            "connections": options.connections,
            **transfer,
        },
        workloads=workloads,
        rows=rows,
    )


def _rows(workload: Workload, contenders: Sequence[Contender], settings: Settings) -> list[Row]:
    present = [one for one in contenders if one.takes_part_in(workload)]
    return summarise(workload, Trial(workload, present, settings).run(), OURS)


def write(report: Report, output: Path) -> None:
    """Write the report in each of its forms."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.txt").write_text(tables.text(report), encoding="utf-8")
    (output / "results.rst").write_text(tables.restructured_text(report), encoding="utf-8")
    (output / "results.json").write_text(tables.as_json(report), encoding="utf-8")
    (output / "chart.svg").write_text(chart.svg(report), encoding="utf-8")
    narrow = chart.svg(report, chart.NARROW)
    (output / "chart-narrow.svg").write_text(narrow, encoding="utf-8")
    progress(f"written to {output}: results.{{txt,rst,json}}, chart.svg, chart-narrow.svg")


def _end(signal_number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + signal_number)


def main() -> None:
    """Run the command, and end the servers that it started in every case."""
    options = arguments()
    check_machine()
    signal.signal(signal.SIGTERM, _end)
    raise_descriptor_limit()
    try:
        if options.peers_venv == DEFAULT_PEERS and needs_peers(options):
            progress(f"peers: {DEFAULT_PEERS}")
            peers.create(DEFAULT_PEERS)
        report = measure(options)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"benchmarks: {error}") from error
    print(tables.text(report), end="")
    write(report, options.output)


if __name__ == "__main__":
    main()
