"""The workloads: what is timed, each in a fresh process, for one peer.

A process runs one of them: `main([function, peer, folder, settings])` prints what it took and how much memory it
used. This module imports next to nothing, so that what a peer imports is on the peer's account.
"""

import os
import time

CPU_CALLS = 120
LARGE_BYTES = 32 << 20
"""So much is saved of large results, one after the other: the time of one save of 1 MiB is chance."""

clock = time.perf_counter
"""Seconds: of the wall, or of this process on a processor."""


class Document:
    """What the functions of a pipeline are given."""

    __slots__ = ("id",)

    def __init__(self, number):
        self.id = f"library/reference/module-{number:08}"


def summarize(document):
    """Return a result of about 200 bytes."""
    return summarize_id(document.id)


def summarize_id(identifier):
    """Return the same result, for those who identify a call by its arguments."""
    return {"title": identifier, "summary": "what this module is for " * 5, "score": 0.5, "process": os.getpid()}


def spin(document):
    """Use the processor for some milliseconds."""
    return sum(number * number for number in range(160_000)) + len(document.id)


def documents(count):
    """Return the first documents."""
    return list(some_documents(count))


def some_documents(count):
    """Yield the first documents."""
    return map(Document, range(count))


# ---- hits ----


def in_order(peer, folder, records):
    """Hits in the order of saving, one call per record."""
    opened = peer(folder)
    opened.load_all()
    return _time_hits(opened, documents(min(records, peer.most_calls)))


def at_random(peer, folder, records):
    """Hits in random order, one call per record."""
    import random

    opened = peer(folder)
    opened.load_all()
    return _time_hits(opened, _shuffled(random, records, peer))


def at_random_among_many(peer, folder, records):
    """Hits at random, among so many records that few of them are in memory."""
    import random

    return _time_hits(peer(folder), _shuffled(random, records, peer))


