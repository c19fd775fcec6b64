"""All indexes and steps at a glance."""

from __future__ import annotations

from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from .._books._runs import Run
from .._books._stats import Stats, total
from .._catalogue import StepCatalogue, StepSummary, Totals
from .._errors import StoreError
from .._report._facts import StepRun, latest
from .._report._pictures import legend, runs_chart, runs_span
from ._site import Site


class Line(NamedTuple):
    """A step in the table."""

    summary: StepSummary
    stats: Stats
    runs: list[Run]
    copied_at: float | None


def lines(site: Site) -> list[Line]:
    """Return a summary of each step; for one that cannot be read, with the reason."""
    return [_line(step) for step in site.steps()]


def _line(step: StepCatalogue) -> Line:
    try:
        runs = step.recorded_runs()
        return Line(step.summary(), total(run.stats for run in runs), runs, step.copied_at())
    except StoreError as error:
        return Line(StepSummary(step.name, 0, Totals(), str(error)), Stats(), [], None)


def overview(site: Site, _request: Request) -> Response:
    """Show the table of steps, and what the last runs did."""
    found = lines(site)
    totals = Totals()
    for line in found:
        totals = totals.plus(line.summary.totals)
    runs = latest(StepRun(line.summary.name.title, run) for line in found for run in line.runs)
    stats = total(line.stats for line in found)
    return site.page(
        "overview.html",
        lines=found,
        totals=totals,
        stats=stats,
        runs=runs,
        chart=runs_chart(runs) if runs else "",
        legend=legend(),
        span=runs_span(runs) if runs else "",
    )


def again(site: Site, _request: Request) -> Response:
    """Drop the copies of stores, so that these are scanned again."""
    site.close()
    return RedirectResponse("/", 303)
