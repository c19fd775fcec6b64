"""Records from one place to another as they are: export, import, copy. Nothing is decoded on the way.

A generator's items go before the record of its call, so that the record never tells of what is not there; a failure goes
only where the call has no result. Whatever is there already is passed over, so that a transfer that was killed is gone on
with by doing it again.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol, TypeAlias

from . import _log
from ._books._failures import failure_key
from ._books._stream_items import Items, head_key, item_key, items_of, remove_items, token_of
from ._encoding._codec import damage_of
from ._engine._engine import Engine
from ._engine._null_engine import NullEngine
from ._errors import DamagedRecordWarning, warn
from ._naming import shortened
from ._record import ITEMS, Key, Record, RecordInfo, info_of, is_failure, is_result, size_of
from .stores._export import ExportFile
from .stores._tiers import missing_nothing

_AT_ONCE, _FAILURES_AT_ONCE, _MOST_BYTES = 500, 50_000, 16 << 20
_MOST_TOLD = 5

Where: TypeAlias = Callable[[RecordInfo], bool] | None


class Transfer(NamedTuple):
    """What an export, an import or a copy did."""

    results: int = 0
    """How many results were written."""
    failures: int = 0
    """How many failures were written."""
    already_there: int = 0
    """How many results and failures were passed over, because the target had one of the same call."""
    left_out: int = 0
    """How many were left out, because they are damaged or lack the signature or encryption that the config requires."""
    size_bytes: int = 0
    """How many bytes the written results take."""


Transfer.__module__ = "skipstone"  # where it is public


class Source(Protocol):
    """What records come from: a store or an export."""

    def scan(self, *, function: str | None = None) -> Iterator[RecordInfo]:
        """See `Store`."""
        ...

    def get_many(self, keys: Sequence[Key], /) -> dict[Key, Record]:
        """See `Store`."""
        ...


class Target(Source, Protocol):
    """Where records go to."""

    def present(self, keys: Sequence[Key], /) -> set[Key]:
        """See `Store`."""
        ...

    def put_many(self, records: Sequence[Record], /, *, replace: bool = False) -> set[Key]:
        """See `Store`."""
        ...

    def delete(self, keys: Iterable[Key], /) -> int:
        """See `Store`."""
        ...


def export(engine: Engine | NullEngine, path: str, function: str | None, where: Where) -> Transfer:
    """Write records to a file."""
    if isinstance(engine, NullEngine):
        return Transfer()
    wanted = _wanted(engine, where)
    with ExportFile.to_write(path) as file:
        if not _is_still_true(file, engine._store, function, wanted):
            file.begin_anew()
        copying = _Copying(engine._store, file, damage_of, replace=False)
        copying.run(function, wanted)
        file.finish()
    return copying.told(path, engine, [])


def import_(
    engine: Engine | NullEngine, path: str, function: str | None, where: Where, *, replace: bool
) -> Transfer:
    """Write the records of a file to a store."""
    if isinstance(engine, NullEngine):
        return Transfer()
    with ExportFile.to_read(path) as file:
        copying = _Copying(file, engine._store, engine._codec.objection, replace=replace)
        copying.left_out += file.lost
        copying.run(function, _wanted(engine, where))
        return copying.told(path, engine, file.problems)


def copy(
    engine: Engine | NullEngine, other: Engine | NullEngine, function: str | None, where: Where, *, replace: bool
) -> Transfer:
    """Write the records of one store to another."""
    if isinstance(engine, NullEngine) or isinstance(other, NullEngine):
        return Transfer()
    copying = _Copying(engine._store, other._store, other._codec.objection, replace=replace)
    copying.run(function, _wanted(engine, where))
    return copying.told("the copied store", engine, [])


def _wanted(engine: Engine, where: Where) -> Callable[[RecordInfo], bool]:
    shown = engine._codec.shown
    return lambda info: where is None or where(shown(info))


def _is_still_true(
    file: ExportFile, source: Source, function: str | None, wanted: Callable[[RecordInfo], bool]
) -> bool:
    """Tell whether what an earlier export wrote is what this one would write: nothing else, nothing since replaced."""
    written = sum(_is_moved(info) for info in file.scan())
    same = 0
    for some in _blocks(source, function, wanted, _AT_ONCE) if written else ():
        there = file.infos([info.key for info in some])
        same += sum(there.get(info.key) == info for info in some)
    return same == written


def _is_moved(info: RecordInfo) -> bool:
    """Tell whether a record goes by itself: not those of items, nor marks of what another store is to get."""
    return is_result(info.encoding) or is_failure(info.encoding)


def _blocks(
    source: Source, function: str | None, wanted: Callable[[RecordInfo], bool], at_once: int
) -> Iterator[list[RecordInfo]]:
    infos = (info for info in source.scan(function=function) if _is_moved(info) and wanted(info))
    while True:
        with missing_nothing():
            some = list(islice(infos, at_once))
        if not some:
            return
        yield some


class _Copying:
    """One transfer."""

    def __init__(
        self, source: Source, target: Target, objection: Callable[[Record], str], *, replace: bool
    ) -> None:
        self._source = source
        self._target = target
        self._objection = objection
        self._replace = replace
        self.results = self.failures = self.already_there = self.left_out = self.size_bytes = 0
        self._told: list[tuple[RecordInfo, str]] = []

    def run(self, function: str | None, wanted: Callable[[RecordInfo], bool]) -> None:
        """Write all results, then the failures of calls that have none."""
        has_failures = False

        def failed(info: RecordInfo) -> bool:
            return is_failure(info.encoding) and wanted(info)

        for infos in _blocks(self._source, function, wanted, _AT_ONCE):
            results = [info for info in infos if is_result(info.encoding)]
            has_failures |= len(results) < len(infos)
            self._write_results(results)
        if has_failures:
            for infos in _blocks(self._source, function, failed, _FAILURES_AT_ONCE):
                self._write_failures(infos)

    def told(self, source: str, engine: Engine, problems: list[str]) -> Transfer:
        """Say what was left out, and return what was done."""
        done = Transfer(self.results, self.failures, self.already_there, self.left_out, self.size_bytes)
        reasons = problems[:_MOST_TOLD]
        for info, reason in self._told:
            reasons.append(f"{info.function} for id {shortened(engine._codec.shown(info).call_id)!r}: {reason}")
        if reasons:
            what = f"{self.left_out:,} records of {source} were" if self.left_out else f"some of {source} was"
            warn(f"{what} left out: {'; '.join(reasons)}", DamagedRecordWarning)
        _log.info("%s: %s", source, done)
        return done

    def _write_results(self, infos: list[RecordInfo]) -> None:
        failure_keys = {failure_key(info.key): info.key for info in infos}
        there = self._target.present([*failure_keys.values(), *failure_keys])
        for records in self._loaded(infos, there):
            before = self._target.get_many([each.key for each in records if each.key in there])
            changed = [each for each in records if not _is_same(before.get(each.key), each)]
            complete = [each for each in changed if each.origin.encoding != ITEMS or self._has_written_items(each)]
            kept = self._target.put_many(complete, replace=self._replace)
            self.results += len(kept)
            self.already_there += len(records) - len(changed) + len(complete) - len(kept)
            self.size_bytes += sum(_size_of(each) for each in complete if each.key in kept)
            self._remove_old_items([(before[each.key], each) for each in complete if each.key in before])
            self._target.delete(
                [failed for failed, key in failure_keys.items() if failed in there and key in kept]
            )

    def _remove_old_items(self, replaced: list[tuple[Record, Record]]) -> None:
        for old, new in replaced:
            if old.origin.encoding == ITEMS and token_of(old) != token_of(new):
                remove_items(self._target, old.key, token_of(old))

    def _write_failures(self, infos: list[RecordInfo]) -> None:
        keys = {info.key for info in infos}
        succeeded = {
            failed
            for function in {info.function for info in infos}
            for info in self._target.scan(function=function)
            if is_result(info.encoding) and (failed := failure_key(info.key)) in keys
        }
        there = self._target.present([*keys])
        self.already_there += len(succeeded)
        for records in self._loaded([info for info in infos if info.key not in succeeded], there):
            kept = self._target.put_many(records, replace=self._replace)
            self.failures += len(kept)

    def _loaded(self, infos: list[RecordInfo], there: set[Key]) -> Iterator[list[Record]]:
        """Yield those records that are to be written, some megabytes at a time."""
        wanted = infos if self._replace else [info for info in infos if info.key not in there]
        self.already_there += len(infos) - len(wanted)
        for some in _bounded(wanted):
            with missing_nothing():
                found = self._source.get_many([info.key for info in some])
            records: list[Record] = []
            for info in some:
                if info.key not in found:
                    continue  # deleted meanwhile
                # A look-up may leave out what a listing tells.
                record = found[info.key]._replace(
                    call_id=info.call_id, created_at_seconds=info.created_at_seconds, details=info.details
                )
                reason = self._objection(record)
                if reason:
                    self._leave_out(info, reason)
                else:
                    records.append(record)
            yield records

    def _leave_out(self, info: RecordInfo, reason: str) -> None:
        self.left_out += 1
        if len(self._told) < _MOST_TOLD:
            self._told.append((info, reason))

    def _has_written_items(self, record: Record) -> bool:
        """Write the items of an exhausted generator; tell whether all of them are there."""
        try:
            items = items_of(record)
        except struct.error:
            self._leave_out(info_of(record), "it does not tell its items")
            return False
        if all(self._has_written_parts(record, keys) for keys in _keys_of_parts(record.key, items)):
            self.size_bytes += items.size_bytes
            return True
        remove_items(self._target, record.key, items.token)
        self._leave_out(info_of(record), "some of its items are damaged or missing")
        return False

    def _has_written_parts(self, record: Record, keys: list[Key]) -> bool:
        there = self._target.present(keys)
        missing = [key for key in keys if key not in there]
        with missing_nothing():
            found = self._source.get_many(missing)
        parts = [
            part._replace(
                call_id=record.call_id, created_at_seconds=part.created_at_seconds or record.created_at_seconds
            )
            for part in found.values()
            if not self._objection(part)
        ]
        self._target.put_many(parts)
        return len(parts) == len(missing)


def _keys_of_parts(key: Key, items: Items) -> Iterator[list[Key]]:
    """Yield the key by which the items of a call are found, then those of the items, some megabytes at a time."""
    yield [head_key(key)]
    count = items.number + items.has_value
    at_once = max(1, min(_AT_ONCE, _MOST_BYTES // max(1, items.size_bytes // max(1, items.number))))
    for start in range(0, count, at_once):
        yield [item_key(key, items.token, number) for number in range(start, min(count, start + at_once))]


def _bounded(infos: list[RecordInfo]) -> Iterator[list[RecordInfo]]:
    """Yield them in order, as many at a time as have some megabytes together, and at least one."""
    some: list[RecordInfo] = []
    size_bytes = 0
    for info in infos:
        if some and (len(some) == _AT_ONCE or size_bytes + info.size_bytes > _MOST_BYTES):
            yield some
            some, size_bytes = [], 0
        some.append(info)
        size_bytes += info.size_bytes
    if some:
        yield some


def _is_same(one: Record | None, other: Record) -> bool:
    return one is not None and (one.checksum, one.origin, _size_of(one)) == (
        other.checksum,
        other.origin,
        _size_of(other),
    )


def _size_of(record: Record) -> int:
    return size_of(record.payload)
