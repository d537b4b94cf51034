"""Turns samples into rows: medians, and ratios to daphne_like. No measuring, no rendering."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.workloads import Workload


@dataclass(frozen=True)
class Sample:
    """One slice of one contender; `figure` is in the workload's unit."""

    figure: float
    per_second: float | None
    """Requests, messages or connections per second, by the unit; None if there was no load."""
    resident_mib: float
    server_busy: float | None = None
    """The server's processor time divided by the slice's duration: about 1 if the load keeps up."""
    load_busy: float | None = None
    """The same for the load itself; None if it is not known."""
    growth_mib: float | None = None
    """Maximum growth of the resident memory, if both memory and time are measured."""


@dataclass(frozen=True)
class Row:
    """One contender under one workload. Without a figure, `refusal` says why."""

    workload: str
    contender: str
    figure: float | None = None
    ratio: float | None = None
    """The figure divided by daphne_like's; None if that is missing or not above zero."""
    per_second: float | None = None
    resident_mib: float | None = None
    growth_mib: float | None = None
    refusal: str | None = None
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The outcome of one contender under one workload: samples, or the reason for their absence."""

    contender: str
    samples: tuple[Sample, ...] = ()
    refusal: str | None = None


@dataclass(frozen=True)
class Report:
    """A whole run."""

    machine: Mapping[str, str]
    versions: Mapping[str, str | None]
    settings: Mapping[str, int]
    workloads: Sequence[Workload]
    rows: Sequence[Row]

    def rows_of(self, workload: Workload) -> list[Row]:
        """Return the rows of one workload, in the contenders' order."""
        return [row for row in self.rows if row.workload == workload.name]


def ratio(figure: float | None, ours: float | None) -> float | None:
    """Divide a figure by daphne_like's; None if that is zero or less, as memory growth may be."""
    if figure is None or ours is None or ours <= 0:
        return None
    return figure / ours


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def summarise(workload: Workload, outcomes: Sequence[Outcome], ours: str) -> list[Row]:
    """Return a row for each outcome, in the same order; `ours` names the contender compared to."""
    figures = {
        outcome.contender: _median(sample.figure for sample in outcome.samples)
        for outcome in outcomes
        if outcome.refusal is None
    }
    return [_row(workload, outcome, figures, figures.get(ours)) for outcome in outcomes]


def _row(
    workload: Workload, outcome: Outcome, figures: Mapping[str, float | None], ours: float | None
) -> Row:
    if outcome.refusal is not None:
        return Row(workload.name, outcome.contender, refusal=outcome.refusal)
    figure = figures[outcome.contender]
    return Row(
        workload.name,
        outcome.contender,
        figure=figure,
        ratio=ratio(figure, ours),
        per_second=_median(sample.per_second for sample in outcome.samples),
        resident_mib=_median(sample.resident_mib for sample in outcome.samples),
        growth_mib=_median(sample.growth_mib for sample in outcome.samples),
        samples=outcome.samples,
    )
