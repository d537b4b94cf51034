"""The page with the metrics, and the application's own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from daphne_like.metrics import exposition
from daphne_like.metrics.application import MultiprocessFiles
from daphne_like.metrics.counts import Counts
from daphne_like.metrics.exposition import Registry
from daphne_like.metrics.page import MetricsPage
from daphne_like.metrics.series import HANDSHAKE_DURATION, REFUSALS, WEBSOCKETS
from daphne_like.server import Server
from tests.support import needed
from tests.support.scraping import OPENMETRICS, Scrape

needed.module("prometheus_client")

BUCKETS = [1.0, *[0.0] * (HANDSHAKE_DURATION.width - 2)]
COUNTS: Counts = {
    REFUSALS.name: {("late",): [2.0], ('a"b\\c',): [1.0]},
    WEBSOCKETS.name: {(): [7.0]},
    HANDSHAKE_DURATION.name: {(): [0.25, *BUCKETS]},
}


def ask(page: MetricsPage, **scope: Any) -> tuple[int, dict[bytes, bytes], str]:
    """Status, headers and text of one request."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    whole = {"type": "http", "method": "GET", "path": "/metrics", "headers": [], **scope}
    asyncio.run(page(whole, None, send))
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"].decode()


def scraped(page: MetricsPage, accept: str = "") -> Scrape:
    status, headers, text = ask(page, headers=[(b"accept", accept.encode())])
    assert status == 200
    return Scrape(text, headers[b"content-type"].decode())


class TestFormats:
    """Prometheus text and OpenMetrics, read by prometheus_client's own parsers."""

    @pytest.mark.parametrize("accept", ["", "text/plain;version=0.0.4", OPENMETRICS, "nonsense"])
    def test_values(self, accept: str) -> None:
        """Counters, gauges and histograms; labels are escaped."""
        scrape = scraped(MetricsPage(Registry(lambda: COUNTS)), accept)
        assert scrape.content_type.startswith(
            "application/openmetrics-text" if accept == OPENMETRICS else "text/plain"
        )
        assert scrape.value("daphne_like_refusals_total", reason="late") == 2
        assert scrape.value("daphne_like_refusals_total", reason='a"b\\c') == 1
        assert scrape.value("daphne_like_websockets_total") == 7
        assert scrape.value("daphne_like_tls_handshake_duration_seconds_sum") == 0.25
        assert scrape.value("daphne_like_tls_handshake_duration_seconds_count") == 1
        assert scrape.value("daphne_like_tls_handshake_duration_seconds_bucket", le="+Inf") == 1

    def test_a_version_that_is_no_number(self) -> None:
        """The client's header cannot make the page fail."""
        accept = "application/openmetrics-text;version=x.y"
        assert scraped(MetricsPage(Registry(lambda: COUNTS)), accept).families


class TestPage:
    """Requests for other things."""

    page = MetricsPage(Registry(lambda: COUNTS))

    def test_other_paths(self) -> None:
        """404, with where it is."""
        assert ask(self.page, path="/")[::2] == (404, "The metrics are at /metrics.\n")

    def test_other_methods(self) -> None:
        """405."""
        status, headers, _ = ask(self.page, method="POST")
        assert (status, headers[b"allow"]) == (405, b"GET, HEAD")


class TestApplication:
    """What the application has in prometheus_client."""

    def test_default_registry(self) -> None:
        """Its families follow ours; one of our names is left out."""
        core = needed.module("prometheus_client.core")
        theirs = [
            core.GaugeMetricFamily("orders_open", "Orders.", value=3),
            core.CounterMetricFamily(WEBSOCKETS.name, "Not theirs.", value=99),
        ]
        scrape = scraped(MetricsPage(Registry(lambda: COUNTS, [lambda: theirs])))
        assert scrape.value("orders_open") == 3
        assert scrape.value("daphne_like_websockets_total") == 7

    def test_broken(self, caplog: pytest.LogCaptureFixture) -> None:
        """A collector that fails takes nothing else with it."""

        def broken() -> Any:
            raise RuntimeError("no database")

        assert scraped(MetricsPage(Registry(lambda: COUNTS, [broken]))).families
        assert "The application's metrics cannot be collected" in caplog.text

    def test_without_the_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One sentence that says what to install."""
        monkeypatch.setitem(sys.modules, "prometheus_client", None)
        with pytest.raises(exposition.ConfigurationError, match=r"pip install daphne-like\[metric"):
            Server(lambda *_: None, ["tcp:0"], metrics=("tcp:0",))


WORKER = """
import os
from prometheus_client import Counter, Gauge, Histogram
Counter("orders", "Orders.", ["shop"]).labels("a").inc(2)
Histogram("waits", "Waits.", buckets=(1, 2)).observe(1.5)
Gauge("open", "Open.", multiprocess_mode="livesum").set(4)
Gauge("most", "Most.", multiprocess_mode="max").set(int(os.environ["MOST"]))
Gauge("each", "Each.").set(1)
"""


class TestMultiprocess:
    """Files of prometheus_client's multiprocess mode."""

    def test_ended_processes(self, tmp_path: Path) -> None:
        """Their counters stay, in as many files as for one; their gauges go."""
        files = MultiprocessFiles(tmp_path / "new")
        for most in (3, 9, 5):
            environment = {
                **os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "new"), "MOST": str(most)
            }  # fmt: skip
            with subprocess.Popen([sys.executable, "-c", WORKER], env=environment) as process:
                assert process.wait(60) == 0
            files.process_ended(process.pid)
        names = sorted(path.name for path in (tmp_path / "new").iterdir())
        assert names == ["counter_merged.db", "gauge_max_merged.db", "histogram_merged.db"]
        scrape = scraped(MetricsPage(Registry(dict, [files.collect])))
        assert scrape.value("orders_total", shop="a") == 6
        assert scrape.value("waits_count") == 3
        assert scrape.value("waits_bucket", le="1.0") == 0
        assert scrape.value("waits_bucket", le="2.0") == 3
        assert scrape.value("most") == 9
        assert "open" not in scrape.text

    def test_wiped(self, tmp_path: Path) -> None:
        """Files of an earlier run are removed, nothing else."""
        for name in ("counter_1.db", "notes.txt"):
            (tmp_path / name).write_bytes(b"x")
        MultiprocessFiles(tmp_path).wipe()
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_a_damaged_file(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """It is told, and harms nothing else."""
        (tmp_path / "counter_77.db").write_bytes(b"\xff\xff\xff\x7f" * 8)
        MultiprocessFiles(tmp_path).process_ended(77)
        assert "cannot be merged" in caplog.text
