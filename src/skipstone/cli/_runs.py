"""`stats` and `watch`: what runs did, and what they are doing."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Annotated, NamedTuple

import typer
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from .._books._runs import Run, RunningMap
from .._books._stats import total
from .._catalogue import Catalogue, StepName
from .._units import count_text, duration_text, moment_text, number_text, plain_text, size_text
from ._output import Column, console, failures_text, print_json, print_table, say
from ._where import ArtifactsOption, IndexOption, JsonOption, StepOption, StoreOption, named, place, steps

_STATE_STYLES = {"running": "green", "killed": "red", "silent": "yellow", "ended": "dim"}


class _Told(NamedTuple):
    step: StepName
    run: Run


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("stats", rich_help_panel="See")(stats)
    app.command("watch", rich_help_panel="See")(watch)


def stats(
    *,
    store: StoreOption = "",
    artifacts_dir: ArtifactsOption = "",
    index: IndexOption = "",
    step: StepOption = "",
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="NUMBER", min=1, help="The most runs to show.")
    ] = 20,
    as_json: JsonOption = False,
) -> None:
    """List what runs did, latest last: hits, misses, failures, and the time and noted numbers spent and saved."""
    catalogue = place(store, artifacts_dir)
    told = _told(catalogue, steps(catalogue, index, step))[-limit:]
    if as_json:
        _print_json(told)
        return
    if not told:
        say("no runs")
        return
    done = total(run.stats for _, run in told)
    notes = sorted({**done.notes_spent, **done.notes_saved})
    numbers = [
        *("saved", "ran"),
        *(f"{name} {what}" for name in notes for what in ("saved", "spent")),
        *(["left alone"] if done.left_alone else []),
        "written",
    ]
    columns = [
        Column("started", style="dim", is_extra=True),
        Column("index / step"),
        Column("state"),
        *(Column(title, is_number=True) for title in ("hits", "misses", "failures")),
        *(Column(title, is_number=True, is_extra=True) for title in numbers),
        Column("run", style="dim", is_extra=True),
    ]
    print_table(columns, [_row(name, run, numbers, notes) for name, run in told])
    say(plain_text(f"\n{count_text(len(told), 'run')}: {done}".lstrip()))


def _print_json(told: Iterable[_Told]) -> None:
    print_json(
        [{"index_name": name.index_name, **run._asdict(), "stats": run.stats.as_dict()} for name, run in told]
    )


def _told(catalogue: Catalogue, names: Iterable[StepName]) -> list[_Told]:
    found: list[_Told] = []
    for name in names:
        asked = catalogue.step(name)
        found += [_Told(name, run) for run in asked.told_runs()]
        asked.close()
    return sorted(found, key=lambda told: told.run.started_at_seconds)


def _row(name: StepName, run: Run, numbers: list[str], notes: list[str]) -> list[str | Text]:
    stats = run.stats
    told = {
        "saved": duration_text(stats.seconds_saved),
        "ran": duration_text(stats.seconds_run),
        "left alone": f"{stats.left_alone:,}",
        "written": size_text(stats.bytes_saved),
    }
    for each in notes:
        told[f"{each} saved"] = number_text(stats.notes_saved.get(each, 0))
        told[f"{each} spent"] = number_text(stats.notes_spent.get(each, 0))
    return [
        moment_text(run.started_at_seconds),
        name.title,
        Text(run.state, _STATE_STYLES[run.state]),
        f"{stats.hits:,}",
        f"{stats.misses:,}",
        failures_text(stats.failures),
        *(told[each] for each in numbers),
        run.id,
    ]


def watch(
    *,
    store: StoreOption = "",
    artifacts_dir: ArtifactsOption = "",
    index: IndexOption = "",
    step: StepOption = "",
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", min=0.1, help="Seconds between two updates.")
    ] = 1.0,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Exit when nothing runs (any more).")] = False,
    as_json: JsonOption = False,
) -> None:
    """Watch the maps that are running: progress, rate, and when they will be done. Ctrl-C exits; the runs go on."""
    catalogue = place(store, artifacts_dir)
    if as_json:
        _print_json(_running(catalogue, index, step))
        return
    out = console()
    if not out.is_terminal:
        _watch_in_lines(catalogue, index, step, every, until_idle=until_idle)
        return
    with Live(_picture(_running(catalogue, index, step)), console=out, auto_refresh=False) as live:
        while True:
            running = _running(catalogue, index, step)
            live.update(_picture(running), refresh=True)
            if until_idle and not running:
                return
            time.sleep(every)


def _watch_in_lines(catalogue: Catalogue, index: str, step: str, every: float, *, until_idle: bool) -> None:
    before: list[str] = []
    while True:
        running = _running(catalogue, index, step)
        lines = [_line(name, run, each) for name, run in running for each in run.maps or (None,)]
        for line in lines:
            if line not in before:
                print(line, flush=True)  # noqa: T201
        before = lines
        if until_idle and not running:
            return
        time.sleep(every)


def _running(catalogue: Catalogue, index: str, step: str) -> list[_Told]:
    return [
        told for told in _told(catalogue, named(catalogue, index, step)) if told.run.state in ("running", "silent")
    ]


def _picture(running: list[_Told]) -> Group:
    if not running:
        return Group(Text("nothing is running", "dim"))
    parts: list[Text | Progress] = []
    for name, run in running:
        title = f"{name.title}  run {run.id} on {run.host}, process {run.process}: {run.state}, {run.stats}"
        parts.append(Text(plain_text(title), "bold" if run.state == "running" else "yellow"))
        bar = Progress(
            TextColumn("  {task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rest]}", markup=False),
            auto_refresh=False,
        )
        for each in run.maps:
            bar.add_task(plain_text(each.function), total=each.total, completed=each.done, rest=_rest(each))
        if run.maps:
            parts.append(bar)
    return Group(*parts)


def _line(name: StepName, run: Run, each: RunningMap | None) -> str:
    where = f"{name.title} {run.id}"
    if each is None:
        return plain_text(f"{where}: {run.stats}")
    of = "" if each.total is None else f" of {each.total:,}"
    return plain_text(f"{where}: {each.function} {each.done:,}{of}, {_rest(each)}")


def _rest(each: RunningMap) -> str:
    told = [count_text(each.workers, "worker")]
    if each.failed:
        told.append(f"{each.failed:,} failed")
    per_second, seconds_left = each.per_second(time.time()), each.seconds_left(time.time())
    if per_second:
        told.append(f"{per_second:,.1f}/s")
    if seconds_left is not None:
        told.append(f"{duration_text(round(seconds_left))} left")
    return ", ".join(told)
