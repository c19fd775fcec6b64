"""What is asked of one step: answered from its tables; nothing is unpickled, and nothing changes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from .._codec import Codec
from .._failures import failure_of
from .._record import FAILURE, Key, Origin, Record, RecordInfo, is_failure, is_result
from ..stores._looking import LookedAtStore
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
    StepName,
    StepSummary,
    Totals,
)
from ._errors_alike import pattern_of
from ._scales import edges_between, width_for
from ._tables import Tables

_KEYS_AT_ONCE = 500
_FACTS = len(Origin._fields)
_EVERYTHING = RecordQuery()


class _Part(NamedTuple):
    """What the records of one origin come to."""

    origin: Origin
    totals: Totals


class StepCatalogue:
    """The records and failures of one step. May be asked from several threads."""

    def __init__(self, name: StepName, tables: Tables, codec: Codec) -> None:
        self.name = name
        self._tables = tables
        self._codec = codec
        self._known: tuple[object, list[_Part]] = (None, [])

    def close(self) -> None:
        """Let go of files and connections; the next question asks the store again."""
        self._tables.close()
        self._known = (None, [])

    def summary(self) -> StepSummary:
        """Return what the step comes to."""
        parts = self._parts()
        return StepSummary(self.name, len({part.origin.function for part in parts}), _sum(parts))

    def functions(self) -> list[FunctionSummary]:
        """Return what each version of each function comes to, in the order of their names."""
        return [
            FunctionSummary(
                function, version, len({part.origin.code for part in parts if part.totals.records}), _sum(parts)
            )
            for (function, version), parts in self._grouped(lambda origin: (origin.function, origin.version))
        ]

    def codes(self) -> list[CodeSummary]:
        """Return what each code of each function comes to, the latest last."""
        groups = self._grouped(lambda origin: (origin.function, origin.version, origin.code))
        return sorted(
            (CodeSummary(function, version, code, _sum(parts)) for (function, version, code), parts in groups),
            key=lambda code: (code.function, code.version, code.totals.last_at),
        )

    def runs(self) -> list[RunSummary]:
        """Return what each process of each run has stored, the latest last."""
        groups = self._grouped(lambda origin: (origin.run, origin.host, origin.process))
        found = [RunSummary(run, host, process, _sum(parts)) for (run, host, process), parts in groups]
        return sorted(found, key=lambda run: run.totals.last_at)

    def _grouped(self, key_of: Callable[[Origin], Any]) -> list[tuple[Any, list[_Part]]]:
        groups: dict[Any, list[_Part]] = defaultdict(list)
        for part in self._parts():
            groups[key_of(part.origin)].append(part)
        return sorted(groups.items())

    def _parts(self) -> list[_Part]:
        state = self._tables.state()
        if state is None or state != self._known[0]:
            rows = self._tables.ask(_queries.TOTALS)
            self._known = (
                self._tables.state() if state is None else state,
                [_part(Origin(*row[:_FACTS]), row[_FACTS:]) for row in rows],
            )
        return self._known[1]

    def records(self, query: RecordQuery = _EVERYTHING, *, after: str | None = None, limit: int = 50) -> Page:
        """Return a page of records.

        Args:
            query: Which ones, in which order.
            after: The `following` of the page before.
            limit: At most so many.
        """
        rows = self._tables.ask(*_queries.page(query, json.loads(after) if after else None, limit))
        following = json.dumps(rows[-1][-2:]) if len(rows) == limit else None
        return Page([self._codec.shown(RecordInfo(*row[:-2])) for row in rows], following)

    def count(self, query: RecordQuery = _EVERYTHING) -> int:
        """Return how many records there are."""
        return int(self._tables.ask(*_queries.count(query))[0][0])

    def distribution(self, of: Literal["duration", "size"], query: RecordQuery = _EVERYTHING) -> list[Bin]:
        """Return how the durations, in seconds, or the sizes, in bytes, of records are distributed."""
        least, greatest = self._tables.ask(*_queries.range_of(of, query))[0]
        if least is None:
            return []
        edges = edges_between(least, greatest)
        (below,) = self._tables.ask(*_queries.below(of, edges, query))
        counted = zip(edges, edges[1:], below, below[1:], strict=False)
        return [Bin(start, stop, upto - before) for start, stop, before, upto in counted]

    def growth(self, query: RecordQuery = _EVERYTHING, *, most_buckets: int = 60) -> Growth:
        """Return what was saved when, in spans of a second, a minute, an hour and so on."""
        first, last = self._tables.ask(*_queries.range_of("created_at", query))[0]
        if first is None:
            return Growth(1.0, [])
        width = width_for(last - first, most_buckets)
        start = first // width * width
        found = {row[0]: Totals(*row[1:]) for row in self._tables.ask(*_queries.by_time(start, width, query))}
        return Growth(
            width,
            [Bucket(start + number * width, found.get(number, Totals())) for number in range(max(found) + 1)],
        )

    def record(self, key: Key) -> RecordInfo | None:
        """Return what is known of a record, or None where there is none of this key."""
        found = self._tables.infos([key]).get(key)
        return None if found is None else self._codec.shown(found)

    def stored(self, keys: list[Key]) -> dict[Key, Record]:
        """Return records as they are stored, with their payloads."""
        return self._tables.get_many(keys)

    def failures(self, function: str | None = None) -> Iterator[FailedCall]:
        """Yield the calls that raised and have not succeeded since, in the order of saving."""
        keys = [key for (key,) in self._tables.ask(_queries.KEYS_OF_FAILURES, [FAILURE, function])]
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            infos = self._tables.infos(some)
            for key, record in self._tables.get_many(some).items():
                opened = self._codec.opened(record) if key in infos else None
                if opened is not None:
                    yield FailedCall(key, failure_of(self._codec.shown(infos[key]), opened))

    def failure_groups(self, function: str | None = None) -> list[FailureGroup]:
        """Return the failures, grouped by function and by what their errors have in common; the most frequent first."""
        groups: dict[tuple[str, str], list[FailedCall]] = defaultdict(list)
        for call in self.failures(function):
            groups[call.failure.function, pattern_of(call.failure.error)].append(call)
        found = [_group(*key, calls) for key, calls in groups.items()]
        return sorted(found, key=lambda group: (-group.calls, -group.last_at))

    def space(self) -> Space | None:
        """Return what a step on a disk of this machine takes there, or None for another store."""
        store = self._tables
        if not isinstance(store, LookedAtStore):
            return None
        database_bytes, log_bytes = store.state()[-2:]
        free_pages, page_bytes = (
            self._tables.ask(f"PRAGMA {each}")[0][0] for each in ("freelist_count", "page_size")
        )
        values, values_bytes = self._tables.ask(_queries.IN_FILES)[0]
        return Space(database_bytes, log_bytes, free_pages * page_bytes, values_bytes, values)


def _part(origin: Origin, sums: tuple[Any, ...]) -> _Part:
    count, size_bytes, seconds, first_at, last_at = sums
    records = count if is_result(origin.encoding) else 0
    failures = count if is_failure(origin.encoding) else 0
    return _Part(origin, Totals(records, failures, size_bytes, seconds if records else 0.0, first_at, last_at))


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
