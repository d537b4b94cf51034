"""Scrapes of `--metrics`, parsed by prometheus_client's own parsers."""

from __future__ import annotations

import urllib.request
from typing import Any

from tests.support import needed

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Scrape:
    """One scrape.

    Args:
        text: the text.
        content_type: which parser reads it.

    Attributes:
        families: by name.
    """

    def __init__(self, text: str, content_type: str) -> None:
        self.text = text
        self.content_type = content_type
        if content_type.startswith("application/openmetrics-text"):
            parser = needed.module("prometheus_client.openmetrics.parser")
        else:
            parser = needed.module("prometheus_client.parser")
        self.families = {one.name: one for one in parser.text_string_to_metric_families(text)}

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples of a name that have these labels."""
        return sum(
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    @property
    def counters(self) -> dict[tuple[Any, ...], float]:
        """Every sample that must never fall."""
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in self.families.values()
            if family.type in ("counter", "histogram")
            for sample in family.samples
            if not sample.name.endswith("_created")
        }


def scrape(port: int, accept: str = "") -> Scrape:
    """GET /metrics."""
    headers = {"Accept": accept} if accept else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:  # loopback
        return Scrape(answer.read().decode(), answer.headers["content-type"])
