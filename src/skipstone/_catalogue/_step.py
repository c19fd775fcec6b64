"""Answer questions about one step from its tables, without unpickling or changing anything."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from .._books._failures import failure_of
from .._books._runs import Run, runs_in
from .._encoding._codec import Codec
from .._record import Key, Origin, Record, RecordInfo, is_failure, is_result
from ..stores import Store
from ..stores._local._looking import LookedAtStore
from . import _queries
from ._answers import (
    Bin,
    Bucket,
    CodeSummary,
    FailedCall,
    FailureGroup,
    FunctionSummary,
    Growth,
    Page,
    RecordQuery,
    RunSummary,
    Space,
    Spread,
    StepName,
    StepSummary,
    Totals,
)
from ._errors_alike import pattern_of
from ._scales import EDGES, width_for
from ._tables import ScannedTables, Tables
from ._values import Value, value_of
from ._verify import Verification, verified

_KEYS_AT_ONCE = 500
_FACTS = len(Origin._fields)
_EVERYTHING = RecordQuery()


class _Part(NamedTuple):
    """The totals of one origin."""

    origin: Origin
    totals: Totals


class StepCatalogue:
    """The records and failures of one step. May be used by several threads."""

    def __init__(self, name: StepName, store: Store, tables: Tables, codec: Codec, runs: Store) -> None:
        self.name = name
        self._store = store
        self._tables = tables
        self._codec = codec
        self._runs = runs
        self._known: tuple[object, list[_Part]] = (None, [])
        self._known_runs: tuple[object, list[Run]] = (None, [])

    def close(self) -> None:
        """Close files and connections; the next question asks the store again."""
        self._tables.close()
        self._store.close()
        self._runs.close()
        self._known = (None, [])

    def summary(self) -> StepSummary:
        """Return a summary of the step."""
        parts = self._parts()
        return StepSummary(self.name, len({part.origin.function for part in parts}), _sum(parts))

    def functions(self) -> list[FunctionSummary]:
        """Return a summary of each version of each function, in the order of their names."""
        return [
            FunctionSummary(
                function, version, len({part.origin.code for part in parts if part.totals.records}), _sum(parts)
            )
            for (function, version), parts in self._grouped(lambda origin: (origin.function, origin.version))
        ]

    def codes(self) -> list[CodeSummary]:
        """Return a summary of each fingerprint of each function, the latest last."""
        groups = self._grouped(lambda origin: (origin.function, origin.version, origin.code))
        return sorted(
            (CodeSummary(function, version, code, _sum(parts)) for (function, version, code), parts in groups),
            key=lambda code: (code.function, code.version, code.totals.last_at),
        )

    def runs(self) -> list[RunSummary]:
        """Return a summary of what each process of each run has saved, the latest last."""
        groups = self._grouped(lambda origin: (origin.run, origin.host, origin.process))
        found = [RunSummary(run, host, process, _sum(parts)) for (run, host, process), parts in groups]
        return sorted(found, key=lambda run: run.totals.last_at)

    def recorded_runs(self) -> list[Run]:
        """Return what runs did, including hits, as they have recorded it; the newest last."""
        if not isinstance(self._runs, LookedAtStore):
            return list(runs_in(self._runs))
        if not self._runs.is_there():
            return []
        state, (before, runs) = self._runs.state(), self._known_runs
        # The state of a run that was under way may change without a new record: its process may have died.
        if state != before or any(run.state in ("running", "silent") for run in runs):
            runs = list(runs_in(self._runs))
            self._known_runs = (state, runs)
        return runs

    def state(self) -> object:
        """Return a value that differs once answers may differ."""
        return self._tables.state()

    def copied_at(self) -> float | None:
        """Return when the store was copied; None if the store itself answers each question."""
        return self._tables.copied_at if isinstance(self._tables, ScannedTables) else None

    def _grouped(self, key_of: Callable[[Origin], Any]) -> list[tuple[Any, list[_Part]]]:
        groups: dict[Any, list[_Part]] = defaultdict(list)
        for part in self._parts():
            groups[key_of(part.origin)].append(part)
        return sorted(groups.items())

    def _parts(self) -> list[_Part]:
        state = self._tables.state()
        if state is None or state != self._known[0]:
            rows = self._tables.ask_in_parts(_queries.TOTALS, at_once=_queries.GROUPED_AT_ONCE)
            self._known = (
                self._tables.state() if state is None else state,
                [_part(Origin(*row[:_FACTS]), row[_FACTS:]) for row in rows],
            )
        return self._known[1]

    def records(self, query: RecordQuery = _EVERYTHING, *, after: str | None = None, limit: int = 50) -> Page:
        """Return a page of records.

        Args:
            query: Which records, in which order.
            after: The `following` of the previous page.
            limit: How many records at most.

        Raises:
            ValueError: No page can have this `following`.
        """
        found = self._all(*_queries.page(query, _place_of(after) if after else None, limit))
        rows = sorted(found, key=_place_in_order, reverse=query.descending)[:limit]
        following = json.dumps(rows[-1][-2:]) if len(rows) == limit else None
        return Page([RecordInfo(*row[:-2]) for row in rows], following)

    def count(self, query: RecordQuery = _EVERYTHING) -> int:
        """Return the number of records."""
        return sum(number for (number,) in self._all(*_queries.count(query)))

    def totals(self, query: RecordQuery) -> Totals:
        """Return the totals of records or failures: their number, sizes and durations."""
        if not query.search and query.call_id is None and query.saved_before is None:
            return _sum([part for part in self._parts() if _is_wanted(part.origin, query)])
        count, size_bytes, seconds = _added(self._all(*_queries.sums(query)), 3)
        if query.failures:
            return Totals(failures=count, size_bytes=int(size_bytes))
        return Totals(records=count, size_bytes=int(size_bytes), seconds=seconds)

    def _all(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self._tables.ask_in_parts(query, parameters, at_once=_queries.RECORDS_AT_ONCE)

    def spread(self, query: RecordQuery = _EVERYTHING, *, most_buckets: int = 60) -> Spread:
        """Return the distribution of durations, sizes and times of saving, counted in one pass."""
        saved = _sum([part for part in self._parts() if _is_wanted(part.origin, query)])
        if not saved.records:
            return Spread([], [], Growth(1.0, []))
        width = width_for(saved.last_at - saved.first_at, most_buckets)
        start = saved.first_at // width * width
        moments = [start + number * width for number in range(int((saved.last_at - start) // width) + 1)]
        durations, sizes, records = self._counted({"duration": EDGES, "size": EDGES, "created_at": moments}, query)
        growth = Growth(width, list(map(Bucket, moments, records)))
        return Spread(_bins(durations), _bins(sizes), growth)

    def _counted(self, bars: dict[str, Sequence[float]], query: RecordQuery) -> list[list[int]]:
        """Return for each column how many records belong to each bar."""
        counted = [[0] * len(edges) for edges in bars.values()]
        for texts in self._all(*_queries.letters(bars, query)):
            for counts, letters in zip(counted, texts, strict=True):
                for number, letter in enumerate(_queries.LETTERS[: len(counts)]):
                    counts[number] += (letters or "").count(letter)
        return counted

    def record(self, key: Key) -> RecordInfo | None:
        """Return the description of a record, or None if there is none with this key."""
        info = self._store.infos([key]).get(key)
        return None if info is None else self._codec.shown(info)

    def value(self, key: Key, *, unpickle: bool = False) -> Value:
        """Return the result in a record if loading it runs no code, or with `unpickle` in any case.

        Raises:
            UnsafeStoreError: The result would be unpickled, and others can write to the store.
        """
        record = self._store.get(key)
        if record is None:
            return Value(is_shown=False, value=None, problem="there is no such record")
        return value_of(record, self._store, self._codec, unpickle=unpickle)

    def stored(self, keys: list[Key]) -> dict[Key, Record]:
        """Return records as they are stored, with their payloads."""
        return self._store.get_many(keys)

    def keys(self, query: RecordQuery = _EVERYTHING) -> dict[Key, int]:
        """Return the keys of records, in the order of saving, with the size of each in bytes."""
        return dict(self._tables.ask(*_queries.keys(query)))

    def failures(self, function: str | None = None) -> Iterator[FailedCall]:
        """Yield the calls that raised and have not succeeded since, in the order of saving."""
        keys = list(self.keys(RecordQuery(function=function, failures=True)))
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            infos = self._store.infos(some)
            for key, record in self._store.get_many(some).items():
                opened = self._codec.opened(record)
                if key in infos and opened is not None:
                    yield FailedCall(key, failure_of(self._codec.shown(infos[key]), opened))

    def failure_groups(self, function: str | None = None) -> list[FailureGroup]:
        """Return the failures grouped by function and similar errors, the most frequent first."""
        groups: dict[tuple[str, str], list[FailedCall]] = defaultdict(list)
        for call in self.failures(function):
            groups[call.failure.function, pattern_of(call.failure.error)].append(call)
        found = [_group(*key, calls) for key, calls in groups.items()]
        return sorted(found, key=lambda group: (-group.calls, -group.last_at))

    def verify(self) -> Verification:
        """Read every record, and report those that are not what was saved."""
        return verified(self._store, self._tables, self._codec)

    def space(self) -> Space | None:
        """Return how much room the step takes on a disk of this machine, or None for another store."""
        store = self._store
        if not isinstance(store, LookedAtStore):
            return None
        state = store.state()
        values, values_bytes = _added(self._all(_queries.IN_FILES), 2)
        return Space(state.size_bytes, state.log_bytes, self.free_bytes() or 0, values_bytes, values)

    def free_bytes(self) -> int | None:
        """Return how much compacting gives back to a disk of this machine, or None for another store."""
        if not isinstance(self._store, LookedAtStore):
            return None
        free_pages, page_bytes = self._store.ask(_queries.FREE)[0]
        return int(free_pages * page_bytes)


def _place_of(following: str) -> list[Any]:
    """Return the value and the number of the last record of the previous page."""
    place: Any = json.loads(following)
    match place:
        case [str() | int() | float() as value, int() as number]:
            return [value, number]
        case _:
            message = f"{following!r} is no place between two records"
            raise ValueError(message)


def _place_in_order(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a sort key for a row that orders as SQLite does, since a damaged value may be of any type."""
    value, number = row[-2:]
    rank = 0 if value is None else 1 if isinstance(value, (int, float)) else 2 if isinstance(value, str) else 3
    return (rank, value if rank else 0, number)


