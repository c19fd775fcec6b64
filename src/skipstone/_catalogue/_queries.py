"""What a catalogue asks its tables.

No query sorts or reads more than it must of a million rows: groups are formed by the number of an origin, of which there
are few; a page is the first rows of a sorted whole, which SQLite finds in one pass without sorting the rest; what is
shown of them, it reads for those alone.

Those that read all records are asked of one part after the other, or of several beside one another: their first two
parameters are the first and the last `sequence` of a part, and what all parts answer is put together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ._answers import RecordQuery

PART = "sequence BETWEEN ? AND ?"
TOTALS = f"""
SELECT function, version, encoding, code, run, host, process, records, size, seconds, first_at, last_at
FROM (
    SELECT origin, count(*) AS records, sum(size) AS size, sum(duration) AS seconds,
           min(created_at) AS first_at, max(created_at) AS last_at
    FROM records WHERE {PART} GROUP BY origin
) JOIN origins ON origins.id = origin
"""
IN_FILES = f"SELECT count(*), coalesce(sum(size), 0) FROM records WHERE {PART} AND file IS NOT NULL"
_COLUMNS = {"time": "created_at", "duration": "duration", "size": "size", "id": "call_id"}
_INFO = """
SELECT records.key, function, version, call_id, encoding, code, size, created_at, duration, run, host, process, details
FROM records JOIN origins ON origins.id = records.origin
"""
ALL_KEYS = "SELECT key FROM records ORDER BY sequence"
FREE = "SELECT freelist_count, page_size FROM pragma_freelist_count, pragma_page_size"
FILES = "SELECT file FROM records WHERE file IS NOT NULL"
RECORDS_AT_ONCE = 1 << 18
"""How many records one query reads: more would take more memory."""
GROUPED_AT_ONCE = 1 << 12
"""How many it sorts into groups: so few are sorted fast."""
LETTERS = [chr(number) for number in range(ord("0"), ord("~"))]
"""One for each bar of a chart."""


def page(query: RecordQuery, after: Sequence[Any] | None, limit: int) -> tuple[str, list[Any]]:
    """Return the query for a page of a part, and its parameters; its rows end with what the page after it begins behind."""
    column = _COLUMNS[query.sort]
    order, beyond = ("DESC", "<") if query.descending else ("ASC", ">")
    where, parameters = _where(query)
    if after is not None:
        where += f" AND ({column}, sequence) {beyond} (?, ?)"
        parameters += after
    first = f"SELECT sequence FROM records WHERE {PART} AND {where} ORDER BY {column} {order}, sequence {order} LIMIT ?"
    shown = _INFO.replace("details", f"details, {column}, sequence", 1)
    return f"{shown} WHERE sequence IN ({first})", [*parameters, limit]


def count(query: RecordQuery) -> tuple[str, list[Any]]:
    """Return the query for the number of records, and its parameters."""
    where, parameters = _where(query)
    return f"SELECT count(*) FROM records WHERE {PART} AND {where}", parameters


def sums(query: RecordQuery) -> tuple[str, list[Any]]:
    """Return the query for the number of records, their sizes and durations, and its parameters."""
    where, parameters = _where(query)
    return f"SELECT count(*), total(size), total(duration) FROM records WHERE {PART} AND {where}", parameters


def letters(bars: Mapping[str, Sequence[float]], query: RecordQuery) -> tuple[str, list[Any]]:
    """Return the query for which bars records belong to, and its parameters.

    Its one row has a text for each column, and a letter in it for each record of the part: to count letters takes a
    tenth of what it takes SQLite to sort records into groups.

    Args:
        bars: By the columns, where bars begin, as many as there are letters in `LETTERS` at most.
        query: Which records.
    """
    where, parameters = _where(query)
    texts = ", ".join(f"group_concat({_letter(column, edges)}, '')" for column, edges in bars.items())
    return f"SELECT {texts} FROM records WHERE {PART} AND {where}", parameters


def _letter(column: str, edges: Sequence[float], first: int = 0) -> str:
    """Return an expression for the letter of the bar that a value belongs to, found by halving."""
    if len(edges) == 1:
        return f"'{LETTERS[first]}'"
    half = len(edges) // 2
    below, above = _letter(column, edges[:half], first), _letter(column, edges[half:], first + half)
    return f"CASE WHEN {column} < {edges[half]!r} THEN {below} ELSE {above} END"


def keys(query: RecordQuery) -> tuple[str, list[Any]]:
    """Return the query for keys and sizes, in the order of saving, and its parameters."""
    where, parameters = _where(query)
    return f"SELECT key, size FROM records WHERE {where} ORDER BY sequence", parameters


def _where(query: RecordQuery) -> tuple[str, list[Any]]:
    """Return the condition for what a query asks for, and its parameters."""
    kind = "is_failure(encoding)" if query.failures else "is_result(encoding)"
    wanted = {"function": query.function, "version": query.version, "code": query.code, "run": query.run}
    origins = {f"{name} = ?": value for name, value in wanted.items() if value is not None}
    records = {"call_id = ?": query.call_id, "created_at < ?": query.saved_before}
    if query.search:
        text = query.search.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
        records[r"call_id LIKE ? ESCAPE '\'"] = f"%{text}%"
    given = {condition: value for condition, value in records.items() if value is not None}
    where = f"origin IN (SELECT id FROM origins WHERE {' AND '.join([kind, *origins])})"
    return " AND ".join([where, *given]), [*origins.values(), *given.values()]
