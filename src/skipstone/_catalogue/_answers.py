"""The answers of a catalogue, as plain values: sizes in bytes, times in seconds, moments as Unix times."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from .._record import Failure, Key, RecordInfo

Sort: TypeAlias = Literal["time", "duration", "size", "id"]


class StepName(NamedTuple):
    """A step of an index at a place."""

    index_name: str
    step: str
    scope: str
    """`<index>/<step>`, spelled as their folders are, by which the place finds the step."""

    @property
    def title(self) -> str:
        """Index and step, for people."""
        return f"{self.index_name} / {self.step}"


class Totals(NamedTuple):
    """Totals of some records and failures."""

    records: int = 0
    failures: int = 0
    size_bytes: int = 0
    """The size of all payloads: results, items of generators, failures."""
    seconds: float = 0.0
    """How long the calls of the stored results ran."""
    first_at: float = 0.0
    """When the first one was saved; 0 if there is none."""
    last_at: float = 0.0

    def plus(self, other: Totals) -> Totals:
        """Return the totals of both."""
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
    """The content of a step."""

    name: StepName
    functions: int
    totals: Totals
    problem: str = ""
    """Why the step cannot be read, or empty."""


class FunctionSummary(NamedTuple):
    """What is stored of one version of a function."""

    function: str
    version: str
    codes: int
    """How many different fingerprints its records have."""
    totals: Totals


class CodeSummary(NamedTuple):
    """What is stored of one fingerprint of a function."""

    function: str
    version: str
    code: bytes
    """The fingerprint, or empty if it is not known."""
    totals: Totals


class RunSummary(NamedTuple):
    """What one process of a run has saved, as far as it is still stored."""

    run: str
    host: str
    process: int
    totals: Totals


class Bin(NamedTuple):
    """The number of records with a value of at least `start` and less than `stop`."""

    start: float
    stop: float
    records: int


class Bucket(NamedTuple):
    """The number of records saved in the `Growth.width_seconds` that begin at a moment."""

    start_at: float
    records: int


class Growth(NamedTuple):
    """The present records by the time at which they were saved."""

    width_seconds: float
    buckets: list[Bucket]
    """Consecutive ones, including those without records."""


class Spread(NamedTuple):
    """The distribution of records over durations, sizes and time."""

    durations: list[Bin]
    """In seconds, the shortest first."""
    sizes: list[Bin]
    """In bytes, the smallest first."""
    growth: Growth


class RecordQuery(NamedTuple):
    """Which records to return, and in which order."""

    search: str = ""
    """A part of the call id; upper and lower case of ASCII letters do not differ."""
    function: str | None = None
    version: str | None = None
    code: bytes | None = None
    run: str | None = None
    call_id: str | None = None
    """The whole call id, as it is shown."""
    saved_before: float | None = None
    failures: bool = False
    """Whether to return failures instead of records."""
    sort: Sort = "time"
    descending: bool = True


class Page(NamedTuple):
    """Some records, and where the next page begins."""

    records: list[RecordInfo]
    following: str | None
    """To be given to `records(query, after=...)`; None if there are no more."""


class FailedCall(NamedTuple):
    """A failure, and the key that it is stored under."""

    key: Key
    failure: Failure


class FailureGroup(NamedTuple):
    """Failures whose errors differ only in numbers, quoted texts, paths and the like."""

    function: str
    error: str
    """The type and message, with `…` in place of what differs."""
    calls: int
    attempts: int
    first_at: float
    last_at: float
    example: FailedCall
    """The latest of them."""


class Space(NamedTuple):
    """How much room a step takes on a disk of this machine."""

    database_bytes: int
    log_bytes: int
    free_bytes: int
    """The part of the database that is free for new records, or that compacting gives back."""
    values_bytes: int
    values: int
    """How many results have a file of their own."""
