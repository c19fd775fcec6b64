"""The workloads: what is timed, each in a fresh process, for one peer.

A process runs one of them: `main([workload, peer, folder, records])` prints what it took. This module imports next to
nothing, so that what a peer imports is on the peer's account.
"""

import os
import time

SAVES = 1_000
MILLION = 1_000_000


class Document:
    """What the functions of a pipeline are given."""

    __slots__ = ("id",)

    def __init__(self, number):
        self.id = f"library/reference/module-{number:07}"


def summarize(document):
    """Return a result of about 200 bytes."""
    return summarize_id(document.id)


def summarize_id(identifier):
    """Return the same result, for those who identify a call by its arguments."""
    return {"title": identifier, "summary": "what this module is for " * 5, "score": 0.5, "process": os.getpid()}


def in_order(peer, folder, records):
    """Microseconds per hit, in the order of saving."""
    opened = peer(folder)
    opened.load_all()
    return _time_hits(opened, _documents(records))


def at_random(peer, folder, records):
    """Microseconds per hit, in random order."""
    opened = peer(folder)
    opened.load_all()
    return _time_hits(opened, _shuffled(_documents(records)))


def save(peer, folder, records):
    """Microseconds per save, beyond the function itself."""
    opened = peer(folder)
    documents = _documents(min(records // 10, SAVES))
    started = time.perf_counter()
    for document in documents:
        summarize(document)
    function_seconds = time.perf_counter() - started
    opened.save(Document(records))
    started = time.perf_counter()
    opened.prepare(documents)
    return (time.perf_counter() - started - function_seconds) / len(documents) * 1e6


def first_hit(peer, folder, _records):
    """Milliseconds for import, opening and the first hit."""
    document = Document(0)
    started = time.perf_counter()
    result = peer(folder).hit(document)
    seconds = time.perf_counter() - started
    _check(result)
    return seconds * 1e3


def import_it(peer, _folder, _records):
    """Milliseconds for the import alone."""
    started = time.perf_counter()
    __import__(peer.module)
    return (time.perf_counter() - started) * 1e3


def open_it(peer, folder, _records):
    """Milliseconds for opening and the first hit, the import done."""
    __import__(peer.module)
    return first_hit(peer, folder, 0)


def at_random_in_a_million(peer, folder, records):
    """Microseconds per hit, in random order, of some among a million records."""
    import random

    numbers = random.Random(1).sample(range(MILLION), min(records, 20_000))
    return _time_hits(peer(folder), [Document(number) for number in numbers])


def prepare(peer, folder, records):
    """Finish the work that the hits find done."""
    peer(folder).prepare(_documents(records))


def prepare_a_million(peer, folder, _records):
    """Fill a store with a million records, unless it holds them already."""
    peer(folder).prepare_a_million([Document(0), Document(MILLION - 1)], map(Document, range(MILLION)))


WORKLOADS = {
    "in order": (in_order, "µs", "hits in the order of the earlier run"),
    "at random": (at_random, "µs", "hits in random order"),
    "save": (save, "µs", "a save, beyond the function itself"),
    "import": (import_it, "ms", "the import alone"),
    "first hit": (
        first_hit,
        "ms",
        "import, opening and first hit in a fresh process, beyond the interpreter's start",
    ),
    "open": (open_it, "ms", "opening and first hit, the import done"),
    "open a million": (open_it, "ms", "the same with a million records"),
    "at random in a million": (at_random_in_a_million, "µs", "hits in random order among a million records"),
}
"""By name: the function, its unit and what it measures."""

PREPARATIONS = {"prepare": prepare, "prepare a million": prepare_a_million}


def _documents(count):
    return [Document(number) for number in range(count)]


def _shuffled(documents):
    import random

    random.Random(1).shuffle(documents)
    return documents


def _time_hits(opened, documents):
    first, *others = documents
    _check(opened.hit(first))
    started = time.perf_counter()
    result = opened.hits(others)
    seconds = time.perf_counter() - started
    _check(result)
    return seconds / len(others) * 1e6


def _check(result):
    if result["process"] == os.getpid():
        raise AssertionError("that was no hit: the function ran")


def main(arguments):
    """Run one workload and print what it took."""
    import peers

    workload, peer, folder, records = arguments
    run = PREPARATIONS.get(workload) or WORKLOADS[workload][0]
    print(run(peers.PEERS[peer], folder, int(records)))
