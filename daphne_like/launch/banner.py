"""The lines that a server logs when it is ready."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from daphne_like import __version__
from daphne_like.listening.strings import behind_proxies, speaks_tls

if TYPE_CHECKING:
    from daphne_like.server import Server


def url_of(host: str, port: int | None, *, tls: bool = False) -> str:
    """Return a listening address as a URL that can be opened in a browser."""
    if port is None:
        return f"unix:{host}"
    every = " (every address)" if host in ("0.0.0.0", "::") else ""  # noqa: S104 # compared
    host = f"[{host}]" if ":" in host else host
    return f"http{'s' if tls else ''}://{host}:{port}/{every}"


def banner(server: Server, application: str) -> str:
    """Return the version, addresses, reactor, event loop and parser, as bug reports need them."""
    loop = type(server.loop).__module__.partition(".")[0]
    if loop != "asyncio":
        loop = f"{loop} {version(loop)}"
    where = ", ".join(
        url_of(*address, tls=speaks_tls(endpoint))
        + (" (for proxies, with a PROXY header)" if behind_proxies(endpoint) != endpoint else "")
        for endpoint, address in zip(server.endpoints, server.listening_addresses, strict=True)
    )
    if server.redirect_addresses:
        redirected = ", ".join(url_of(*a) for a in server.redirect_addresses)
        # Without a TLS endpoint, a proxy in front of the server may terminate TLS.
        ours = any(map(speaks_tls, server.endpoints))
        where += (
            f", to which {redirected} redirects" if ours else f"; {redirected} redirects to https"
        )
    return (
        f"daphne-like {__version__} serves {application} at {where}\n"
        f"  Python {platform.python_version()}, Twisted {version('twisted')} "
        f"({type(server.reactor).__name__}), {loop}, httptools {version('httptools')}. "
        "Ctrl-C stops."
    )
