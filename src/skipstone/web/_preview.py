"""Prepare a result for a page: as text, JSON, a table, an image, or the shape and distribution of an array."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pprint import pformat
from typing import Any, Literal, NamedTuple

from .._catalogue import Bin, Value
from .._report._pictures import distribution_chart
from .._units import number_text, size_text

_MOST_CHARACTERS = 50_000
_MOST_ROWS, _MOST_COLUMNS, _MOST_CELL = 100, 20, 200
_MOST_BYTES_SHOWN = 512
_LEAST_NUMBERS = 4
_BINS = 32
_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"RIFF": "image/webp",
}


class Table(NamedTuple):
    """The first rows of a table, as texts."""

    columns: list[str]
    rows: list[list[str]]
    more_rows: int
    more_columns: int


class Preview(NamedTuple):
    """What is shown of a result."""

    kind: Literal["none", "text", "json", "table", "array", "image"]
    text: str = ""
    """The result, or why it is not shown."""
    is_cut: bool = False
    """Whether there is more text."""
    table: Table = Table([], [], 0, 0)
    facts: tuple[tuple[str, str], ...] = ()
    chart: str = ""


def preview_of(value: Value) -> Preview:
    """Return what is shown of a result."""
    if not value.is_shown:
        return Preview("none", text=value.problem)
    result = value.value
    if isinstance(result, str):
        return _text("text", result)
    if isinstance(result, (bytes, bytearray)):
        return _bytes(bytes(result))
    shape = _shape(result)
    if shape and math.prod(shape) >= _LEAST_NUMBERS:
        return _array(result, shape)
    table = _table(result)
    return _json(result) if table is None else _json(result)._replace(kind="table", table=table)


def image_kind(value: object) -> str | None:
    """Return the media type of an image, given its first bytes; None if it is not one that browsers show."""
    if not isinstance(value, bytes):
        return None
    kind = next((kind for magic, kind in _MAGIC.items() if value.startswith(magic)), None)
    return None if kind == "image/webp" and value[8:12] != b"WEBP" else kind


def _text(kind: Literal["text", "json"], text: str) -> Preview:
    return Preview(kind, text[:_MOST_CHARACTERS], is_cut=len(text) > _MOST_CHARACTERS)


def _json(result: object) -> Preview:
    encoder = json.JSONEncoder(indent=2, ensure_ascii=False, default=str)
    try:  # piece by piece, and no more pieces than are shown, since a large result would take seconds
        return _text("json", "".join(itertools.islice(encoder.iterencode(result), _MOST_CHARACTERS)))
    except (TypeError, ValueError):  # a map with keys that JSON does not have
        return _text("json", pformat(result, width=100))


def _bytes(result: bytes) -> Preview:
    kind = image_kind(result)
    if kind is not None:
        return Preview("image", facts=(("kind", kind), ("size", size_text(len(result)))))
    return Preview("text", result[:_MOST_BYTES_SHOWN].hex(" ", 2), facts=(("bytes", f"{len(result):,}"),))


def _shape(value: Any) -> tuple[int, ...] | None:
    """Return the shape of nested lists of numbers, or None if they are not an array."""
    if not isinstance(value, list) or not value:
        return None
    if all(type(item) in (int, float) for item in value):
        return (len(value),)
    inner = _shape(value[0])
    return None if inner is None or any(_shape(item) != inner for item in value) else (len(value), *inner)


def _numbers(value: list[Any]) -> Iterator[float]:
    for item in value:
        if isinstance(item, list):
            yield from _numbers(item)
        else:
            yield float(item)


def _array(value: list[Any], shape: tuple[int, ...]) -> Preview:
    numbers = list(_numbers(value))
    finite = [each for each in numbers if math.isfinite(each)]
    facts = [("shape", " × ".join(f"{each:,}" for each in shape))]  # noqa: RUF001
    if finite:
        facts += [
            ("least", number_text(min(finite))),
            ("mean", number_text(math.fsum(finite) / len(finite))),
            ("greatest", number_text(max(finite))),
        ]
    if len(finite) < len(numbers):
        facts.append(("not finite", f"{len(numbers) - len(finite):,}"))
    chart = distribution_chart(
        _histogram(finite),
        number_text,
        label="how the numbers are distributed",
        what="number",
        width=420,
        height=110,
    )
    return _json(value)._replace(kind="array", facts=tuple(facts), chart=chart)


def _histogram(finite: Sequence[float]) -> list[Bin]:
    """Return bars of equal width."""
    if not finite:
        return []
    least, greatest = min(finite), max(finite)
    width = (greatest - least) / _BINS
    if not width or not math.isfinite(width):
        return [Bin(least, greatest, len(finite))]
    counts = [0] * _BINS
    for each in finite:
        counts[min(int((each - least) / width), _BINS - 1)] += 1
    return [Bin(least + place * width, least + (place + 1) * width, count) for place, count in enumerate(counts)]


def _table(value: Any) -> Table | None:
    """Return a list of maps with texts as keys, or a map of lists of one length, as a table."""
    if isinstance(value, dict):
        lists = list(value.values())
        lengths = {len(each) if isinstance(each, list) else -1 for each in lists}
        if len(lengths) != 1 or not lengths - {-1, 0}:
            return None
        rows = [dict(zip(value, row, strict=True)) for row in zip(*lists, strict=True)]
    else:
        rows = value
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and row for row in rows):
        return None
    columns = list(dict.fromkeys(str(name) for row in rows[:_MOST_ROWS] for name in row))
    shown = [[_cell(row.get(name)) for name in columns[:_MOST_COLUMNS]] for row in rows[:_MOST_ROWS]]
    return Table(columns[:_MOST_COLUMNS], shown, len(rows) - len(shown), max(0, len(columns) - _MOST_COLUMNS))


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _MOST_CELL else f"{text[:_MOST_CELL]}…"
