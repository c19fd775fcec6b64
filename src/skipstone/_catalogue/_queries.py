"""What a catalogue asks its tables.

No query sorts or reads more than it must of a million rows: groups are formed by the number of an origin, of which there
are few; a page is the first rows of a sorted whole, which SQLite finds in one pass without sorting the rest; what is
shown of them, it reads for those alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._answers import RecordQuery

TOTALS = """
SELECT function, version, encoding, code, run, host, process, records, size, seconds, first_at, last_at
FROM (
    SELECT origin, count(*) AS records, sum(size) AS size, sum(duration) AS seconds,
           min(created_at) AS first_at, max(created_at) AS last_at
    FROM records GROUP BY origin
) JOIN origins ON origins.id = origin
"""
IN_FILES = "SELECT count(*), coalesce(sum(size), 0) FROM records WHERE file IS NOT NULL"
_COLUMNS = {"time": "created_at", "duration": "duration", "size": "size", "id": "call_id"}
_INFO = """
SELECT records.key, function, version, call_id, encoding, code, size, created_at, duration, run, host, process, details
FROM records JOIN origins ON origins.id = records.origin
"""
ALL_KEYS = "SELECT key FROM records ORDER BY sequence"
FILES = "SELECT file FROM records WHERE file IS NOT NULL"


def page(query: RecordQuery, after: Sequence[Any] | None, limit: int) -> tuple[str, list[Any]]:
    """Return the query for a page, and its parameters; its rows end with what the page after it begins behind."""
    column = _COLUMNS[query.sort]
    order, beyond = ("DESC", "<") if query.descending else ("ASC", ">")
    where, parameters = _where(query)
    if after is not None:
        where += f" AND ({column}, sequence) {beyond} (?, ?)"
        parameters += after
    first = f"SELECT sequence FROM records WHERE {where} ORDER BY {column} {order}, sequence {order} LIMIT ?"
    shown = _INFO.replace("details", f"details, {column}, sequence", 1)
    return (
        f"{shown} WHERE sequence IN ({first}) ORDER BY {column} {order}, sequence {order}",
        [*parameters, limit],
    )


def count(query: RecordQuery) -> tuple[str, list[Any]]:
    """Return the query for the number of records, and its parameters."""
    where, parameters = _where(query)
    return f"SELECT count(*) FROM records WHERE {where}", parameters


def sums(query: RecordQuery) -> tuple[str, list[Any]]:
    """Return the query for the number of records, their sizes and durations, and its parameters."""
    where, parameters = _where(query)
    return f"SELECT count(*), total(size), total(duration) FROM records WHERE {where}", parameters


def range_of(column: str, query: RecordQuery) -> tuple[str, list[Any]]:
    """Return the query for the least and the greatest value, and its parameters."""
    where, parameters = _where(query)
    return f"SELECT min({column}), max({column}) FROM records WHERE {where}", parameters


def below(column: str, edges: Sequence[float], query: RecordQuery) -> tuple[str, list[Any]]:
    """Return the query for how many records are below each edge, and its parameters."""
    where, parameters = _where(query)
    counts = ", ".join([f"count(*) FILTER (WHERE {column} < ?)"] * len(edges))
    return f"SELECT {counts} FROM records WHERE {where}", [*edges, *parameters]


def by_time(start: float, width: float, query: RecordQuery) -> tuple[str, list[Any]]:
    """Return the query for what was saved in each span of time, and its parameters."""
    where, parameters = _where(query)
    sums = "count(*), 0, sum(size), sum(duration), min(created_at), max(created_at)"
    return (
        f"SELECT CAST((created_at - ?) / ? AS INTEGER) AS bucket, {sums} FROM records WHERE {where} GROUP BY bucket",
        [start, width, *parameters],
    )


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
