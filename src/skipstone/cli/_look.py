"""`ls`, `records` and `failures`: what is stored. They change nothing."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from .._catalogue import FailureGroup, FunctionSummary, RecordQuery, StepName, StepSummary, Totals
from .._errors import StoreError
from .._record import RecordInfo
from .._units import count_text, duration_text, function_text, moment_text, plain_lines, plain_text, size_text
from ._output import Column, failures_text, print_json, print_table, say, told, warn
from ._where import (
    ArtifactsOption,
    FunctionOption,
    IndexOption,
    JsonOption,
    StepOption,
    StoreOption,
    asked_of,
    place,
    steps,
)

_FIGURES = (
    Column("records", is_number=True),
    Column("failures", is_number=True),
    Column("size", is_number=True),
    Column("time stored", is_number=True, is_extra=True),
    Column("last saved", style="dim", is_extra=True),
)


class Sort(StrEnum):
    """In which order records are listed."""

    time = "time"
    duration = "duration"
    size = "size"
    id = "id"


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("ls", rich_help_panel="See")(ls)
    app.command("records", rich_help_panel="See")(records)
    app.command("failures", rich_help_panel="See")(failures)


def ls(
    *,
    store: StoreOption = "",
    artifacts_dir: ArtifactsOption = "",
    index: IndexOption = "",
    step: StepOption = "",
    only_steps: Annotated[bool, typer.Option("--steps", help="Leave out the functions.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List what is stored: indexes, steps and functions."""
    catalogue = place(store, artifacts_dir)
    found: list[tuple[StepSummary, list[FunctionSummary]]] = []
    for name in steps(catalogue, index, step):
        asked = catalogue.step(name)
        try:
            found.append((asked.summary(), asked.functions()))
        except StoreError as error:
            found.append((StepSummary(name, 0, Totals(), str(error)), []))
        finally:
            asked.close()
    if as_json:
        print_json([{**summary._asdict(), "functions": functions} for summary, functions in found])
        return
    if not found:
        return
    rows: list[list[str | Text]] = []
    for summary, functions in found:
        title = Text(plain_text(summary.name.title), "bold")
        rows.append([title, *_figures(summary.totals)])
        if not only_steps:
            rows.extend(
                [f"  {function_text(each.function, each.version)}", *_figures(each.totals)] for each in functions
            )
    say(catalogue.shown_place, "dim")
    print_table([Column("index / step"), *_FIGURES], rows)
    for summary, _ in found:
        if summary.problem:
            say(plain_text(summary.problem), "red")


def _figures(totals: Totals) -> list[str | Text]:
    return [
        f"{totals.records:,}",
        failures_text(totals.failures),
        size_text(totals.size_bytes),
        duration_text(totals.seconds),
        moment_text(totals.last_at),
    ]


def records(
    search: Annotated[str, typer.Argument(metavar="TEXT", help="A text that the call id contains.")] = "",
    *,
    store: StoreOption = "",
    artifacts_dir: ArtifactsOption = "",
    index: IndexOption = "",
    step: StepOption = "",
    function: FunctionOption = "",
    run: Annotated[str, typer.Option("--run", metavar="ID", help="Only records that this run saved.")] = "",
    sort: Annotated[Sort, typer.Option("--sort", help="The order of the list.")] = Sort.time,
    ascending: Annotated[bool, typer.Option("--ascending", "-a", help="Smallest or oldest first.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="NUMBER", min=1, help="The most records to show per step.")
    ] = 20,
    as_json: JsonOption = False,
) -> None:
    """List records: the latest, slowest or largest, or those whose id contains a text."""
    catalogue = place(store, artifacts_dir)
    asked_for = RecordQuery(search=search, run=run or None, sort=sort.value, descending=not ascending)
    found: list[tuple[StepName, list[RecordInfo], int]] = []
    for asked, whole in asked_of(catalogue, index, step, function):
        query = asked_for._replace(function=whole)
        found.append((asked.name, asked.records(query, limit=limit).records, asked.count(query)))
    if as_json:
        print_json(
            [
                {"index_name": name.index_name, "step": name.step, **record._asdict()}
                for name, listed, _ in found
                for record in listed
            ]
        )
        return
    if found and not any(count for _, _, count in found):
        say("no such records")
    for name, listed, count in found:
        if not count:
            continue
        _title(name, count_text(count, "record"))
        print_table(_RECORD_COLUMNS, [_record_row(record) for record in listed])


_RECORD_COLUMNS = (
    Column("id"),
    Column("function"),
    Column("took", is_number=True),
    Column("size", is_number=True),
    Column("saved", style="dim", is_extra=True),
    Column("key", style="dim", is_extra=True),
)


def _record_row(record: RecordInfo) -> list[str]:
    return [
        record.call_id,
        record.function,
        duration_text(record.duration_seconds),
        size_text(record.size_bytes),
        moment_text(record.created_at_seconds),
        record.key.hex()[:12],
    ]


def _title(name: StepName, what: str) -> None:
    say(plain_text(f"{name.title}: {what}"), "bold")


def failures(
    *,
    store: StoreOption = "",
    artifacts_dir: ArtifactsOption = "",
    index: IndexOption = "",
    step: StepOption = "",
    function: FunctionOption = "",
    traceback: Annotated[
        bool, typer.Option("--traceback", "-t", help="Print the last traceback of each group.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the calls that raised and have not succeeded since, grouped by their errors."""
    catalogue = place(store, artifacts_dir)
    found: list[tuple[StepName, list[FailureGroup]]] = []
    unread = 0
    for asked, whole in asked_of(catalogue, index, step, function):
        groups = asked.failure_groups(whole)
        count = asked.count(RecordQuery(function=whole, failures=True))
        unread += max(0, count - sum(group.calls for group in groups))
        found.append((asked.name, groups))
    if unread:
        warn(
            f"{count_text(unread, 'failure')} cannot be read: damaged, or encrypted or signed with a key that is none of the settings"
        )
    told(
        [
            {"index_name": name.index_name, "step": name.step, **group._asdict()}
            for name, groups in found
            for group in groups
        ],
        as_json=as_json,
        otherwise=lambda: _print_failures(found, traceback=traceback, unread=unread),
    )


def _print_failures(found: list[tuple[StepName, list[FailureGroup]]], *, traceback: bool, unread: int) -> None:
    if not unread and not any(groups for _, groups in found):
        say("no failures")
    for name, groups in found:
        if not groups:
            continue
        _title(name, count_text(sum(group.calls for group in groups), "call failed", "calls failed"))
        for group in groups:
            example = group.example.failure
            say()
            say(plain_text(group.error), "red")
            say(
                f"  {count_text(group.calls, 'call')} of {plain_text(group.function)}, "
                f"{count_text(group.attempts, 'attempt')}, last {moment_text(group.last_at)}"
            )
            say(f"  for example id {plain_text(example.call_id)}: {plain_text(example.error)}")
            if traceback:
                say(plain_lines(example.traceback), "dim")
        say()
