"""Charts of runs, growth and distributions, the same in a report and on the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .._books._stats import Stats
from .._catalogue import Bin, Growth
from .._units import count_text, duration_text, moment_text, plain_text
from ._charts import Bar, bars
from ._facts import StepRun

KINDS = ("hits", "misses", "failures")


def runs_chart(runs: Sequence[StepRun]) -> str:
    """Return a stacked chart of hits, misses and failures, with a bar for each run."""
    values = [
        Bar(
            f"{moment_text(run.started_at_seconds)}, {plain_text(title)}: {counts_text(run.stats)}",
            (run.stats.hits, run.stats.misses, run.stats.failures),
        )
        for title, run in runs
    ]
    label = "hits, misses and failures of each run"
    return bars(values, KINDS, label=label, width=900, height=140, least_bars=20)


def legend() -> str:
    """Return list items that explain the colours of `runs_chart`."""
    return "".join(
        f'<li><svg width="10" height="10" aria-hidden="true"><rect class="{kind}" width="10" height="10"/></svg>'
        f"{kind}</li>"
        for kind in KINDS
    )


def runs_span(runs: Sequence[StepRun]) -> str:
    """Return a text that explains the bars of `runs_chart`."""
    calls = max(run.stats.hits + run.stats.misses + run.stats.failures for _, run in runs)
    first, last = (moment_text(run.started_at_seconds) for _, run in (runs[0], runs[-1]))
    return f"a bar for each run, from {first} to {last}; the tallest: {count_text(calls, 'call')}"


def counts_text(stats: Stats) -> str:
    """Return the numbers of hits, misses and failures as text."""
    return (
        f"{count_text(stats.hits, 'hit')}, {count_text(stats.misses, 'miss', 'misses')}, "
        f"{count_text(stats.failures, 'failure')}"
    )


def growth_chart(growth: Growth, *, width: int, height: int) -> str:
    """Return a chart of how many records were saved when."""
    values = [
        Bar(
            f"{moment_text(bucket.start_at)}: {count_text(bucket.records, 'record')}",
            (bucket.records,),
        )
        for bucket in growth.buckets
    ]
    label = f"records saved in each {duration_text(growth.width_seconds)}"
    return bars(values, ("saved",), label=label, width=width, height=height, least_bars=24)


def distribution_chart(
    bins: Sequence[Bin], text: Callable[[float], str], *, label: str, what: str, width: int, height: int
) -> str:
    """Return a chart of how values are distributed.

    Args:
        bins: The bins, in ascending order.
        text: Returns a value as text.
        label: What the chart shows.
        what: The singular of what is counted, such as "record".
        width: The width of the chart in pixels.
        height: The height of the chart in pixels.
    """
    values = [
        Bar(f"{text(each.start)} to {text(each.stop)}: {count_text(each.records, what)}", (each.records,))
        for each in bins
    ]
    return bars(values, ("saved",), label=label, width=width, height=height, least_bars=8)
