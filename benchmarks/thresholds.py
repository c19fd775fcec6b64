"""Row or file? What saving and loading cost for payloads of 1 KiB to 1 MiB, kept either way, and print a table.

The last column is the whole cost of one save and one load, as a row against as a file: above 1, the file is cheaper.
"""

import argparse
import os
import random
import statistics
import tempfile
import time

from xxhash import xxh3_64_digest

import tables
from skipstone.stores import Origin, Record, SqliteStore, _sqlite

SIZES = [1 << power for power in range(10, 21)]
BYTES_PER_ROUND = 16 << 20
WAYS = {"row": 1 << 40, "file": 0}
"""The value of the threshold that keeps everything in this way."""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--durability", choices=["process", "power"], default="process")
    options = parser.parse_args()
    took = {}
    for number in range(options.rounds):
        for size in SIZES:
            for way in sorted(WAYS, reverse=bool(number % 2)):
                for action, microseconds in _measure(way, size, options.durability).items():
                    took.setdefault((size, action, way), []).append(microseconds)
    median = {what: statistics.median(times) for what, times in took.items()}
    actions = ["put", "get in order", "get at random"]
    head = [
        "size, KiB",
        *(f"{action}, {way}, µs" for action in actions for way in WAYS),
        "put + random get, row / file",
    ]
    rows = []
    for size in SIZES:
        whole = {way: median[size, "put", way] + median[size, "get at random", way] for way in WAYS}
        cells = [tables.number(median[size, action, way]) for action in actions for way in WAYS]
        rows.append([str(size >> 10), *cells, tables.number(whole["row"] / whole["file"])])
    print(tables.table(head, rows))


def _measure(way, size, durability):
    """Return microseconds per record of each action."""
    _sqlite._ROW_BELOW_BYTES = WAYS[way]
    records = [_record(number, size) for number in range(max(16, min(1_000, BYTES_PER_ROUND // size)))]
    took = {}
    with tempfile.TemporaryDirectory(prefix="skipstone-benchmark-") as folder:
        path = os.path.join(folder, "checkpoint", "index", "step")
        store = SqliteStore(path, durability=durability)
        store.open()
        took["put"] = _time(store.put, records)
        store.close()
        keys = [record.key for record in records]
        took["get in order"] = _time(_getter(path), keys)
        random.Random(1).shuffle(keys)
        took["get at random"] = _time(_getter(path), keys)
    return took


def _getter(path):
    """Return a function that does what a hit does: gets a payload, and reads it to check it."""
    store = SqliteStore(path)
    store.open()

    def get(key):
        record = store.get(key)
        if xxh3_64_digest(record.payload) != record.checksum:
            raise ValueError("damaged")

    return get


def _record(number, size):
    payload = random.Random(number).randbytes(size)
    origin = Origin("benchmark", "", "pickle", b"", "run", "host", 0)
    return Record(xxh3_64_digest(payload) * 2, xxh3_64_digest(payload), origin, 0.0, payload, str(number), 0.0)


def _time(function, arguments):
    started = time.perf_counter()
    for argument in arguments:
        function(argument)
    return (time.perf_counter() - started) / len(arguments) * 1e6


if __name__ == "__main__":
    main()
