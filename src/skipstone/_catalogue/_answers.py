"""What a catalogue answers: plain values, sizes in bytes, times in seconds, moments as Unix times."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from .._record import Failure, Key, RecordInfo

Sort: TypeAlias = Literal["time", "duration", "size", "id"]


class StepName(NamedTuple):
    """A step of an index, as a place has it."""

    index_name: str
    step: str
    scope: str
    """`<index>/<step>` as their folders are called: what the place finds it by."""

    @property
    def title(self) -> str:
        """Both, for people."""
        return f"{self.index_name} / {self.step}"


class Totals(NamedTuple):
    """What records, and failures beside them, come to."""

    records: int = 0
    failures: int = 0
    size_bytes: int = 0
    """Of all payloads: results, items of generators, failures."""
    seconds: float = 0.0
    """How long the calls ran whose results are stored."""
    first_at: float = 0.0
    """When the first one was saved; 0 where there is none."""
    last_at: float = 0.0

    def plus(self, other: Totals) -> Totals:
        """Return what both come to."""
        moments = [each for each in (self.first_at, other.first_at) if each]
        return Totals(
            self.records + other.records,
            self.failures + other.failures,
            self.size_bytes + other.size_bytes,
            self.seconds + other.seconds,
            min(moments, default=0.0),
            max(self.last_at, other.last_at),
        )


class StepSummary(NamedTuple):
    """A step, and what is in it."""

    name: StepName
    functions: int
    totals: Totals
    problem: str = ""
    """Why it cannot be read, or empty."""


class FunctionSummary(NamedTuple):
    """What a version of a function has stored."""

    function: str
    version: str
    codes: int
    """How many different codes made it."""
    totals: Totals


class CodeSummary(NamedTuple):
    """What one code of a function has stored."""

    function: str
    version: str
    code: bytes
    """The fingerprint; empty where it is not known."""
    totals: Totals


class RunSummary(NamedTuple):
    """What one process of a run has stored, and is still stored."""

    run: str
    host: str
    process: int
    totals: Totals


class Bin(NamedTuple):
    """How many records lie from one value, included, up to another, excluded."""

    start: float
    stop: float
    records: int


class Bucket(NamedTuple):
    """How many records were saved from one moment on, for `Growth.width_seconds`."""

    start_at: float
    records: int


class Growth(NamedTuple):
    """What was saved when: the records that there are now, by the time at which they were saved."""

    width_seconds: float
    buckets: list[Bucket]
    """One behind the other, those without records included."""


class Spread(NamedTuple):
    """How records are spread over durations, sizes and time."""

    durations: list[Bin]
    """In seconds; from the shortest to the longest."""
    sizes: list[Bin]
    """In bytes; from the smallest to the largest."""
    growth: Growth


class RecordQuery(NamedTuple):
    """Which records, and in which order."""

    search: str = ""
    """A part of the call id; upper and lower case of ASCII letters are the same."""
    function: str | None = None
    version: str | None = None
    code: bytes | None = None
    run: str | None = None
    call_id: str | None = None
    """The call id as it is shown, whole."""
    saved_before: float | None = None
    failures: bool = False
    """The failures, rather than the records."""
    sort: Sort = "time"
    descending: bool = True


class Page(NamedTuple):
    """Some records, and where the next ones begin."""

    records: list[RecordInfo]
    following: str | None
    """For `records(query, after=...)`; None where there are no more."""


class FailedCall(NamedTuple):
    """A failure, and the key that it is stored under."""

    key: Key
    failure: Failure


class FailureGroup(NamedTuple):
    """Failures whose errors differ in nothing but numbers, quoted texts, paths and the like."""

    function: str
    error: str
    """The type and message, with `…` for what differs."""
    calls: int
    attempts: int
    first_at: float
    last_at: float
    example: FailedCall
    """The last one."""


class Space(NamedTuple):
    """What a step takes of the disk; nothing where it is not on this machine's."""

    database_bytes: int
    log_bytes: int
    free_bytes: int
    """Of the database: pages that new records will fill, or that compacting gives back."""
    values_bytes: int
    values: int
    """How many results have a file of their own."""
