"""Make small tables for notebooks, in the colours of the notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_MARGIN = "margin:.3em 0"
_CELL = "padding:.1em .8em .1em 0;text-align:left;vertical-align:top"
_MUTED = "opacity:.65;font-weight:normal"


def facts(title: str, rows: Iterable[tuple[str, object]]) -> str:
    """Return a title with a table of names and values below it."""
    lines = "".join(
        f'<tr><th scope="row" style="{_CELL};{_MUTED}">{text(name)}</th><td style="{_CELL}">{text(value)}</td></tr>'
        for name, value in rows
    )
    return f'<div style="{_MARGIN}"><strong>{text(title)}</strong><table style="border:0">{lines}</table></div>'


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a title with a table below it; the cells of the rows are HTML."""
    head = "".join(f'<th scope="col" style="{_CELL};{_MUTED}">{text(column)}</th>' for column in columns)
    lines = "".join("<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in row) + "</tr>" for row in rows)
    return (
        f'<div style="{_MARGIN}"><strong>{text(title)}</strong>'
        f'<table style="border:0"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
    )


def folded(summary: str, content: str) -> str:
    """Return a line that unfolds to preformatted text."""
    return (
        f"<details><summary>{text(summary)}</summary>"
        f'<pre style="white-space:pre-wrap;margin:.3em 0">{text(content)}</pre></details>'
    )


def text(value: object) -> str:
    """Return a value as escaped text."""
    from html import escape

    return escape(str(value))
