"""`--metrics`: real scrapes of one process and of a supervisor."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daphne_like.metrics.series import SERIES
from tests.support import needed
from tests.support.constant_load import Load
from tests.support.documentation import COMMAND, ROOT
from tests.support.live_endpoints import free_port
from tests.support.real_server import DEADLINE, Running, fetched
from tests.support.scraping import OPENMETRICS, Scrape, scrape
from tests.support.supervised import Supervised

needed.module("prometheus_client")

HOWTO = ROOT / "docs" / "howto" / "metrics.rst"
DASHBOARD = ROOT / "docs" / "_static" / "grafana.json"
REQUESTS = "http_server_request_duration_seconds_count"
MESSAGES = "daphne_like_websocket_messages_total"
RESTARTS = int(os.environ.get("METRICS_RESTARTS", "2"))
"""Restarts under load; each replaces two workers."""


OWN_METRICS = """
from prometheus_client import Counter

orders = Counter("orders", "Orders.")

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError
    orders.inc()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ordered"})
"""


@pytest.fixture
def port() -> int:
    return free_port()


def metrics(port: int) -> list[str]:
    """The option."""
    return ["--metrics", f"tcp:{port}:interface=127.0.0.1"]


class TestOneProcess:
    """Without workers."""

    @pytest.mark.parametrize("accept", ["", OPENMETRICS])
    def test_scrape(self, server: Callable[..., Running], port: int, accept: str) -> None:
        """Both formats; requests of clients are counted, scrapes are not, and are not logged."""
        running = server("operated:application", "-v", "1", *metrics(port))
        for _ in range(3):
            assert fetched(running.port, "/")
        found = needed.until(lambda: _with(scrape(port, accept), REQUESTS, 3))
        assert found.value(REQUESTS) == 3
        assert found.value("daphne_like_connections_total", protocol="http/1.1") == 3
        assert found.value("process_start_time_seconds") > 0
        assert found.value("daphne_like_info") == 1
        assert "/metrics" not in running.stop()

    @pytest.mark.parametrize("words", [[], ["--workers", "1"]], ids=["alone", "supervised"])
    def test_port_in_use(self, command: Callable[..., Any], words: list[str]) -> None:
        """One sentence, and the exit status of a port in use."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            number = taken.getsockname()[1]
            ended = command("-p", "0", *words, *metrics(number), "operated:application")
        assert ended.returncode == 1
        assert f"Cannot listen on tcp:{number}:interface=127.0.0.1" in ended.stderr


class TestWorkers:
    """Served by the supervisor."""

    def test_replaced_workers(self, supervised: Callable[..., Supervised], port: int) -> None:
        """Workers are replaced under load: the sum is the client's own count, and nothing falls."""
        running = supervised(*metrics(port))
        running.until_workers(2)
        before: dict[Any, float] = {}
        with Load(("127.0.0.1", running.port), sockets=1) as load:
            for number in range(1, RESTARTS + 1):
                running.signal(signal.SIGHUP)
                deadline = time.monotonic() + DEADLINE
                while True:
                    found = scrape(port)
                    counters = found.counters
                    assert {key for key in before if counters.get(key, 0) < before[key]} == set()
                    before = counters
                    if found.value("daphne_like_restarts_total", outcome="success") == number:
                        break
                    assert time.monotonic() < deadline, running.log
                    time.sleep(0.05)
        assert not load.failures
        found = needed.until(lambda: _at_least(scrape(port), load.answered), DEADLINE)
        assert served(found) == load.answered
        needed.until(
            lambda: (
                scrape(port).value("daphne_like_worker_exits_total", reason="restart")
                == 2 * RESTARTS
            ),
            DEADLINE,
        )
        assert scrape(port).value("daphne_like_worker_exits_total", reason="crash") == 0
        assert not re.search(r'pid="', found.text)

    def test_crash(self, supervised: Callable[..., Supervised], port: int) -> None:
        """What a killed worker has sent stays; its end is a crash."""
        running = supervised(*metrics(port), workers="1")
        (row,) = running.until_workers(1)
        for _ in range(5):
            running.ask()
        needed.until(lambda: _with(scrape(port), REQUESTS, 5), DEADLINE)
        running.killed(row.pid)
        needed.until(
            lambda: scrape(port).value("daphne_like_worker_exits_total", reason="crash") == 1,
            DEADLINE,
        )
        assert scrape(port).value(REQUESTS) == 5

    def test_gauges(self, supervised: Callable[..., Supervised], port: int) -> None:
        """Each slot has its values; the label is its number."""
        running = supervised(*metrics(port))
        running.until_workers(2)
        found = scrape(port)
        for slot in ("1", "2"):
            assert found.value("daphne_like_worker_ready", worker=slot) == 1
            assert found.value("daphne_like_worker_resident_memory_bytes", worker=slot) > 1e6
            assert found.value("daphne_like_worker_open_fds", worker=slot) > 3
        assert found.value("daphne_like_workers", state="ready") == 2


