"""Makes the small servers for the pages about a supervisor; only loaded if there are any."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from daphne_like.metrics.about import accept_queues, versions
from daphne_like.metrics.application import own_files
from daphne_like.metrics.counts import Counts
from daphne_like.metrics.exposition import Registry, has_client, require_client
from daphne_like.metrics.page import MetricsPage
from daphne_like.metrics.side_server import SideServer
from daphne_like.process.supervised_status import SupervisedStatus
from daphne_like.process.supervisor import Supervisor
from daphne_like.server import Server
from daphne_like.status.side_servers import make_metrics_server, make_status_server


def make_servers(
    supervisor: Supervisor, actions: Mapping[str, Callable[[], object]]
) -> list[SideServer]:
    """Return the small servers that the options ask for; see SupervisorPages."""
    options = supervisor.configuration.options
    servers = []
    if options.metrics:
        require_client()
    metrics = make_metrics_page(supervisor) if has_client() else None
    if options.metrics:
        servers.append(make_metrics_server(options.metrics, metrics, options, Server))
    if options.status:
        service = SupervisedStatus(supervisor, actions)
        servers.append(make_status_server(service, metrics, options, Server))
    return servers


def make_metrics_page(supervisor: Supervisor) -> MetricsPage:
    """Return the page with the sums of all workers."""
    files = supervisor.tallies.files = own_files()
    if files is not None:
        files.wipe()

    def counts() -> Counts:
        return {
            **versions(supervisor.loop),
            **supervisor.tallies.counts(supervisor.workers),
            **accept_queues(supervisor.sockets.listening()),
        }

    return MetricsPage(Registry(counts, [files.collect] if files is not None else []))
