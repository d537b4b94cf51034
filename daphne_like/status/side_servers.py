"""Makes the small servers of `--metrics` and `--status`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from daphne_like.metrics.exposition import has_client
from daphne_like.metrics.one_process import metrics_page
from daphne_like.metrics.side_server import SideServer, side_options
from daphne_like.options import Options
from daphne_like.status.application import StatusApplication
from daphne_like.status.guard import Guard, read_token, require_privacy
from daphne_like.status.one_process import OneProcess, status_options
from daphne_like.status.service import Service


def make_side_servers(
    server: Any, make_server: Callable[..., Any], memory: Callable[[int], int | None]
) -> list[SideServer]:
    """Return the small servers that the options of a single process ask for.

    Args:
        server: the Server that the pages are about.
        make_server: the class Server.
        memory: see OneProcess.
    """
    options = server.options
    made = []
    metrics = metrics_page(server) if options.metrics or has_client() else None
    if options.metrics:
        made.append(make_metrics_server(options.metrics, metrics, options, make_server))
    if options.status:
        made.append(make_status_server(OneProcess(server, memory), metrics, options, make_server))
    return made


def make_metrics_server(
    endpoints: Iterable[str], page: Any, options: Options, make_server: Callable[..., Any]
) -> SideServer:
    """Return a small server for the page of `--metrics`.

    Args:
        endpoints: Twisted endpoint strings.
        page: an ASGI 3 application.
        options: those of the application's server.
        make_server: the class Server.
    """
    return SideServer(
        make_server(page, endpoints, signal_handlers=False, options=side_options(options))
    )


def make_status_server(
    service: Service, metrics: Any, options: Options, make_server: Callable[..., Any]
) -> SideServer:
    """Return a small server for the status page.

    Args:
        service: what the page is about.
        metrics: the application that serves /metrics; None without metrics.
        options: those of the application's server.
        make_server: the class Server.
    Raises:
        ConfigurationError: the token cannot be read.
    """
    token = None if options.status_token is None else read_token(options.status_token)
    small = make_server(
        StatusApplication(service, Guard(token), metrics),
        [str(options.status)],
        signal_handlers=False,
        options=status_options(side_options(options)),
    )
    return SideServer(small, lambda: require_privacy(small.listening_addresses, token))
