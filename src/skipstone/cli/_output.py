"""Print what commands find: tables for people, JSON for scripts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .._units import plain_text

_WIDE = 100_000
_FOLDED_CHARACTERS = 24  # a longer text may be folded, but to lines of no less than this
_BETWEEN = 3  # spaces between two columns


def console(*, errors: bool = False) -> Console:
    """Return a console: coloured and as wide as the terminal; elsewhere plain, and as wide as COLUMNS or the content."""
    file = sys.stderr if errors else sys.stdout
    width = None if file.isatty() or os.environ.get("COLUMNS", "").isdecimal() else _WIDE
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def say(text: str = "", style: str = "") -> None:
    """Print a line."""
    console().print(Text(text, style), soft_wrap=True)


def warn(text: str) -> None:
    """Print a line to stderr."""
    console(errors=True).print(Text(f"skipstone: {text}", "red"), soft_wrap=True)


class Column(NamedTuple):
    """A column of a table."""

    title: str
    is_number: bool = False
    style: str = ""
    is_extra: bool = False
    """Whether it may be left out if the terminal is too narrow; the last such column goes first."""


def failures_text(count: int) -> Text:
    """Return a count of failures, in red if there are any."""
    return Text(f"{count:,}", "red") if count else Text("0", "dim")


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str | Text]]) -> None:
    """Print a table; columns that do not fit into the terminal are folded or left out."""
    out = console()
    cells = [[cell if isinstance(cell, Text) else Text(plain_text(cell)) for cell in row] for row in rows]
    shown = _fitting(columns, cells, out.width)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for column in (columns[number] for number in shown):
        is_whole = column.is_number or column.is_extra
        align: Literal["left", "right"] = "right" if column.is_number else "left"
        table.add_column(column.title, justify=align, style=column.style, no_wrap=is_whole, overflow="fold")
    for row in cells:
        table.add_row(*(row[number] for number in shown))
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().splitlines():  # without the padding of the last column
        print(line.rstrip())  # noqa: T201


def _fitting(columns: Sequence[Column], cells: Sequence[Sequence[Text]], width: int) -> list[int]:
    """Return the numbers of the columns that fit."""
    widths = [
        max([len(column.title), *(row[number].cell_len for row in cells)]) for number, column in enumerate(columns)
    ]
    needed = [
        each if column.is_number or column.is_extra else min(each, _FOLDED_CHARACTERS)
        for each, column in zip(widths, columns, strict=True)
    ]
    shown = list(range(len(columns)))
    for number in reversed(range(len(columns))):
        if sum(needed[each] + _BETWEEN for each in shown) <= width:
            break
        if columns[number].is_extra:
            shown.remove(number)
    return shown


def print_json(value: object) -> None:
    """Print a value as JSON: named tuples as objects, bytes such as keys and fingerprints in hexadecimal."""
    text = json.dumps(_plain(value), indent=2, ensure_ascii=not _takes_unicode())
    print(text)  # noqa: T201


def _takes_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _plain(value: Any) -> object:
    names = getattr(value, "_fields", None)
    if names is not None:
        return {name: _plain(each) for name, each in zip(names, value, strict=True)}
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    return value


def print_found(value: object, *, as_json: bool, otherwise: Callable[[], None]) -> None:
    """Print a value as JSON, or else in the way that `otherwise` prints it for people."""
    if as_json:
        print_json(value)
    else:
        otherwise()


def agreed(question: str, *, as_json: bool) -> bool:
    """Ask a question, and tell whether the answer is yes. It is no if there is nobody to ask."""
    if as_json:
        warn("--json does not ask: add --yes or --dry-run")
        return False
    try:
        return typer.confirm(question)
    except typer.Abort:
        say()
        return False
