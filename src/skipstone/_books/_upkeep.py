"""What is of no use any more, removed: results that expired, those used least recently, and what nobody owns.

Nothing is removed because somebody looks or loads. What is removed was found in one pass over the listing, and is looked at
once more right before it goes: what was replaced meanwhile stays.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from .._encoding._codec import Codec
from .._encoding._encryption import MARK_OF_TEXTS
from .._html import facts
from .._packing import map_in
from .._record import EXPIRES, ITEM, ITEMS, Key, RecordInfo, is_result
from ..stores import Store
from ..stores._leftovers import HasLeftovers, Leftovers
from ..stores._sifting import Sieve, Sifts
from ._contents import Contents
from ._eviction import Result, least_used, number_that_would_go
from ._runs import Runs, prune, runs_in
from ._stream_items import head_key, item_key, items_of
from ._uses import Uses

T = TypeVar("T")

_GRACE_SECONDS = 3600.0
_KEYS_AT_ONCE = 500
_EXPIRES = EXPIRES.encode()


class Cleanup(NamedTuple):
    """What `Checkpoint.gc` has removed, or would remove."""

    expired: int
    """Results that were older than `expires_seconds`."""
    evicted: int
    """The least recently used results, removed because of `max_bytes`."""
    orphans: int
    """Items of generators that no call owns, and files that no record names: what killed processes left behind."""
    runs: int
    """Runs that ended long ago."""
    size_bytes: int
    """How many bytes all of these took, without the runs."""

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.expired:,} expired, {self.evicted:,} evicted, {self.orphans:,} orphans, {self.runs:,} old runs: "
            f"{self.size_bytes:,} bytes"
        )

    def _repr_html_(self) -> str:
        return facts("removed", [(name.replace("_", " "), f"{count:,}") for name, count in self._asdict().items()])


class _Found:
    """What a pass over the listing has found."""

    def __init__(self) -> None:
        self.kept: list[Result] = []
        self.expired: list[Result] = []
        self.items: dict[Key, Result] = {}
        self.runs: dict[str, list[Key]] = {}
        """The keys of items, by the run that made them."""
        self.generators: list[Key] = []


class Upkeep:
    """Removes what is of no use from the store of a step."""

    def __init__(self, store: Store, codec: Codec, runs: Runs, uses: Uses | None) -> None:
        self._store = store
        self._codec = codec
        self._contents = Contents(store, codec)
        self._runs = runs
        self._uses = uses or Uses()

    def clean(
        self,
        expires_seconds: float | None,
        max_bytes: float | None,
        *,
        compact: bool = False,
        dry_run: bool = False,
    ) -> Cleanup:
        """Remove what is of no use, or tell what would be removed.

        Raises:
            StoreError: The store does not work.
        """
        runs, would_go, evicted = self._runs.store(), (0, 0), list[Result]()
        sifting = self._store.sifting() if isinstance(self._store, Sifts) else None
        has_room = max_bytes is None or (not dry_run and sifting is not None and sifting.size_bytes() <= max_bytes)
        if self._codec.encrypts:
            sifting = None  # the details hide their words
        sieve = _sieve(expires_seconds)
        infos = sifting.sift(sieve) if sifting is not None and (has_room or dry_run) else self._store.scan()
        found = self._find(expires_seconds, infos)
        owned = self._look_into_generators(found)
        if max_bytes is not None and not has_room:
            if sifting is not None and dry_run:  # it counts, without a look at each result
                would_go = number_that_would_go(sifting, sieve, found.kept, self._uses.told(runs), max_bytes)
            else:
                keys = {result.key for result in found.kept}
                uses = self._uses.told(runs) if dry_run else self._uses.tell(runs, keys)
                evicted = least_used(found.kept, uses, sum(each.size_bytes for each in found.kept) - max_bytes)
        elif max_bytes is not None:
            self._uses.tell(runs)
        orphans = self._orphans(
            found, owned, {run.id for run in runs_in(runs) if run.state in ("running", "silent")}
        )
        files = Leftovers(0, 0)
        if isinstance(self._store, HasLeftovers):
            files = self._store.remove_leftovers(older_than_seconds=_GRACE_SECONDS, dry_run=dry_run)
        expired = found.expired
        if not dry_run:
            expired, evicted = self._forget(expired), self._forget(evicted)
            self._store.delete([each.key for each in orphans])
            if compact and isinstance(self._store, HasLeftovers):
                self._store.compact()
        size_bytes = (
            sum(each.size_bytes for each in (*expired, *evicted, *orphans)) + files.size_bytes + would_go[1]
        )
        old_runs = prune(runs, dry_run=dry_run)
        return Cleanup(len(expired), len(evicted) + would_go[0], len(orphans) + files.number, old_runs, size_bytes)

    def _find(self, expires_seconds: float | None, infos: Iterable[RecordInfo]) -> _Found:
        """Look through all records, or those that may be of no use."""
        found, now = _Found(), time.time()
        for info in infos:
            result = Result(info.created_at_seconds, info.size_bytes, info.key)
            if info.encoding.startswith(ITEM):
                found.items[info.key] = result
                found.runs.setdefault(info.run, []).append(info.key)
            elif is_result(info.encoding):
                seconds = self._expires_seconds(info, expires_seconds)
                is_old = seconds is not None and now - info.created_at_seconds > seconds
                (found.expired if is_old else found.kept).append(result)
                if info.encoding == ITEMS:
                    found.generators.append(info.key)
        return found

    def _expires_seconds(self, info: RecordInfo, expires_seconds: float | None) -> float | None:
        """Return how old a record may be: as its function's decorator said when it was made, or else as the config says."""
        shown = self._codec.shown(info)
        if shown.call_id.startswith(MARK_OF_TEXTS):
            return None  # without the key, nobody knows
        if _EXPIRES not in shown.details:
            return expires_seconds
        told: float | None = map_in(shown.details).get(EXPIRES)
        return expires_seconds if told is None else told

    def _look_into_generators(self, found: _Found) -> set[Key]:
        """Return the keys of all that belongs to exhausted calls, and count it with them."""
        owned: set[Key] = set()
        sizes: dict[Key, int] = {}
        for keys in _chunks(found.generators):
            for key, record in self._store.get_many(keys).items():
                if not self._codec.is_intact(record):  # or signed with a key that is not here
                    found.runs.clear()  # whose the items are cannot be known
                else:
                    items = items_of(record)
                    sizes[key] = items.size_bytes
                    owned.add(head_key(key))
                    owned.update(
                        item_key(key, items.token, number) for number in range(items.number + items.has_value)
                    )
        for results in (found.kept, found.expired) if sizes else ():
            results[:] = [each._replace(size_bytes=sizes.get(each.key, each.size_bytes)) for each in results]
        return owned

    @staticmethod
    def _orphans(found: _Found, owned: set[Key], running: set[str]) -> list[Result]:
        """Return the items that belong to no exhausted call, and to no run that may go on."""
        young = time.time() - _GRACE_SECONDS
        return [
            found.items[key]
            for run, keys in found.runs.items()
            if run not in running and all(found.items[key].created_at_seconds < young for key in keys)
            for key in keys
            if key not in owned
        ]

    def _forget(self, results: Sequence[Result]) -> list[Result]:
        """Remove results, but for those that were replaced meanwhile; return those that were removed."""
        removed: list[Result] = []
        for some in _chunks(results):
            now = self._store.infos([result.key for result in some])
            old = [
                result
                for result in some
                if result.key in now and now[result.key].created_at_seconds == result.created_at_seconds
            ]
            self._contents.forget([result.key for result in old])
            removed += old
        return removed


def _sieve(expires_seconds: float | None) -> Sieve:
    """Return what finds all that are no plain results, and all that may have expired."""
    before = -math.inf if expires_seconds is None else time.time() - expires_seconds
    return Sieve(before, (ITEM, ITEMS), _EXPIRES)


def _chunks(things: Sequence[T]) -> Iterator[Sequence[T]]:
    return (things[start : start + _KEYS_AT_ONCE] for start in range(0, len(things), _KEYS_AT_ONCE))
