"""`clear` and `clear_checkpoints`: what is stored is removed, after asking."""

from __future__ import annotations

import re
import time
from typing import Annotated

import typer

from .._catalogue import Catalogue, RecordQuery, StepName
from .._selection import Selection, remove, select, takes_runs
from .._units import plain_text, size_text
from ._bare import clear_all
from ._output import Column, agreed, print_json, print_table, say, warn
from ._status import FAILED
from ._where import (
    ArtifactsOption,
    FunctionOption,
    IndexOption,
    JsonOption,
    StepOption,
    StoreOption,
    place,
    steps,
    whole_name,
)

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("clear", rich_help_panel="Clean up")(clear)
    app.command("clear_checkpoints", hidden=True)(clear_checkpoints)


def clear(
    *,
    store: StoreOption = "",
    artifacts_dir: ArtifactsOption = "",
    index: IndexOption = "",
    step: StepOption = "",
    function: FunctionOption = "",
    call_id: Annotated[str, typer.Option("--id", metavar="ID", help="Only calls with this id.")] = "",
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than", metavar="AGE", help="Only what was saved longer ago than this: 90m, 12h, 30d, 4w."
        ),
    ] = "",
    code: Annotated[
        str, typer.Option("--code", metavar="DIGITS", help="Only results of this code: see show and ls --json.")
    ] = "",
    only_failures: Annotated[
        bool, typer.Option("--failures", help="Only failures, so that they are tried again.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove records and failures: all, or those of an index, step, function, id, age or code. Asks first."""
    catalogue = place(store, artifacts_dir)
    query = RecordQuery(
        call_id=call_id or None,
        code=_code(code) if code else None,
        saved_before=time.time() - _seconds(older_than) if older_than else None,
    )
    found = [
        each
        for name in steps(catalogue, index, step)
        if (
            each := select(catalogue, name, _of(catalogue, name, function, query), only_failures=only_failures)
        ).is_all
        or each.records
        or each.failures
    ]
    if as_json:
        print_json(
            [
                {
                    "index_name": each.step.index_name,
                    "step": each.step.step,
                    "records": len(each.records),
                    "failures": len(each.failures),
                    "size_bytes": each.size_bytes,
                    "removed": not dry_run,
                }
                for each in found
            ]
        )
    else:
        _print(catalogue, found)
    if not found:
        return
    with_runs = any(each.is_all for each in found) and takes_runs(catalogue)
    runs = ", with what is known of the runs of these steps" if with_runs else ""
    if dry_run:
        if not as_json:
            say(f"would be removed{runs}")
        return
    if not yes and not agreed(f"Remove this{runs}?", as_json=as_json):
        warn("nothing was removed")
        raise typer.Exit(FAILED)
    for each in found:
        remove(catalogue, each)
    if not as_json:
        say("removed")


def _of(catalogue: Catalogue, name: StepName, function: str, query: RecordQuery) -> RecordQuery:
    asked = catalogue.step(name)
    try:
        return query._replace(function=whole_name(asked, function))
    finally:
        asked.close()


def _print(catalogue: Catalogue, found: list[Selection]) -> None:
    if not found:
        say("nothing to remove")
        return
    say(f"in {catalogue.shown_place}", "dim")
    print_table(
        [
            Column("index / step"),
            Column("records", is_number=True),
            Column("failures", is_number=True),
            Column("size", is_number=True),
        ],
        [
            [
                each.step.title,
                f"{len(each.records):,}",
                f"{len(each.failures):,}",
                size_text(each.size_bytes),
            ]
            for each in found
        ],
    )


def _seconds(age: str) -> float:
    match = _AGE.fullmatch(age.strip())
    if match is None:
        message = f"{age!r} is no age: a number and s, m, h, d or w, such as 30d"
        raise typer.BadParameter(message, param_hint="--older-than")
    return float(match[1]) * _UNIT_SECONDS[match[2]]


def _code(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError:
        message = f"{plain_text(digits)!r} is no fingerprint: 16 hexadecimal digits"
        raise typer.BadParameter(message, param_hint="--code") from None


def clear_checkpoints(artifacts_dir: Annotated[str, typer.Argument()] = "artifacts") -> None:
    """Remove all checkpoints below a folder, without asking, and nothing else."""
    raise typer.Exit(clear_all(artifacts_dir))
