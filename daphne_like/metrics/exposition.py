"""Writes counts in the text formats of Prometheus and OpenMetrics, with prometheus_client."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from daphne_like.exceptions import ConfigurationError
from daphne_like.metrics.counts import Counts
from daphne_like.metrics.series import COUNTER, GAUGE, SERIES, Series

log = logging.getLogger("daphne_like.server")

MISSING = (
    "--metrics needs the package prometheus_client: pip install daphne-like[metrics], "
    "or prometheus_client"
)


def require_client() -> None:
    """Refuse to go on without prometheus_client.

    Raises:
        ConfigurationError: prometheus_client is not installed.
    """
    if not has_client():
        raise ConfigurationError(MISSING)


def has_client() -> bool:
    """Tell whether prometheus_client is installed."""
    return importlib.util.find_spec("prometheus_client") is not None


class Registry:
    """A registry as prometheus_client's encoders need it: our families, then the application's.

    Args:
        counts: returns the present counts.
        collectors: return the families of the application. What fails there is logged, and the
            other families are shown all the same.
    """

    def __init__(
        self, counts: Callable[[], Counts], collectors: Iterable[Callable[[], Iterable[Any]]] = ()
    ) -> None:
        self._counts = counts
        self._collectors = tuple(collectors)

    def collect(self) -> Iterator[Any]:
        """Yield the families."""
        counts = self._counts()
        for name, series in SERIES.items():
            if name in counts:
                yield to_family(series, counts[name])
        for collector in self._collectors:
            yield from self._of_application(collector)

    @staticmethod
    def _of_application(collector: Callable[[], Iterable[Any]]) -> list[Any]:
        try:
            # A family of one of our names would make the whole text invalid.
            return [family for family in collector() if family.name not in SERIES]
        except Exception:
            log.exception("The application's metrics cannot be collected")
            return []

    def encode(self, accept: str) -> tuple[bytes, str]:
        """Return the text and its content type.

        Args:
            accept: the Accept header of the request; it chooses the format.
        """
        from prometheus_client.exposition import choose_encoder

        try:
            encoder, content_type = choose_encoder(accept)
        except (ValueError, TypeError):  # a version that is no number (prometheus_client 0.26)
            encoder, content_type = choose_encoder("")
        return encoder(self), content_type


def to_family(series: Series, rows: dict[tuple[str, ...], list[float]]) -> Any:
    """Return one family in prometheus_client's form."""
    from prometheus_client import core

    names = (*series.labels, *(("worker",) if series.by_worker else ()))
    if series.kind in (COUNTER, GAUGE):
        kind = core.CounterMetricFamily if series.kind == COUNTER else core.GaugeMetricFamily
        family: Any = kind(series.name, series.help, labels=names)
        for labels, values in sorted(rows.items()):
            family.add_metric(labels, values[0])
        return family
    family = core.HistogramMetricFamily(series.name, series.help, labels=names)
    bounds = [*map(str, series.bounds), "+Inf"]
    for labels, (total, *buckets) in sorted(rows.items()):
        count = 0.0
        cumulated = []
        for bound, number in zip(bounds, buckets, strict=True):
            count += number
            cumulated.append((bound, count))
        family.add_metric(labels, cumulated, total)
    return family