def in_order_among_many(peer, folder, records):
    """Hits in the order of saving, starting in the middle of many records."""
    numbers = range(records // 2, min(records, records // 2 + peer.most_calls))
    return _time_hits(peer(folder), [Document(number) for number in numbers])


def in_bulk(peer, folder, records):
    """Hits in the order of saving, all in one call."""
    opened = peer(folder)
    opened.load_all()
    wanted = documents(min(records, peer.most_records))
    _check(opened.hits_in_bulk(wanted[:1]))
    return _time(opened.hits_in_bulk, wanted[1:], _check)


def resume(peer, folder, records):
    """Opening, then loading and dropping every result."""
    started = clock()
    opened = peer(folder)
    opened.load_all()
    return _per_call(started, records, opened.hits_in_bulk(some_documents(records)))


def resume_one_by_one(peer, folder, records):
    """The same, one call per record."""
    started = clock()
    opened = peer(folder)
    opened.load_all()
    return _per_call(started, records, opened.hits(some_documents(records)))


def count(peer, folder, records):
    """Opening, then asking whether every call is done, without loading a result."""
    started = clock()
    done = peer(folder).count(some_documents(records))
    if done != records:
        raise AssertionError(f"{done} of {records} are done")
    return (clock() - started) / records * 1e6


# ---- saves ----


def save(peer, folder, records):
    """A save, without the time of the function itself."""
    return _time_saves(peer(folder), min(records // 5, peer.most_calls // 4), "save_all")


def save_in_bulk(peer, folder, records):
    """The same, for many calls at once."""
    return _time_saves(peer(folder), records // 2, "save_in_bulk")


def crowd(peer, folder, records, processes):
    """A call that saves or hits, while this many processes do both: the total time divided by the calls of all."""
    import multiprocessing

    __import__(peer.module)
    context = multiprocessing.get_context("fork")
    calls = min(records, peer.most_calls) // 4 // processes
    barrier, times = context.Barrier(processes), context.SimpleQueue()
    first = context.Process(target=_begin, args=(peer, folder))
    first.start()
    first.join()
    crew = [
        context.Process(
            target=_one_of_a_crowd,
            args=(peer, folder, range(number * calls, (number + 1) * calls), barrier, times),
        )
        for number in range(processes)
    ]
    for process in crew:
        process.start()
    told = [times.get() for _ in crew]
    for process in crew:
        process.join()
    problems = [each for each in told if isinstance(each, str)]
    if problems:
        raise AssertionError(min(problems, key=lambda problem: "BrokenBarrier" in problem))
    began, ended = zip(*told, strict=True)
    return (max(ended) - min(began)) / (2 * calls * processes) * 1e6


def _begin(peer, folder):
    """Make the store, for not everyone can do that in many processes at once."""
    peer(folder).save(Document(10**7))
    os._exit(0)


def _one_of_a_crowd(peer, folder, numbers, barrier, times):
    mine = [Document(number) for number in numbers]
    try:
        opened = peer(folder)
        opened.save(Document(10**7 + 1 + numbers.start))
        barrier.wait()
        began = time.monotonic()
        for document in mine:
            opened.save(document)
            opened.hit(document)
        times.put((began, time.monotonic()))
    except BaseException as error:
        barrier.abort()
        times.put(f"{type(error).__name__}: {error}")
    os._exit(0)  # what a peer does at exit is not timed


def cpu(peer, folder, _records, processes):
    """Calls that compute for some milliseconds, in this many processes."""
    opened, wanted = peer(folder), documents(CPU_CALLS)
    started = time.perf_counter()
    opened.spin(wanted, processes)
    return (time.perf_counter() - started) / len(wanted) * 1e3


# ---- the start ----


def import_it(peer, _folder, _records):
    """The import alone."""
    started = clock()
    __import__(peer.module)
    return (clock() - started) * 1e3


def first_hit(peer, folder, _records):
    """Import, opening and first hit in a fresh process, without the interpreter's start."""
    document = Document(0)
    started = clock()
    result = peer(folder).hit(document)
    seconds = clock() - started
    _check(result)
    return seconds * 1e3


def open_it(peer, folder, _records):
    """Opening and first hit, after the import."""
    __import__(peer.module)
    return first_hit(peer, folder, 0)


# ---- large results, and large arguments ----

LARGE = {}
"""Large results by id: what the function returns, where it runs; a hit in another process finds nothing here."""


def large(document):
    """Return a large result."""
    return LARGE[document.id]


def large_by_id(identifier):
    """Return the same, for those who identify a call by its arguments."""
    return LARGE[identifier]


def save_large(peer, folder, _records, kind, size):
    """A save of a large result; for 1 MiB, the mean of 32 saves."""
    opened, wanted = peer(folder, (large, large_by_id)), documents(max(1, LARGE_BYTES // size))
    _warm_up(opened)
    LARGE.update(dict.fromkeys((document.id for document in wanted), _large_value(kind, size)))
    return _time(lambda wanted: [opened.save_large(document) for document in wanted], wanted) / 1e3


def load_large(peer, folder, _records, kind, size):
    """A load of a large result, in a process that has loaded none before."""
    opened, document = peer(folder, (large, large_by_id)), Document(0)
    opened.hit(Document(10**7))
    import_of_kind(kind)
    if peer.loads_from_memory:
        LARGE[document.id] = _large_value(kind, size)
    return _time(opened.load_large, document, lambda value: _check_large(value, kind, size)) / 1e3


def digest(peer, folder, _records, kind):
    """The digest of a large argument, when no id is given."""
    opened, argument = peer(folder), _argument(kind)
    opened.digest(1)
    return _time(opened.digest, argument) / 1e3


def import_of_kind(kind):
    """Import what a value of this kind needs."""
    __import__("pandas" if kind == "data frame" else "numpy")


def _large_value(kind, size):
    import numpy as np

    array = np.arange(size // 8, dtype=np.float64)
    if kind == "bytes":
        return array.tobytes()
    if kind == "array":
        return array
    import pandas as pd

    return pd.DataFrame(array.reshape(-1, 8), columns=list("abcdefgh"))


def _check_large(value, kind, size):
    found = len(value) if kind == "bytes" else value.nbytes if kind == "array" else 64 * len(value)
    if found != size:
        raise AssertionError(f"{found} of {size} bytes came back")


def _argument(kind):
    if kind == "array":
        return _large_value("array", 100_000_000)
    texts = [f"module-{number:06}" for number in range(20_000)]
    return {
        "settings": {
            text: {"depth": number, "weight": number / 7, "tags": [text, "a", "b"]}
            for number, text in enumerate(texts)
        },
        "pairs": list(zip(texts, range(20_000), strict=True)),
    }


def _warm_up(opened):
    """Import and open whatever a first call imports and opens."""
    document = Document(10**7)
    LARGE[document.id] = b"small"
    opened.save(document)
    opened.hit(document)


# ---- how it is timed ----


def fill(peer, folder, records):
    """Finish the work that the hits find done."""
    peer(folder).fill(min(records, peer.most_records))


def fill_large(peer, folder, _records, kind, size):
    """Save a large result, to be loaded."""
    save_large(peer, folder, 0, kind, size)


def is_filled(peer, folder, records):
    """Tell whether a store that was kept from an earlier run can be used: its first and last calls are hits."""
    opened = peer(folder)
    return all(opened.hit(Document(number))["process"] != os.getpid() for number in (0, records - 1))


def _shuffled(random, records, peer):
    held = min(records, peer.most_records)
    numbers = random.Random(1).sample(range(held), min(held, peer.most_calls))
    return [Document(number) for number in numbers]


def _time_hits(opened, wanted):
    first, *others = wanted
    _check(opened.hit(first))
    return _time(opened.hits, others, _check)


def _time_saves(opened, calls, method):
    wanted = documents(calls)
    started = clock()
    for document in wanted:
        summarize(document)
    function_seconds = clock() - started
    opened.save(Document(10**7))
    return _time(getattr(opened, method), wanted) - function_seconds / calls * 1e6


def _time(function, argument, check=None):
    """Return microseconds for a call; by item, if it is given a list."""
    started = clock()
    result = function(argument)
    seconds = clock() - started
    if check is not None:
        check(result)
    return seconds / (len(argument) if isinstance(argument, list) else 1) * 1e6


def _per_call(started, calls, result):
    _check(result)
    return (clock() - started) / calls * 1e6


def _check(result):
    if result["process"] == os.getpid():
        raise AssertionError("that was no hit: the function ran")


def _memory(which):
    """Return the memory of this process now ("VmRSS") or at its highest ("VmHWM"), in MiB."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(which):
                return int(line.split()[1]) / 1024
    return 0.0


def main(arguments):
    """Run one workload, and print what it took and how much memory was used for it."""
    import json

    import peers

    function, peer, folder, settings = arguments
    before = _memory("VmRSS")
    settings = json.loads(settings)
    if settings.pop("clock") == "cpu":
        global clock
        clock = time.process_time
    took = globals()[function](peers.PEERS[peer], folder, settings.pop("records"), **settings)
    print(json.dumps({"took": took, "memory": _memory("VmHWM") - before}))
