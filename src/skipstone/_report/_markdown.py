"""Write a report as Markdown, for a pull request."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .._catalogue import FailureGroup, Totals
from .._units import count_text, duration_text, function_text, moment_text, plain_text, size_text
from ._facts import Report, StepReport

_MARKS = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&@:])")
_FIGURES = ("records", "failures", "size", "time stored", "time saved", "last saved")


def as_markdown(report: Report) -> str:
    """Return a report as Markdown. Anything stored is shown as text, never as Markdown or HTML."""
    totals, stats = report.totals, report.stats
    sums = (
        f"**{count_text(totals.records, 'record')}** of {size_text(totals.size_bytes)} in "
        f"{count_text(len(report.steps), 'step')}, **{count_text(totals.failures, 'failure')}**; "
        f"{duration_text(totals.seconds)} stored, **{duration_text(stats.seconds_saved)} saved**"
    )
    lines = [
        f"# {_text(report.title)}",
        "",
        f"{_text(report.place)}, {moment_text(report.made_at)}",
        "",
        sums,
        "",
        *_table(("index / step", *_FIGURES), [row for step in report.steps for row in _rows(step)]),
        *_runs(report),
        *(line for step in report.steps for line in _failures(step)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _text(text: str) -> str:
    return _MARKS.sub(r"\\\1", plain_text(text))


def _table(columns: Sequence[str], rows: list[list[str]], *, names: int = 1) -> list[str]:
    rule = [*["---"] * names, *["---:"] * (len(columns) - names)]
    return [f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows)] + [""] if rows else []


def _rows(step: StepReport) -> list[list[str]]:
    if step.summary.problem:
        return [[f"**{_text(step.title)}**", _text(step.summary.problem), *[""] * (len(_FIGURES) - 1)]]
    saved = duration_text(step.stats.seconds_saved)
    return [
        [f"**{_text(step.title)}**", *_figures(step.summary.totals, saved)],
        *(
            [
                _text(function_text(each.function, each.version)),
                *_figures(each.totals, ""),
            ]
            for each in step.functions
        ),
    ]


def _figures(totals: Totals, saved: str) -> list[str]:
    return [
        f"{totals.records:,}",
        f"{totals.failures:,}",
        size_text(totals.size_bytes),
        duration_text(totals.seconds),
        saved,
        moment_text(totals.last_at),
    ]


def _runs(report: Report) -> list[str]:
    rows = [
        [
            moment_text(run.started_at_seconds),
            _text(title),
            run.state,
            f"{run.stats.hits:,}",
            f"{run.stats.misses:,}",
            f"{run.stats.failures:,}",
            duration_text(run.stats.seconds_run),
            duration_text(run.stats.seconds_saved),
        ]
        for title, run in reversed(report.runs[-10:])
    ]
    columns = ("started", "index / step", "state", "hits", "misses", "failures", "ran", "saved")
    return ["## Runs", "", _text(str(report.stats)), "", *_table(columns, rows, names=3)] if rows else []


def _failures(step: StepReport) -> list[str]:
    if not step.failures:
        return []
    lines = [f"## Failures of {_text(step.title)}", ""]
    for group in step.failures:
        lines += _failure(group)
    return lines


def _failure(group: FailureGroup) -> list[str]:
    example = group.example.failure
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", example.traceback)), default=0))
    first = (
        f"- **{_text(group.error)}**: {count_text(group.calls, 'call')} of {_text(group.function)}, last "
        f"{moment_text(group.last_at)}, for example id {_text(example.call_id)}"
    )
    return [
        first,
        "",
        f"  {fence}text",
        *(f"  {line}" for line in example.traceback.splitlines()),
        f"  {fence}",
        "",
    ]
