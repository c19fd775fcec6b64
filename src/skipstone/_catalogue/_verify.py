"""Read every record to check that it is what was saved, and look for files that no record names."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .._encoding._codec import Codec, damage_of
from .._errors import StoreUnavailableError
from .._record import Key, Record, size_of
from ..stores import Store
from ..stores._local._looking import LookedAtStore
from . import _queries
from ._tables import Tables

_KEYS_AT_ONCE = 100
_BEING_SAVED_SECONDS = 600
_MOST_PROBLEMS = 1000


class Damage(NamedTuple):
    """A record that is not what was saved."""

    key: Key
    function: str
    call_id: str
    problem: str


class Orphan(NamedTuple):
    """A file of a result that no record names, left by a killed process."""

    path: str
    size_bytes: int


class Verification(NamedTuple):
    """The findings."""

    intact: int
    """The number of intact records of all kinds: results, failures, items of generators, and others."""
    damaged: int
    damages: list[Damage]
    """The first thousand damaged records."""
    orphans: list[Orphan]
    database: list[str]
    """What SQLite finds wrong with the database of a local step."""

    @property
    def is_good(self) -> bool:
        """Whether nothing is damaged; orphans do no harm."""
        return not self.damaged and not self.database


def verified(store: Store, tables: Tables, codec: Codec) -> Verification:
    """Verify all records of a step.

    Raises:
        StoreUnavailableError: The records cannot be read.
    """
    orphans = list(_orphans(store)) if isinstance(store, LookedAtStore) else []
    keys = [key for (key,) in tables.ask(_queries.ALL_KEYS)]
    damages: list[Damage] = []
    damaged = intact = 0
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[start : start + _KEYS_AT_ONCE]
        wrong = {key: problem for key, problem in _problems(store, codec, some) if problem}
        intact += len(some) - len(wrong)
        for key, info in store.infos(list(wrong)).items():  # records that were removed meanwhile are not counted
            damaged += 1
            if len(damages) < _MOST_PROBLEMS:
                damages.append(Damage(key, info.function, codec.shown(info).call_id, wrong[key]))
    return Verification(intact, damaged, damages, orphans, _database(store))


def _problems(store: Store, codec: Codec, keys: Sequence[Key]) -> Iterator[tuple[Key, str]]:
    try:
        records = store.get_many(keys)
    except StoreUnavailableError as error:
        if not isinstance(error.__cause__, PermissionError):
            raise
        if len(keys) == 1:  # its value file belongs to another user
            yield keys[0], f"its value may not be read: {error.__cause__}"
            return
        for key in keys:
            yield from _problems(store, codec, [key])
    else:
        for key in keys:
            yield key, _problem(codec, records.get(key))


def _problem(codec: Codec, record: Record | None) -> str:
    if record is not None and codec.is_intact(record):
        return ""
    if record is None or not size_of(record.payload):
        return "its value is missing, or was cut"
    if not damage_of(record):
        return "it does not bear the signature of a signing_key of the config"
    return "its checksum or signature does not fit"


def _orphans(store: LookedAtStore) -> Iterator[Orphan]:
    there = list(store.value_files())
    named = {name for (name,) in store.ask(_queries.FILES)}
    for name, path in there:
        if name not in named:
            try:
                facts = os.stat(path)
            except FileNotFoundError:  # removed meanwhile
                continue
            if time.time() - facts.st_mtime > _BEING_SAVED_SECONDS:
                yield Orphan(path, facts.st_size)


def _database(store: Store) -> list[str]:
    if not isinstance(store, LookedAtStore):
        return []
    return [text for (text,) in store.ask("PRAGMA integrity_check") if text != "ok"]
