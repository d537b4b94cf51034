"""The lines that a server logs when it is ready."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Protocol

import twisted
from daphne_like import __version__
from daphne_like.listening.strings import behind_proxies, speaks_tls


class Announced(Protocol):
    """A server, or the supervisor of several."""

    reactor: Any
    loop: Any

    @property
    def endpoints(self) -> Sequence[str]:
        """Endpoint strings."""

    @property
    def listening_addresses(self) -> Sequence[tuple[str, int | None]]:
        """Address of each endpoint."""

    @property
    def redirect_addresses(self) -> Sequence[tuple[str, int | None]]:
        """Addresses of `--https-redirect`."""


def format_url(host: str, port: int | None, *, tls: bool = False) -> str:
    """Return a listening address as a URL that can be opened in a browser."""
    if port is None:
        return f"unix:{host}"
    every = " (every address)" if host in ("0.0.0.0", "::") else ""  # noqa: S104 # compared
    host = f"[{host}]" if ":" in host else host
    return f"http{'s' if tls else ''}://{host}:{port}/{every}"


def format_addresses(server: Announced) -> str:
    """Return the addresses of all endpoints as URLs."""
    return ", ".join(
        format_url(*address, tls=speaks_tls(endpoint))
        + (" (for proxies, with a PROXY header)" if behind_proxies(endpoint) != endpoint else "")
        for endpoint, address in zip(server.endpoints, server.listening_addresses, strict=True)
    )


def banner(server: Announced, application: str, workers: str = "") -> str:
    """Return the version, addresses, reactor, event loop and parser, as bug reports need them.

    Args:
        server: a server that listens.
        application: the application's name.
        workers: number of workers with its unit, under a supervisor.
    """
    # Not by importlib.metadata, which loads a megabyte of modules that nothing else needs.
    import httptools  # here, because a supervisor has no other use for it

    loop = type(server.loop).__module__.partition(".")[0]
    if loop != "asyncio":
        loop = f"{loop} {getattr(sys.modules[loop], '__version__', '')}".rstrip()
    where = format_addresses(server)
    if server.redirect_addresses:
        redirected = ", ".join(format_url(*a) for a in server.redirect_addresses)
        # Without a TLS endpoint, a proxy in front of the server may terminate TLS.
        ours = any(map(speaks_tls, server.endpoints))
        where += (
            f", to which {redirected} redirects" if ours else f"; {redirected} redirects to https"
        )
    served = f"{application} with {workers}" if workers else application
    return (
        f"daphne-like {__version__} serves {served} at {where}\n"
        f"  Python {sys.version.split()[0]}, Twisted {twisted.__version__} "
        f"({type(server.reactor).__name__}), {loop}, httptools {httptools.__version__}. "
        "Ctrl-C stops."
    )
