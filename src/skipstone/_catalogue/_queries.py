"""The SQL of a catalogue.

No query sorts or reads more of a million rows than it must. Groups are formed by the number of an origin, of which
there are few. A page is the first rows in some order, which SQLite finds in one pass without sorting the rest, and only
for these rows does it read what is shown.

A query that reads all records is run on one part of them after another, or on several at the same time. Its first two
parameters are the first and the last `sequence` of a part, and the answers for all parts are combined.
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
"""How many records one query reads; more would take more memory."""
GROUPED_AT_ONCE = 1 << 12
"""How many records one query groups; more would take longer to sort."""
LETTERS = [chr(number) for number in range(ord("0"), ord("~"))]
"""A letter for each bar of a chart."""


def page(query: RecordQuery, after: Sequence[Any] | None, limit: int) -> tuple[str, list[Any]]:
    """Return the query for a page of a part, and its parameters; rows end with their place, for the next page."""
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
    """Return the query for the bars that records belong to, and its parameters.

    Its only row has a text for each column, with a letter for each record of the part. Counting letters takes a tenth
    of the time that SQLite takes to group records.

    Args:
        bars: Where bars begin, for each column; at most as many as there are `LETTERS`.
        query: Which records to count.
    """
    where, parameters = _where(query)
    texts = ", ".join(f"group_concat({_letter(column, edges)}, '')" for column, edges in bars.items())
    return f"SELECT {texts} FROM records WHERE {PART} AND {where}", parameters


def _letter(column: str, edges: Sequence[float], first: int = 0) -> str:
    """Return an expression for the letter of the bar that a value belongs to, found by bisection."""
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
    """Return the condition for the records that a query asks for, and its parameters."""
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
