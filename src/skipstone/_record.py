"""A record: one finished call, as bytes and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias, cast

from ._packing import map_in

Key: TypeAlias = bytes
"""16 bytes: the digest of function name, version and call id."""

Buffer: TypeAlias = "bytes | bytearray | memoryview"
"""Bytes in one piece."""

Payload: TypeAlias = Sequence[Buffer]
"""A serialized result in one or more parts that follow one another, so that large parts need not be copied."""

FAILURE = "failure"
"""The encoding of the record of a call that raised."""

ITEM = "item:"
"""What the encoding of a record begins with that is a part of a generator's result."""

CODE = "code"
"""The encoding of a record that tells what code results were made by."""

HISTORY = "history:"
"""What the encoding of a record begins with whose place another one took."""

ITEMS = "items"
"""The encoding of the record of a generator's call that was exhausted."""

HEAD = f"{ITEM}head"
"""The encoding of the record beside it, by which the items of its last run are found."""

MARK = "mark:"
"""What the encoding of a record begins with that says what another store is still to get."""


class Origin(NamedTuple):
    """What the records of one function in one run have in common."""

    function: str
    """Its name, `module.qualname` or what the decorator says."""
    version: str
    """What the decorator says, or empty."""
    encoding: str
    """How the payload was made, and so how to read it: `pickle`, `msgpack+zstd`, …"""
    code: bytes
    """Fingerprint of the code that ran, 8 bytes, or empty if it is not known."""
    run: str
    """The id of the run, as in `Run.id`."""
    host: str
    process: int
    """The number of the process on the host."""


class Record(NamedTuple):
    """One finished call."""

    key: Key
    """16 bytes."""
    checksum: bytes
    """8 bytes, or 32 if records are signed. Stores keep it as it is."""
    origin: Origin
    duration_seconds: float
    """How long the function ran."""
    payload: Buffer | Payload
    """A store takes one or more parts, and returns one."""
    call_id: str = ""
    """The id as text, shortened: for people, not for look-ups. `Store.get` may leave it out; `scan` yields it."""
    created_at_seconds: float = 0.0
    """Unix time at which the call ended."""
    details: bytes = b""
    """What else is known of the call: a MessagePack map, or empty. `Store.get` may leave it out, too."""


ARGUMENTS = "arguments"
"""The detail that tells of a call's arguments."""

NOTES = "notes"
"""The detail that tells of the numbers that a call noted."""

EXPIRES = "expires_seconds"
"""The detail that tells how old the result may be, where its function has a say in that."""


class Argument(NamedTuple):
    """What a record tells of one argument of its call."""

    digest: bytes | None
    """8 bytes that differ if the content does; None if the argument has no digest, or is too large for a quick one."""
    text: str
    """The value, shortened, if it is small and plain; otherwise the name of its type."""


class RecordInfo(NamedTuple):
    """What is known of a record without reading its payload."""

    key: Key
    """16 bytes: the digest of function name, version and call id."""
    function: str
    """Its name, `module.qualname` or what the decorator says."""
    version: str
    """What the decorator says, or empty."""
    call_id: str
    """The id as text, shortened: for people, not for look-ups."""
    encoding: str
    """How the result was turned into bytes: `pickle`, `msgpack+zstd`, …"""
    code: bytes
    """Fingerprint of the code that ran, 8 bytes, or empty if it is not known."""
    size_bytes: int
    """The size of the serialized result, as it is stored."""
    created_at_seconds: float
    """Unix time at which the call ended."""
    duration_seconds: float
    """How long the function ran."""
    run: str
    """The id of the run, as in `Run.id`."""
    host: str
    process: int
    """The number of the process on the host."""
    details: bytes = b""
    """What else is known of the call: a MessagePack map, or empty."""

    @property
    def origin(self) -> Origin:
        """What the record has in common with others."""
        return Origin(self.function, self.version, self.encoding, self.code, self.run, self.host, self.process)

    @property
    def arguments(self) -> dict[str, Argument]:
        """What the record tells of the call's arguments, by the names of the parameters.

        Secret arguments are left out, and arguments of which only the type is known.
        """
        told = map_in(self.details).get(ARGUMENTS)
        return {name: Argument(*argument) for name, argument in told.items()} if isinstance(told, dict) else {}

    @property
    def notes(self) -> dict[str, float]:
        """Numbers that the call noted, by name; see `note`."""
        told = map_in(self.details).get(NOTES)
        return told if isinstance(told, dict) else {}


class Failure(NamedTuple):
    """A call that raised, and has not succeeded since."""

    function: str
    """Its name, `module.qualname` or what the decorator says."""
    version: str
    """What the decorator says, or empty."""
    call_id: str
    """The id as text, shortened."""
    error: str
    """The error's type and message, in one line."""
    traceback: str
    """The traceback as Python prints it, without skipstone's own lines."""
    attempts: int
    """How often the call ran and raised since it succeeded last."""
    failed_at_seconds: float
    """Unix time of the last attempt."""
    run: str
    """The id of the run of the last attempt, as in `Run.id`."""
    host: str
    process: int
    """The number of the process on the host."""


@lru_cache  # there are few, and a million records
def is_result(encoding: str) -> bool:
    """Tell from the encoding of a record whether it is the one of a finished call."""
    return encoding.partition("+")[0] not in {FAILURE, CODE} and not encoding.startswith((ITEM, HISTORY, MARK))


def is_failure(encoding: str) -> bool:
    """Tell from the encoding of a record whether it is the one of a call that raised, encrypted or not."""
    return encoding.partition("+")[0] == FAILURE


def parts_of(payload: Buffer | Payload) -> Payload:
    """Return the parts of a payload, whether it has one or several."""
    return (cast("Buffer", payload),) if isinstance(payload, (bytes, bytearray, memoryview)) else payload


def size_of(payload: Buffer | Payload) -> int:
    """Return the size of a payload in bytes, whether it has one part or several."""
    if isinstance(payload, (bytes, bytearray)):
        return len(payload)
    return payload.nbytes if isinstance(payload, memoryview) else sum(map(size_of, payload))


def info_of(record: Record) -> RecordInfo:
    """Return what is known of a record without its payload."""
    origin = record.origin
    return RecordInfo(
        record.key,
        origin.function,
        origin.version,
        record.call_id,
        origin.encoding,
        origin.code,
        size_of(record.payload),
        record.created_at_seconds,
        record.duration_seconds,
        origin.run,
        origin.host,
        origin.process,
        record.details,
    )
