"""What a server says about itself when it is ready."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from daphne_like import __version__

if TYPE_CHECKING:
    from daphne_like.server import Server


def url_of(host: str, port: int | None) -> str:
    """An address as a person can open it."""
    if port is None:
        return f"unix:{host}"
    if host in ("0.0.0.0", "::"):  # noqa: S104 # compared, not bound
        host = {"::": "[::]"}.get(host, host)
        return f"http://{host}:{port}/ (every address)"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def banner(server: Server, application: str) -> str:
    """Version, addresses, reactor, event loop, parser: what a bug report needs."""
    loop = type(server.loop).__module__.partition(".")[0]
    if loop != "asyncio":
        loop = f"{loop} {version(loop)}"
    where = ", ".join(url_of(*address) for address in server.listening_addresses)
    return (
        f"daphne-like {__version__} serves {application} at {where}\n"
        f"  Python {platform.python_version()}, Twisted {version('twisted')} "
        f"({type(server.reactor).__name__}), {loop}, httptools {version('httptools')}. "
        "Ctrl-C stops."
    )
