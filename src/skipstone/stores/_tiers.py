"""A near store before a far one: what the far one has is kept in the near one, too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from .._errors import StoreError, StoreUnavailableWarning, warn
from .._record import Key, Record, RecordInfo
from ._base import BaseStore, Claim, Store

T = TypeVar("T")


class TieredStore(BaseStore):
    """The records are those of the far store; the near one has copies of what was asked for or saved here.

    What another machine deletes or replaces in the far store stays as it is in the near one. While the far one does
    not answer, the near one stands in; what is saved then, only the near one has.
    """

    def __init__(self, near: Store, far: Store) -> None:
        """Put one store before another."""
        super().__init__()
        self.near = near
        self.far = far
        self._told = False

    def __reduce__(self) -> tuple[type[TieredStore], tuple[Store, Store]]:
        """Pickle the stores, as they are pickled."""
        return type(self), (self.near, self.far)

    def get(self, key: Key, /) -> Record | None:
        """See `Store`."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Sequence[Key], /) -> dict[Key, Record]:
        """See `Store`."""
        found = self._or(lambda: self.near.get_many(keys), dict[Key, Record])
        missing = [key for key in keys if key not in found]
        if missing:
            fetched = self._or(lambda: self.far.get_many(missing), dict[Key, Record])
            if fetched:
                self._or(lambda: self.near.put_many([*fetched.values()]), set[Key])
                found |= fetched
        return found

    def present(self, keys: Sequence[Key], /) -> set[Key]:
        """See `Store`."""
        found = self._or(lambda: self.near.present(keys), set[Key])
        missing = [key for key in keys if key not in found]
        return found | self._or(lambda: self.far.present(missing), set[Key]) if missing else found

    def put(self, record: Record, /, *, replace: bool = False) -> bool:
        """See `Store`."""
        return bool(self.put_many([record], replace=replace))

    def put_many(self, records: Sequence[Record], /, *, replace: bool = False) -> set[Key]:
        """See `Store`."""
        try:
            kept = self.far.put_many(records, replace=replace)
        except StoreError as error:
            self._tell(error)
            return self.near.put_many(records, replace=replace)
        copies = [record for record in records if record.key in kept]
        others = [record.key for record in records if record.key not in kept]
        self._or(lambda: self.near.put_many(copies, replace=True), set[Key])
        self._or(
            lambda: self.near.delete(others), int
        )  # those of the far store are fetched when they are asked for
        return kept

    def delete(self, keys: Iterable[Key], /) -> int:
        """See `Store`."""
        keys = [*keys]
        self.near.delete(keys)
        return self.far.delete(keys)

    def scan(self, *, function: str | None = None) -> Iterator[RecordInfo]:
        """See `Store`."""
        return self.far.scan(function=function)

    def claim(self, key: Key, /) -> Claim | None:
        """See `Store`."""
        return self._or(lambda: self.far.claim(key), lambda: self.near.claim(key))

    def close(self) -> None:
        """See `Store`."""
        self.near.close()
        self.far.close()

    def _or(self, ask: Callable[[], T], otherwise: Callable[[], T]) -> T:
        """Return what one store answers; where it does not work, go on without it."""
        try:
            return ask()
        except StoreError as error:
            self._tell(error)
            return otherwise()

    def _tell(self, error: StoreError) -> None:
        if not self._told:
            self._told = True
            warn(
                f"{error}. The run goes on with the other store in front of it or behind it",
                StoreUnavailableWarning,
            )