def _added(rows: list[Any], columns: int) -> list[Any]:
    """Return the sum of each column."""
    return [sum(row[column] for row in rows) for column in range(columns)]


def _part(origin: Origin, sums: tuple[Any, ...]) -> _Part:
    count, size_bytes, seconds, first_at, last_at = sums
    records = count if is_result(origin.encoding) else 0
    failures = count if is_failure(origin.encoding) else 0
    return _Part(origin, Totals(records, failures, size_bytes, seconds if records else 0.0, first_at, last_at))


def _is_wanted(origin: Origin, query: RecordQuery) -> bool:
    """Tell whether a query may ask for records of this origin."""
    wanted = (
        (query.function, origin.function),
        (query.version, origin.version),
        (query.code, origin.code),
        (query.run, origin.run),
    )
    kind = is_failure if query.failures else is_result
    return kind(origin.encoding) and all(each in (None, there) for each, there in wanted)


def _bins(counts: Sequence[int]) -> list[Bin]:
    """Return the bars from the first to the last that is not empty."""
    bins = list(map(Bin, EDGES, (*EDGES[1:], math.inf), counts))
    filled = [number for number, count in enumerate(counts) if count]
    return bins[filled[0] : filled[-1] + 1] if filled else []


def _sum(parts: list[_Part]) -> Totals:
    totals = Totals()
    for part in parts:
        totals = totals.plus(part.totals)
    return totals


def _group(function: str, error: str, calls: list[FailedCall]) -> FailureGroup:
    moments = [call.failure.failed_at_seconds for call in calls]
    last = max(calls, key=lambda call: call.failure.failed_at_seconds)
    attempts = sum(call.failure.attempts for call in calls)
    return FailureGroup(function, error, len(calls), attempts, min(moments), max(moments), last)
