"""What a store is: records by key. It knows bytes and keys, never functions or pickles."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from .._record import Key, Origin, Record, RecordInfo, info_of
from ._forks import begin_in_children

Row: TypeAlias = tuple[Key, bytes, int, float, bytes, float]
"""Key, checksum, number of the origin, duration in seconds, payload, when the call ended. The garbage collector ignores such a tuple."""


class AtHand(NamedTuple):
    """Records that were read before they are asked for."""

    rows: Mapping[Key, Row]
    origins: Mapping[int, Origin]
    """Those of the rows, but for some that have not been read yet; another mapping where numbers mean others."""


class Claim(Protocol):
    """The right to compute one key, held from `Store.claim` until the end of the `with` block.

    It belongs to no thread: another thread than the one that took it may release it.
    """

    def __enter__(self) -> object:
        """Begin to use the claim."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Release the claim."""
        ...


class Store(Protocol):
    """Keeps the records of one step of one index by key.

    All methods may be called from several threads at once. Each of them raises StoreUnavailableError if the store
    does not do what was asked; no other error of a client gets through.
    """

    is_remote: bool
    """Whether its methods may take longer than an event loop can wait: then they are called in threads."""

    def get(self, key: Key, /) -> Record | None:
        """Return the record of a key, its payload in one part, or None if there is none."""
        ...

    def get_many(self, keys: Sequence[Key], /) -> dict[Key, Record]:
        """Return the records of those keys that have one."""
        ...

    def present(self, keys: Sequence[Key], /) -> set[Key]:
        """Return those of the keys that have a record. No payload is read."""
        ...

    def put(self, record: Record, /, *, replace: bool = False) -> bool:
        """Keep one record, whole or not at all; it survives `kill -9` when this returns.

        Args:
            record: Its payload may be in several parts.
            replace: Overwrite a record of the same key. If False, the first one wins.

        Returns:
            Whether this record is now the one that is kept.
        """
        ...

    def put_many(self, records: Sequence[Record], /, *, replace: bool = False) -> set[Key]:
        """Keep records, all with different keys; see `put`.

        Returns:
            The keys whose record is now the given one.

        Raises:
            StoreUnavailableError: Some of them may have been kept.
        """
        ...

    def delete(self, keys: Iterable[Key], /) -> int:
        """Remove the records of these keys, and return how many there were."""
        ...

    def scan(self, *, function: str | None = None) -> Iterator[RecordInfo]:
        """Yield what is known of all records, or those of one function, in the order of saving.

        Records that are saved or deleted meanwhile may or may not be among them.
        """
        ...

    def infos(self, keys: Sequence[Key], /) -> dict[Key, RecordInfo]:
        """Return what `scan` would yield for these keys."""
        ...

    def claim(self, key: Key, /) -> Claim | None:
        """Take the right to compute a key, or return None at once if somebody else has it.

        There is at most one holder at a time, among threads, processes and, for a shared store, machines. The claim ends
        with its holder, however that ends.
        """
        ...

    def close(self) -> None:
        """Close connections and files. A later use opens them again."""
        ...


@runtime_checkable
class ReadsAhead(Protocol):
    """A store that reads records before they are asked for."""

    def at_hand(self) -> AtHand | None:
        """Return the records at hand, or None where they are to be asked for with `get`. Nothing is read."""
        ...


@runtime_checkable
class ClaimsMany(Protocol):
    """A store that gives many claims in less time than one by one."""

    def claim_many(self, keys: Sequence[Key], claims: dict[Key, Claim], /) -> None:
        """Add the claims of those of these keys that nobody has to `claims`; see `Store.claim`. Where that fails, none is held.

        Each is there before it is held: where Ctrl-C comes between, it can be given back.
        """
        ...


@runtime_checkable
class HasCopies(Protocol):
    """A store that may have a record in more than one place."""

    def renewed(self, keys: Sequence[Key]) -> dict[Key, Record]:
        """Return what other places have of records that the store has returned and that are of no use, and keep it."""
        ...


def at_hand_in(store: Store) -> Callable[[], AtHand | None]:
    """Return what tells which records of a store are at hand."""
    return store.at_hand if isinstance(store, ReadsAhead) else lambda: None


def renewed(store: Store, keys: Sequence[Key]) -> dict[Key, Record]:
    """Return records in place of those that a store has returned and that are of no use, where it has copies."""
    return store.renewed(keys) if isinstance(store, HasCopies) else {}


class BaseStore:
    """The rest of a store, for one that has `get`, `put`, `delete` and `scan`.

    Its claims hold among the threads of one process: a store that several processes use overrides `claim`.
    """

    is_remote = False

    def __init__(self) -> None:
        self._claims = ThreadClaims()

    def get(self, key: Key, /) -> Record | None:
        """See `Store`."""
        raise NotImplementedError

    def get_many(self, keys: Sequence[Key], /) -> dict[Key, Record]:
        """See `Store`."""
        found = {key: self.get(key) for key in keys}
        return {key: record for key, record in found.items() if record is not None}

    def present(self, keys: Sequence[Key], /) -> set[Key]:
        """See `Store`."""
        return set(self.get_many(keys))

    def put(self, record: Record, /, *, replace: bool = False) -> bool:
        """See `Store`."""
        raise NotImplementedError

    def put_many(self, records: Sequence[Record], /, *, replace: bool = False) -> set[Key]:
        """See `Store`."""
        return {record.key for record in records if self.put(record, replace=replace)}

    def infos(self, keys: Sequence[Key], /) -> dict[Key, RecordInfo]:
        """See `Store`; a store whose `get` leaves something out overrides it."""
        return {key: info_of(record) for key, record in self.get_many(keys).items()}

    def claim(self, key: Key, /) -> Claim | None:
        """See `Store`."""
        return self._claims.claim(key)

    def close(self) -> None:
        """See `Store`."""


class ThreadClaims:
    """Claims among the threads and tasks of one process."""

    def __init__(self) -> None:
        begin_in_children(self)

    def begin(self) -> None:
        """Hold nothing: this is a new process."""
        self._held: set[Key] = set()
        # Reentrant: where a generator is dropped while the lock is held, its claim is given back then and there.
        self._lock = threading.RLock()

    def claim(self, key: Key) -> HeldClaim | None:
        """Return the claim of a key, or None where it is held."""
        with self._lock:
            if key in self._held:
                return None
            self._held.add(key)
        return HeldClaim(key, self._held.discard)


class HeldClaim:
    """A claim that is given back by calling a function with its key."""

    __slots__ = ("_key", "_release")

    def __init__(self, key: Key, release: Callable[[Key], object]) -> None:
        self._key = key
        self._release = release

    def __enter__(self) -> None:
        """Nothing to do: it is held already."""

    def __exit__(self, *_: object) -> None:
        """Give the claim back."""
        self._release(self._key)
