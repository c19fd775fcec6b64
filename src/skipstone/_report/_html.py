"""Write a report as one self-contained HTML file: no scripts, no requests, and its styles inside."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files

from .._books._stats import Stats
from .._catalogue import FailureGroup, Totals
from .._units import count_text, duration_text, function_text, moment_text, number_text, plain_text, size_text
from ._facts import MOST_RUNS, Report, StepReport
from ._pictures import KINDS, growth_chart, legend, runs_chart, runs_span

_NUMBERS = ("records", "failures", "size", "time stored", "time saved")
_NUMBER = ' class="number"'
_RUN_NUMBERS = (*KINDS, "ran", "saved")


def as_html(report: Report) -> str:
    """Return a report as HTML. Anything stored is shown as text, never as HTML."""
    style = files("skipstone._report").joinpath("style.css").read_text(encoding="utf-8")
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    start = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(report.title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
    )
    parts = (start, _head(report), _steps(report), _runs(report), _failures(report), "</body>\n</html>\n")
    return "".join(parts)


def _text(text: str) -> str:
    return escape(plain_text(text))


def _head(report: Report) -> str:
    totals, stats = report.totals, report.stats
    facts = [
        ("steps", f"{len(report.steps):,}"),
        ("records", f"{totals.records:,}"),
        ("failures", f"{totals.failures:,}"),
        ("size", size_text(totals.size_bytes)),
        ("time stored", duration_text(totals.seconds)),
        ("time saved", duration_text(stats.seconds_saved)),
        *((f"{_text(name)} spent", number_text(amount)) for name, amount in stats.notes_spent.items()),
        *((f"{_text(name)} saved", number_text(amount)) for name, amount in stats.notes_saved.items()),
    ]
    shown = "".join(
        f"<div><dt>{name}</dt><dd{_bad(name == 'failures' and totals.failures)}>{value}</dd></div>"
        for name, value in facts
    )
    return (
        f"<header>\n<h1>{_text(report.title)}</h1>\n"
        f'<p class="faint">{_text(report.place)}, {moment_text(report.made_at)}</p>\n'
        f'<dl class="facts">{shown}</dl>\n</header>\n'
    )


def _bad(is_bad: object) -> str:
    return ' class="bad"' if is_bad else ""


def _steps(report: Report) -> str:
    columns = ("index / step", *_NUMBERS, "last saved", "saved when")
    head = "".join(f'<th scope="col"{_NUMBER if column in _NUMBERS else ""}>{column}</th>' for column in columns)
    rows = "".join(_step_rows(step) for step in report.steps)
    if not rows:
        return "<main>\n<p>Nothing is stored.</p>\n"
    return (
        f'<main>\n<h2>Indexes and steps</h2>\n<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody>\n</table></div>\n"
    )


def _step_rows(step: StepReport) -> str:
    if step.summary.problem:
        return (
            f'<tr><th scope="row" class="name">{_text(step.title)}</th>'
            f'<td colspan="7" class="bad">{_text(step.summary.problem)}</td></tr>\n'
        )
    saved = duration_text(step.stats.seconds_saved)
    first = (
        f'<tr><th scope="row" class="name">{_text(step.title)}</th>'
        f"{_figures(step.summary.totals, saved)}<td>{growth_chart(step.growth, width=120, height=24)}</td></tr>\n"
    )
    return first + "".join(
        f'<tr class="function"><td>{_text(function_text(each.function, each.version))}</td>'
        f"{_figures(each.totals, '')}<td></td></tr>\n"
        for each in step.functions
    )


def _figures(totals: Totals, saved: str) -> str:
    numbers = (
        f"{totals.records:,}",
        f"<span{_bad(totals.failures)}>{totals.failures:,}</span>",
        size_text(totals.size_bytes),
        duration_text(totals.seconds),
        saved,
    )
    shown = "".join(f'<td class="number">{number}</td>' for number in numbers)
    return f'{shown}<td class="moment">{moment_text(totals.last_at)}</td>'


def _runs(report: Report) -> str:
    runs = report.runs
    if not runs:
        return ""
    chart = runs_chart(runs)
    rows = "".join(
        f'<tr><td class="moment">{moment_text(run.started_at_seconds)}</td><td>{_text(title)}</td>'
        f"<td>{_text(run.id)}</td><td{_bad(run.state == 'killed')}>{run.state}</td>"
        + "".join(f'<td class="number">{number}</td>' for number in _run_figures(run.stats))
        + "</tr>\n"
        for title, run in reversed(runs)
    )
    columns = ("started", "index / step", "run", "state", *_RUN_NUMBERS)
    head = "".join(
        f'<th scope="col"{_NUMBER if column in _RUN_NUMBERS else ""}>{column}</th>' for column in columns
    )
    return (
        f'<h2>Runs</h2>\n<p>{_text(str(report.stats))}</p>\n<div class="wide">{chart}</div>\n'
        f'<ul class="legend">{legend()}<li class="faint">{runs_span(runs)}</li></ul>\n<details><summary>The last {count_text(min(len(runs), MOST_RUNS), "run")}'
        f'</summary><div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>'
        f"</details>\n"
    )


def _run_figures(stats: Stats) -> tuple[str, ...]:
    return (
        f"{stats.hits:,}",
        f"{stats.misses:,}",
        f"{stats.failures:,}",
        duration_text(stats.seconds_run),
        duration_text(stats.seconds_saved),
    )


def _failures(report: Report) -> str:
    shown = "".join(
        f"<h3>{_text(step.title)}</h3>\n{''.join(map(_failure, step.failures))}"
        for step in report.steps
        if step.failures
    )
    return f"<h2>Failures</h2>\n{shown}</main>\n" if shown else "</main>\n"


def _failure(group: FailureGroup) -> str:
    example = group.example.failure
    return (
        f'<div class="failure"><p>{_text(group.error)}</p>\n'
        f'<p class="faint">{count_text(group.calls, "call")} of {_text(group.function)}, '
        f"{count_text(group.attempts, 'attempt')}, last {moment_text(group.last_at)}</p>\n"
        f"<details><summary>for example id {_text(example.call_id)}</summary>"
        f"<pre>{escape(example.traceback)}</pre></details></div>\n"
    )
