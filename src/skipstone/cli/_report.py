"""`report`: what is stored, in one file."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import Annotated

import typer

from .._report import as_html, as_markdown, gathered
from ._output import say, warn
from ._status import FAILED, WRONG_USE
from ._where import ArtifactsOption, IndexOption, StepOption, StoreOption, place, steps

_MARKDOWN_ENDS = (".md", ".markdown")


class Format(StrEnum):
    """What a report is written as."""

    html = "html"
    md = "md"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report", rich_help_panel="See")(report)


def report(
    *,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The file to write; - is standard output.")
    ] = "report.html",
    chosen: Annotated[
        Format | None, typer.Option("--format", help="By default what the file's name says, otherwise html.")
    ] = None,
    title: Annotated[
        str, typer.Option("--title", metavar="TEXT", help="The title of the report.")
    ] = "Checkpoints",
    store: StoreOption = "",
    artifacts_dir: ArtifactsOption = "",
    index: IndexOption = "",
    step: StepOption = "",
) -> None:
    """Write one file with what is stored, what runs did and what failed: self-contained HTML, or Markdown."""
    catalogue = place(store, artifacts_dir)
    made = gathered(catalogue, steps(catalogue, index, step), title)
    is_markdown = chosen is Format.md or (chosen is None and output.lower().endswith(_MARKDOWN_ENDS))
    text = as_markdown(made) if is_markdown else as_html(made)
    if output == "-":
        sys.stdout.write(text)
        return
    if os.path.isdir(output):
        warn(f"{output} is a folder: name a file")
        raise typer.Exit(WRONG_USE)
    try:
        with open(output, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError as error:
        warn(f"cannot write {output}: {error.strerror}")
        raise typer.Exit(FAILED) from None
    say(f"wrote {output}")
