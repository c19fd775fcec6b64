"""One step: its functions, and how their calls are distributed over time and duration."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from .._books._stats import total
from .._catalogue import RecordQuery
from .._report._facts import StepRun, latest
from .._report._pictures import distribution_chart, growth_chart, legend, runs_chart, runs_span
from .._units import duration_text, size_text
from ._site import Site

_SLOWEST = RecordQuery(sort="duration")
_WIDTH, _HEIGHT = 420, 110
_MOST_SHOWN = 10


def step(site: Site, request: Request) -> Response:
    """Show what a step holds, and what its runs did."""
    asked = site.step(request.query_params)
    recorded = asked.recorded_runs()
    runs = latest(StepRun(asked.name.title, run) for run in recorded)
    stats = total(run.stats for run in recorded)
    return site.page(
        "step.html",
        summary=asked.summary(),
        functions=asked.functions(),
        codes=asked.codes(),
        stats=stats,
        runs=runs[-_MOST_SHOWN:][::-1],
        chart=runs_chart(runs) if runs else "",
        legend=legend(),
        span=runs_span(runs) if runs else "",
        removed=request.query_params.get("removed", ""),
        copied_at=asked.copied_at(),
    )


def charts(site: Site, request: Request) -> Response:
    """Return the part of the page that takes reading every record, which is fetched after the rest has loaded."""
    asked = site.step(request.query_params)
    durations, sizes, growth = site.kept(asked, "spread", asked.spread)
    slowest = site.kept(asked, "slowest", lambda: asked.records(_SLOWEST, limit=_MOST_SHOWN).records)
    return site.page(
        "_charts.html",
        name=asked.name,
        durations=durations,
        sizes=sizes,
        growth=growth,
        slowest=slowest,
        durations_chart=distribution_chart(
            durations, duration_text, label="how long calls took", what="call", width=_WIDTH, height=_HEIGHT
        ),
        sizes_chart=distribution_chart(
            sizes, size_text, label="how large results are", what="result", width=_WIDTH, height=_HEIGHT
        ),
        growth_chart=growth_chart(growth, width=2 * _WIDTH, height=_HEIGHT),
    )
