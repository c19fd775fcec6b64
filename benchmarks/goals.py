"""What is aimed at, each as a ratio within one run where that is possible."""

import pickle
from collections.abc import Callable
from typing import NamedTuple

import work
from peers import FLOOR, OURS, PEERS

RESULT_BYTES = len(pickle.dumps(work.summarize(work.Document(0)), 5))
_BARE_AND_SAFE = "diskcache-rs, get and set"
_MEMOIZE = "diskcache, memoize"
_LOADED = "1,000,000 loaded"
_OTHERS = [peer for peer in PEERS if peer != FLOOR and not peer.startswith(OURS)]
_LIBRARIES = [peer for peer in _OTHERS if PEERS[peer].distributions]


class Goal(NamedTuple):
    """A figure and its limit."""

    text: str
    limit: float
    measured: Callable
    """Returns the figure of a peer, or None, of results and the peer."""
    is_ceiling: bool = True
    """Rather than something that is to be reached at least."""

    def is_met(self, found):
        """Tell whether a figure is within the limit."""
        return found <= self.limit if self.is_ceiling else found >= self.limit


def _times_faster(workload, *others):
    """Return how many times faster one is than the fastest of some peers, by medians of ratios."""

    def measured(results, who):
        ratios = [results.ratio(workload, other, who) for other in others]
        return min((ratio.median for ratio in ratios if ratio), default=None)

    return measured


def _times_the_floor(workload):
    def measured(results, who):
        ratio = results.ratio(workload, who, FLOOR)
        return ratio and ratio.median

    return measured


def _times_as_long(workload, other_workload):
    def measured(results, who):
        ratio = results.ratio(workload, who, who, other_workload)
        return ratio and ratio.median

    return measured


def _median(workload):
    return lambda results, who: results.median(workload, who)


def _memory(workload):
    return lambda results, who: results.memory_mib(workload, who)


def _goals():
    yield Goal(
        "hit in order: times faster than the fastest peer, bare `get` included",
        3,
        _times_faster("in order", *_OTHERS),
        False,
    )
    yield Goal(
        "hit in order: times faster than `diskcache.memoize`", 8, _times_faster("in order", _MEMOIZE), False
    )
    yield Goal("hit in order: times the floor", 2, _times_the_floor("in order"))
    yield Goal(
        "hit at random, 10,000 records: times faster than the fastest peer",
        2,
        _times_faster("at random", *_OTHERS),
        False,
    )
    yield Goal(
        "hit at random, 1,000,000 records: times faster than the fastest peer",
        1.2,
        _times_faster("at random, 1,000,000", *_OTHERS),
        False,
    )
    yield Goal("save: times faster than `set` of diskcache-rs", 1, _times_faster("save", _BARE_AND_SAFE), False)
    yield Goal("save: times faster than `diskcache.memoize`", 2.5, _times_faster("save", _MEMOIZE), False)
    yield Goal("save in `map`, µs", 15, _median("save together"))
    for peers, fastest in (("exca, in one call", _of_exca), ("the fastest peer, one by one or not", _fastest)):
        yield Goal(
            f"resume of 1,000,000, results loaded: times faster than {peers}",
            3,
            _resumed("loaded", fastest),
            False,
        )
        yield Goal(
            f"resume of 1,000,000, counted: times faster than {peers}, which loads",
            10,
            _resumed("counted", fastest),
            False,
        )
    for records in ("1,000,000", "10,000,000"):
        yield Goal(
            f"opening and first hit, {records} records: times as long as with 10,000",
            1.2,
            _times_as_long(f"open, {records}", "open, 10,000"),
        )
        for way in ("in order", "at random"):
            yield Goal(
                f"hit {way}, {records} records: times as long as with 10,000",
                1.5,
                _times_as_long(f"{way}, {records}", f"{way}, 10,000"),
            )
    for kind in ("bytes", "array", "data frame"):
        for size in (1, 64, 1024):
            yield Goal(
                f"save of {kind}, {size} MiB: times a bare write",
                1.3,
                _times_the_floor(f"save {kind}, {size} MiB"),
            )
    yield Goal("load of an array, 1024 MiB: ms", 20, _median("load array, 1024 MiB"))
    for processes in (2, 8):
        yield Goal(
            f"{processes} processes at once: calls per second of all, times those of one alone",
            1,
            _times_faster_than_one(processes),
            False,
        )
    for workload in ("1,000,000 loaded", "1,000,000 counted", "open, 10,000,000"):
        yield Goal(f"memory of {workload.replace('open, ', 'opening ')}: MiB", 50, _memory(workload))
    yield Goal(
        "bytes on disk: times the size of the result",
        1.6,
        _times_the_result,
    )
    yield Goal("import: ms", 35, _median("import"))
    yield Goal("import: times faster than the fastest peer", 1, _times_faster("import", *_LIBRARIES), False)
    yield Goal("fresh process to first hit: ms", 70, _median("first hit"))
    yield Goal(
        "fresh process to first hit: times faster than the fastest peer",
        1,
        _times_faster("first hit", *_LIBRARIES),
        False,
    )
    for argument in ("array of 100 MB", "nested containers"):
        yield Goal(
            f"digest of {'an ' if argument[0] == 'a' else ''}{argument}: times faster than `joblib.hash`",
            5,
            _times_faster(argument, "joblib.Memory"),
            False,
        )


def _times_the_result(results, who):
    size_bytes = results.bytes_per_record.get(who)
    return size_bytes and size_bytes / RESULT_BYTES


def _resumed(how, fastest):
    """Return how many times faster one resumes, by medians."""

    def measured(results, who):
        ours, theirs = results.median(f"1,000,000 {how}", who), fastest(results)
        return theirs / ours if ours and theirs else None

    return measured


def _of_exca(results):
    return results.median(_LOADED, "exca")


def _fastest(results):
    medians = [results.median(way, other) for other in _OTHERS for way in (_LOADED, f"{_LOADED} one by one")]
    return min((median for median in medians if median), default=None)


def _times_faster_than_one(processes):
    def measured(results, who):
        ratio = results.ratio("calls in 1", who, who, f"calls in {processes}")
        return ratio and ratio.median

    return measured


GOALS = list(_goals())
