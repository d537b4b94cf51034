"""Facts about the machine that a reader needs to judge the figures."""

from __future__ import annotations

import datetime
import os
import platform
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks import peers
from benchmarks.contenders import Contender
from benchmarks.tls import client


def facts(peers_folder: Path, websocket: bool, tls: bool, http2: bool) -> dict[str, str]:
    """Return processor, cores, kernel, Python, load tools and day, by name.

    Args:
        peers_folder: virtual environment of the WebSocket load.
        websocket: True if the run had WebSocket load.
        tls: True if the run had TLS load.
        http2: True if the run had HTTP/2 load.
    """
    load = _wrk()
    if websocket:
        found = peers.versions(peers_folder / "bin" / "python", ["picows"])
        load += f", picows {found['picows']} for WebSocket"
    if http2:
        load += f", {_h2load()} for HTTP/2"
    facts_of_tls = {"TLS": _tls()} if tls else {}
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "load": load,
        **facts_of_tls,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _tls() -> str:
    # OpenSSL of this interpreter and of the peers'; pyOpenSSL and granian have their own.
    return f"{client.VERSION}, {client.CIPHER}, EC P-256; Python's is {ssl.OPENSSL_VERSION}"


def _wrk() -> str:
    # `wrk --version` ends with status 1.
    output = subprocess.run(["wrk", "--version"], capture_output=True, text=True)
    return (output.stdout + output.stderr).partition("[")[0].strip()


def _h2load() -> str:
    output = subprocess.run(["h2load", "--version"], capture_output=True, text=True)
    return output.stdout.strip()


def versions(
    contenders: Sequence[Contender], python: str, peers_folder: Path
) -> dict[str, str | None]:
    """Return each contender's version, from this interpreter or from the peers'."""
    ours = [one for one in contenders if one.is_ours]
    others = [one for one in contenders if not one.is_ours]
    found: dict[str, str | None] = {}
    for interpreter, group in ((python, ours), (peers_folder / "bin" / "python", others)):
        if group:
            answers = peers.versions(interpreter, [one.distribution for one in group])
            found.update({one.name: answers[one.distribution] for one in group})
    return found
