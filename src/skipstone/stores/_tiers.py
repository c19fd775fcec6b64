"""Two stores, one behind the other: the near one is quick, the far one is shared. More are two, of which one is two."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar, cast

from .. import _log
from .._errors import StoreError, StoreUnavailableWarning, warn
from .._record import Key, Record, RecordInfo
from ._backlog import Backlog, UntilCopied, is_mark, named_like
from ._base import BaseStore, Claim, Store, at_hand_in, renewed

A = TypeVar("A")
R = TypeVar("R")

_misses_nothing = ContextVar("_misses_nothing", default=False)


@contextmanager
def missing_nothing() -> Generator[None]:
    """Surround what would be wrong with only a part of the records: a store that is away is an error meanwhile."""
    token = _misses_nothing.set(True)
    try:
        yield
    finally:
        _misses_nothing.reset(token)


class TieredStore(BaseStore):
    """Reads from the near store, else from the far one, and keeps a copy near; saves to both.

    While the far store is away, records are kept near with a mark, and are copied when it is back: by this
    process, or by the next that uses the same near store.
    """

    is_remote = True

    def __init__(self, near: Store, far: Store, *, in_background: bool = False) -> None:
        """Put one store in front of another.

        Args:
            near: Where records are looked for first.
            far: Decides who was first, and who computes what.
            in_background: Saves wait for the near store alone; the far one gets them soon.
        """
        self._near = near
        self._far = far
        self._in_background = in_background
        self.at_hand = at_hand_in(near)
        self._warned: set[str] = set()
        self._backlog = Backlog(near, far, self._far_failed)

    def __reduce__(self) -> tuple[Callable[..., TieredStore], tuple[Any, ...]]:
        """Pickle the two stores."""
        return _tiered, (self._near, self._far, self._in_background)

    def get(self, key: Key, /) -> Record | None:
        """See `Store`."""
        return self._asked_near(self._near.get, key, otherwise=None) or self._fetched([key]).get(key)

    def get_many(self, keys: Sequence[Key], /) -> dict[Key, Record]:
        """See `Store`."""
        found = self._asked_near(self._near.get_many, keys, otherwise=dict[Key, Record]())
        rest = [key for key in keys if key not in found]
        return found | self._fetched(rest) if rest else found

    def _fetched(self, keys: Sequence[Key]) -> dict[Key, Record]:
        """Return what the far store has of these, and keep it near."""
        try:
            self._backlog.look()
            found = self._far.get_many([key for key in keys if key not in self._backlog.deleted])
        except StoreError as error:
            self._far_failed(error)
            return {}
        self._backlog.far_answers()
        self._keep_near(list(found.values()))
        return found

    def _keep_near(self, records: Sequence[Record], *, replace: bool = False) -> None:
        if records:
            self._asked_near(partial(self._near.put_many, replace=replace), records, otherwise=set[Key]())

    def _asked_near(self, ask: Callable[[A], R], about: A, *, otherwise: R) -> R:
        """Return what the near store answers, or something else where it is away."""
        try:
            return ask(about)
        except StoreError as error:
            self._near_failed(error)
            return otherwise

    def renewed(self, keys: Sequence[Key]) -> dict[Key, Record]:
        """Return what the far store has of these in place of the copies near, and keep it near.

        A copy that is newer than what is far stays. One that is as new may differ: then it is damaged.
        """
        before = self._near.get_many(keys)
        try:
            self._backlog.look()
            asked = [key for key in keys if key not in self._backlog.deleted]
            found = self._far.get_many(asked) | renewed(self._far, asked)
        except StoreError as error:
            self._far_failed(error)
            return {}
        better = {
            key: record
            for key, record in found.items()
            if key not in before or (before[key] != record and not _is_newer(before[key], record))
        }
        self._keep_near(list(better.values()), replace=True)
        return better

    def present(self, keys: Sequence[Key], /) -> set[Key]:
        """See `Store`."""
        found = self._asked_near(self._near.present, keys, otherwise=set[Key]())
        rest = [key for key in keys if key not in found]
        if not rest:
            return found
        try:
            self._backlog.look()
            found |= self._far.present([key for key in rest if key not in self._backlog.deleted])
            self._backlog.far_answers()
        except StoreError as error:
            self._far_failed(error)
        return found

    def put(self, record: Record, /, *, replace: bool = False) -> bool:
        """See `Store`."""
        return record.key in self.put_many([record], replace=replace)

    def put_many(self, records: Sequence[Record], /, *, replace: bool = False) -> set[Key]:
        """See `Store`."""
        self._backlog.look()
        if not self._in_background and not self._backlog.is_behind:
            try:
                kept = self._put_far(records, replace=replace)
            except StoreError as error:
                self._far_failed(error)
            else:
                self._keep_near([record for record in records if record.key in kept], replace=True)
                if len(kept) < len(records):
                    ours = {record.key: record for record in records if record.key not in kept}
                    theirs = self._far.get_many(list(ours)).values()
                    self._keep_near([named_like(ours[record.key], record) for record in theirs], replace=True)
                return kept
        try:
            return self._backlog.save(records, replace=replace)
        except StoreError as error:
            self._near_failed(error)
        return self._put_far(records, replace=replace)

    def _put_far(self, records: Sequence[Record], *, replace: bool) -> set[Key]:
        if len(records) != 1:
            return self._far.put_many(records, replace=replace)
        (record,) = records
        return {record.key} if self._far.put(record, replace=replace) else set()

    def delete(self, keys: Iterable[Key], /) -> int:
        """See `Store`."""
        keys = list(keys)
        self._backlog.look()
        with self._backlog.resting():  # or it would copy what it has read just before
            deleted = self._asked_near(self._near.delete, keys, otherwise=0)
            try:
                deleted = max(deleted, self._far.delete(keys))
            except StoreError as error:
                self._far_failed(error)
                self._backlog.note_deletions(keys)
        return deleted

    def scan(self, *, function: str | None = None) -> Iterator[RecordInfo]:
        """See `Store`. Records of the near store come first."""
        seen: set[Key] = set()
        try:
            for info in self._near.scan(function=function):
                if not is_mark(info):
                    seen.add(info.key)
                    yield info
        except StoreError as error:
            self._near_failed(error)
        try:
            self._backlog.look()
            for info in self._far.scan(function=function):
                if info.key not in seen and info.key not in self._backlog.deleted:
                    yield info
        except StoreError as error:
            self._far_failed(error)

    def infos(self, keys: Sequence[Key], /) -> dict[Key, RecordInfo]:
        """See `Store`."""
        found = self._asked_near(self._near.infos, keys, otherwise=dict[Key, RecordInfo]())
        try:
            self._backlog.look()
            rest = [key for key in keys if key not in found and key not in self._backlog.deleted]
            return found | self._far.infos(rest) if rest else found
        except StoreError as error:
            self._far_failed(error)
            return found

    def claim(self, key: Key, /) -> Claim | None:
        """See `Store`. While one of the two is away, the claim holds among those that share the other."""
        with ExitStack() as claims:
            for claimed, failed in ((self._near.claim, self._near_failed), (self._claim_far, self._far_failed)):
                try:
                    claim = claimed(key)
                except StoreError as error:
                    failed(error)
                    continue
                if claim is None:
                    return None
                claims.enter_context(claim)
            return cast("Claim", claims.pop_all())

    def _claim_far(self, key: Key) -> Claim | None:
        if not self._in_background:
            return self._far.claim(key)
        # The record comes later than the call ends: nobody else is to run it meanwhile.
        claim = self._backlog.taken_back(key)
        if claim is None:
            claim = self._far.claim(key)
            if claim is None:
                return None
            claim.__enter__()
        return UntilCopied(key, claim, self._backlog)

    def close(self) -> None:
        """See `Store`. The far store gets what it has not got yet, if it answers."""
        self._backlog.close()
        try:
            self._backlog.catch_up()
        except StoreError as error:
            _log.warning("%s. What is only in the store before it is copied by the next run", error)
        self._near.close()
        self._far.close()

    def _far_failed(self, error: StoreError) -> None:
        if _misses_nothing.get():
            raise error
        self._backlog.fall_behind()
        self._warn_once(
            "far",
            f"{error}. The run goes on with the store before it; what it has not got is copied when it is back",
        )

    def _near_failed(self, error: StoreError) -> None:
        if _misses_nothing.get():
            raise error
        self._warn_once("near", f"{error}. The run goes on with the store behind it")

    def _warn_once(self, which: str, message: str) -> None:
        if which not in self._warned:
            self._warned.add(which)
            warn(message, StoreUnavailableWarning)


def _is_newer(record: Record, other: Record) -> bool:
    return record.created_at_seconds > other.created_at_seconds


def _tiered(near: Store, far: Store, in_background: bool) -> TieredStore:
    return TieredStore(near, far, in_background=in_background)
