"""`gc`: what is of no use any more is removed."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from .._books._upkeep import Cleanup
from .._catalogue import StepName
from .._selection import opened
from .._units import plain_text, size_text
from ._output import Column, agreed, print_json, print_table, say, warn
from ._status import FAILED
from ._where import ArtifactsOption, IndexOption, JsonOption, StepOption, StoreOption, place, steps

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gc", rich_help_panel="Clean up")(gc)


def gc(
    *,
    store: StoreOption = "",
    artifacts_dir: ArtifactsOption = "",
    index: IndexOption = "",
    step: StepOption = "",
    max_bytes: Annotated[
        str,
        typer.Option(
            "--max-bytes",
            metavar="SIZE",
            help="Also remove the least recently used results, until those of each step take no more than this: 500MB, 10G.",
        ),
    ] = "",
    compact: Annotated[
        bool, typer.Option("--compact", help="Give free room back to the file system, which may take long.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before results are evicted.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove expired results, what killed processes left behind, and old runs. Asks before it evicts results."""
    catalogue = place(store, artifacts_dir)
    most = _bytes(max_bytes) if max_bytes else None
    found = [(name, catalogue.would_remove(name, max_bytes=most)) for name in steps(catalogue, index, step)]
    if not dry_run:
        if any(each.evicted for _, each in found) and not yes:
            if not as_json:
                _print(found)
            if not agreed("Evict these results?", as_json=as_json):
                warn("nothing was removed")
                raise typer.Exit(FAILED)
        done: list[tuple[StepName, Cleanup]] = []
        for name, _ in found:
            with opened(catalogue, name) as checkpoint:
                done.append((name, checkpoint.gc(max_bytes=most, compact=compact)))
        found = done
    if as_json:
        print_json(
            [
                {"index_name": name.index_name, "step": name.step, **each._asdict(), "removed": not dry_run}
                for name, each in found
            ]
        )
    elif found:
        _print(found)
        say("would be removed" if dry_run else "removed")


def _print(found: list[tuple[StepName, Cleanup]]) -> None:
    titles = ("expired", "evicted", "orphans", "old runs", "size")
    print_table(
        [Column("index / step"), *(Column(title, is_number=True) for title in titles)],
        [
            [
                plain_text(name.title),
                *(f"{count:,}" for count in (each.expired, each.evicted, each.orphans, each.runs)),
                size_text(each.size_bytes),
            ]
            for name, each in found
        ],
    )


def _bytes(text: str) -> float:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        message = f"{plain_text(text)!r} is no size: a number and k, M, G or T, such as 500MB"
        raise typer.BadParameter(message, param_hint="--max-bytes")
    return float(match[1]) * _UNITS[match[2]]