def _with(found: Scrape, name: str, least: float) -> Scrape | None:
    return found if found.value(name) >= least else None


def served(found: Scrape) -> float:
    """Good responses, and echoes of WebSockets, whose first message is none."""
    echoes = found.value(MESSAGES, direction="sent") - found.value("daphne_like_websockets_total")
    return found.value(REQUESTS, http_response_status_code="200") + echoes


def _at_least(found: Scrape, least: float) -> Scrape | None:
    return found if served(found) >= least else None


class TestPrometheus:
    """Prometheus itself."""

    def test_promtool(self, supervised: Callable[..., Supervised], port: int) -> None:
        """Prometheus' linter has nothing to say."""
        program = needed.program("promtool", "prometheus")
        running = supervised(*metrics(port))
        running.until_workers(2)
        running.ask()
        text = needed.until(lambda: _with(scrape(port), REQUESTS, 1), DEADLINE).text
        done = subprocess.run(
            [program, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")

    def test_dashboard(
        self, prometheus: Callable[[int], str], supervised: Callable[..., Supervised], port: int
    ) -> None:
        """Every query of the Grafana dashboard has an answer from a real Prometheus."""
        running = supervised(*metrics(port))
        running.until_workers(2)
        address = prometheus(port)
        with Load(("127.0.0.1", running.port), sockets=1):
            needed.until(lambda: query(address, f"sum(rate({REQUESTS}[15s])) > 0"), 60)
        refused = {text: query(address, text) for text in queries()}
        assert [text for text, result in refused.items() if not result] == []


def queries() -> list[str]:
    """The queries of the dashboard, with a range that a short test has data for."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    texts = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [text.replace("$__rate_interval", "15s") for text in texts]


def query(address: str, text: str) -> list[Any]:
    """The result of an instant query; Prometheus refuses one that is wrong."""
    words = urllib.parse.urlencode({"query": text})
    with urllib.request.urlopen(f"{address}/api/v1/query?{words}", timeout=20) as answer:
        result: list[Any] = json.load(answer)["data"]["result"]
    return result


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[[int], str]]:
    """prometheus(port): a Prometheus that scrapes that port each second; its address."""
    program = needed.program("prometheus", "prometheus")
    started: list[subprocess.Popen[bytes]] = []

    def start(port: int) -> str:
        config = tmp_path / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 1s}\nscrape_configs:\n"
            f"- {{job_name: app, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n"
        )
        own = free_port()
        words = [
            program, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{own}", "--log.level=error",
        ]  # fmt: skip
        started.append(subprocess.Popen(words))
        needed.until(lambda: _listens(own), DEADLINE)
        return f"http://127.0.0.1:{own}"

    yield start
    for process in started:
        process.terminate()
        process.wait(DEADLINE)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class TestPage:
    """docs/howto/metrics.rst."""

    def test_commands(self, tmp_path: Path) -> None:
        """The commands as they stand serve the page, with the application's own metrics."""
        (tmp_path / "mysite").mkdir()
        (tmp_path / "mysite" / "asgi.py").write_text(OWN_METRICS)
        commands = COMMAND.findall(HOWTO.read_text())
        assert len(commands) == 1
        (with_workers,) = re.findall(r"\$ (PROMETHEUS_\w+)=\S+ (daphne-like .*)", HOWTO.read_text())
        for environment, command in ((None, commands[0]), with_workers):
            own = free_port()
            words = shlex.split(command.replace("9464", str(own)))[1:]
            how = {} if environment is None else {environment: str(tmp_path / "files")}
            running = Running("-p", "0", *words, cwd=tmp_path, environment=how)
            try:
                running.wait_until_ready()
                assert fetched(running.port, "/")
                found = needed.until(lambda: _with(scrape(own), "orders_total", 1), DEADLINE)  # noqa: B023
                assert found.value("orders_total") == 1
            finally:
                log = running.stop()
            assert "Traceback" not in log

    def test_series(self) -> None:
        """Every series is on the page, and no other."""
        shown = set(re.findall(r"^``(\w+)``  ", HOWTO.read_text(), re.MULTILINE))
        names = {
            series.name.removeprefix("daphne_like_")
            + ("_total" if series.kind == "counter" else "")
            for series in SERIES.values()
        }
        assert shown == names
