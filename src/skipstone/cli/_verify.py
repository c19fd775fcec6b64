"""`verify`: is everything that is stored what was saved?"""

from __future__ import annotations

import typer

from .._catalogue import StepName, Totals, Verification
from .._units import count_text, plain_text, size_text
from ._output import print_json, say
from ._status import FOUND_WRONG
from ._where import ArtifactsOption, IndexOption, JsonOption, StepOption, StoreOption, place, steps

_MOST_TOLD = 20


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify", rich_help_panel="Check")(verify)


def verify(
    *,
    store: StoreOption = "",
    artifacts_dir: ArtifactsOption = "",
    index: IndexOption = "",
    step: StepOption = "",
    as_json: JsonOption = False,
) -> None:
    """Read every record and check its checksum or signature; find files that no record names. Exit status 3: damage."""
    catalogue = place(store, artifacts_dir)
    found: list[tuple[StepName, Verification]] = []
    for name in steps(catalogue, index, step):
        asked = catalogue.step(name)
        found.append((name, asked.verify()))
        if not as_json:
            _print(name, found[-1][1], asked.summary().totals)
        asked.close()
    if as_json:
        print_json(
            [
                {"index_name": name.index_name, "step": name.step, "is_good": each.is_good, **each._asdict()}
                for name, each in found
            ]
        )
    if not all(each.is_good for _, each in found):
        raise typer.Exit(FOUND_WRONG)


def _print(name: StepName, found: Verification, totals: Totals) -> None:
    title = plain_text(name.title)
    if found.is_good:
        what = f"{count_text(totals.records, 'record')} and {count_text(totals.failures, 'failure')}"
        say(f"{title}: {what} intact", "green")
    else:
        all_kinds = f"{found.damaged + found.intact:,} records of all kinds"
        say(f"{title}: {found.damaged:,} of {all_kinds} are damaged, or signed with another key", "red")
    for text in found.database:
        say(f"  the database: {plain_text(text)}", "red")
    for damage in found.damages[:_MOST_TOLD]:
        whose = f" for id {damage.call_id}" if damage.call_id else ", what is known of its code"
        say(plain_text(f"  {damage.function}{whose}: {damage.problem}"))
    if found.damaged > _MOST_TOLD:
        say(f"  and {found.damaged - _MOST_TOLD:,} more")
    if found.orphans:
        size = size_text(sum(orphan.size_bytes for orphan in found.orphans))
        say(
            f"  {count_text(len(found.orphans), 'file')} of {size} that no record names, left by a killed process",
            "yellow",
        )
