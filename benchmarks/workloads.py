"""Which workloads there are, and in which sizes."""

from typing import NamedTuple

import peers
import work

MIB = 1 << 20
_MANY = 1_000_000
KINDS = ("bytes", "array", "data frame")


class Workload(NamedTuple):
    """Something that is timed: a function of `work.py`, with its settings."""

    group: str
    name: str
    function: str
    unit: str = "µs"
    store: str = "filled"
    """What it finds: a store that is "filled", an "empty" one, or one with a "large" result."""
    needs: str = "hit"
    """A method that a peer must have."""
    records: int = 0
    settings: tuple = ()
    """Further arguments, as pairs."""
    is_long: bool = False
    """Measured in a third of the rounds."""
    has_memory: bool = False
    """Its memory is worth a column."""

    @property
    def meaning(self):
        """What the function says of itself."""
        return getattr(work, self.function).__doc__.rstrip(".")

    @property
    def arguments(self):
        """What the function is given beside the peer and the folder."""
        return {"records": self.records} | dict(self.settings)

    def applies(self, peer):
        """Tell whether a peer can do it, and in a time that one has."""
        if peer == peers.COMPRESSED:
            return self.name in ("in order", "save")
        adapter = peers.PEERS[peer]
        if not hasattr(adapter, self.needs):
            return False
        if self.store == "large" or self.function == "save_large":
            return dict(self.settings)["size"] <= adapter.most_bytes
        if self.function == "resume" and adapter.most_calls < adapter.most_records:
            return hasattr(adapter, "hits_in_bulk")
        if self.group == "Growth":
            return self.records <= adapter.most_records >= _MANY
        return self.records <= max(10_000, adapter.most_records)


class Sizes(NamedTuple):
    """How large things are."""

    records: int
    """Of the stores of most workloads."""
    many: int
    """Of the store that is resumed."""
    grown: tuple
    """Of the stores that show what growth does."""
    large: tuple
    """Of large results, in bytes."""


FULL = Sizes(10_000, 1_000_000, (10_000, 1_000_000, 10_000_000), (MIB, 64 * MIB, 1024 * MIB))
QUICK = Sizes(10_000, 100_000, (10_000, 100_000), (MIB, 64 * MIB))


def workloads(sizes):
    """Return all workloads, in the order of the page."""
    found = [
        Workload("Hits", "in order", "in_order"),
        Workload("Hits", "at random", "at_random"),
        Workload("Hits", "together", "in_bulk", needs="hits_in_bulk"),
        Workload("Saves", "save", "save", store="empty"),
        Workload("Saves", "save together", "save_in_bulk", store="empty", needs="save_in_bulk"),
        *_resumes(sizes.many),
        *(each for records in sizes.grown for each in _grown(records)),
        *(each for size in sizes.large for kind in KINDS for each in _large(kind, size)),
        *(
            Workload(
                "Processes at once", f"calls in {count}", "crowd", store="empty", settings=(("processes", count),)
            )
            for count in (1, 2, 8)
        ),
        *(
            Workload(
                "Work in processes", f"in {count}", "cpu", "ms", "empty", "spin", settings=(("processes", count),)
            )
            for count in (1, 2)
        ),
        Workload("The start", "import", "import_it", "ms"),
        Workload("The start", "first hit", "first_hit", "ms"),
        Workload("Digests", "array of 100 MB", "digest", "ms", "empty", "digest", settings=(("kind", "array"),)),
        Workload(
            "Digests", "nested containers", "digest", "ms", "empty", "digest", settings=(("kind", "nested"),)
        ),
    ]
    return [each if each.records else each._replace(records=sizes.records) for each in found]


def _resumes(records):
    facts = {"records": records, "is_long": True, "has_memory": True}
    return [
        Workload("Resume", f"{records:,} loaded", "resume", needs="hits_in_bulk", **facts),
        Workload("Resume", f"{records:,} loaded one by one", "resume_one_by_one", **facts),
        Workload("Resume", f"{records:,} counted", "count", needs="count", **facts),
    ]


def _grown(records):
    is_long = records > 100_000
    return [
        Workload("Growth", f"open, {records:,}", "open_it", "ms", records=records, has_memory=True),
        Workload("Growth", f"in order, {records:,}", "in_order_among_many", records=records, is_long=is_long),
        Workload("Growth", f"at random, {records:,}", "at_random_among_many", records=records, is_long=is_long),
    ]


def _large(kind, size):
    settings = (("kind", kind), ("size", size))
    facts = {"unit": "ms", "settings": settings, "is_long": size >= 64 * MIB}
    return [
        Workload("Large results", f"save {kind}, {size // MIB} MiB", "save_large", store="empty", **facts),
        Workload("Large results", f"load {kind}, {size // MIB} MiB", "load_large", store="large", **facts),
    ]
