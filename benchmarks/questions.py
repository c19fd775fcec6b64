"""How long it takes to ask a step of a million records what the command line and the page ask, and print a table."""

import argparse
import json
import os
import random
import statistics
import tempfile
import time

import tables
from skipstone._catalogue import Catalogue, RecordQuery
from skipstone._encoding._codec import Codec
from skipstone._encoding._serializers import PickleSerializer
from skipstone.stores import FAILURE, Origin, Record, SqliteStore
from skipstone.stores._folder import step_folder

RUNS = 40
FUNCTIONS = ("app.ask", "app.embed", "app.parse", "lib.clean")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = os.path.join(tempfile.gettempdir(), "skipstone-benchmarks", f"questions-{options.records}")
    if not os.path.exists(folder):
        fill(folder, options.records)
    catalogue = Catalogue({"artifacts_dir": folder})
    (name,) = catalogue.steps()
    took = {}
    for _ in range(options.rounds):
        step = catalogue.step(name)
        for what, ask in questions(step).items():
            start = time.perf_counter()
            ask()
            took.setdefault(what, []).append(1000 * (time.perf_counter() - start))
        step.close()
    rows = [[what, f"{statistics.median(times):.0f}", f"{max(times):.0f}"] for what, times in took.items()]
    print(tables.table(["asked of a step", "median, ms", "longest, ms"], rows))


def questions(step):
    slowest = RecordQuery(sort="duration")
    return {
        "totals, functions, codes": lambda: (step.summary(), step.functions(), step.codes()),
        "latest 50": step.records,
        "slowest 50": lambda: step.records(slowest),
        "slowest 50, the next page": lambda: step.records(slowest, after="[1.0, 1]"),
        "50 by id, of one function": lambda: step.records(RecordQuery(sort="id", function="app.ask")),
        "a text in the id": lambda: step.records(RecordQuery(search="99999")),
        "how many": lambda: step.count(slowest),
        "durations, sizes, growth": step.spread,
        "failures, grouped": step.failure_groups,
        "space": step.space,
    }


def fill(folder, count):
    """Fill a step: some 200 bytes a record, a failure among 200, forty runs of four functions in thirty days."""
    store = SqliteStore(step_folder(folder, "default", "questions"))
    seal, numbers, start = Codec(PickleSerializer()).seal, random.Random(1), time.time() - 30 * 86400
    for begin in range(0, count, 5000):
        store.put_many(
            [seal(_record(numbers, number, count, start)) for number in range(begin, min(count, begin + 5000))]
        )
    store.close()


def _record(numbers, number, count, start):
    failed = number % 200 == 0
    error = {"error": f"ValueError: page {number} of 'doc-{number}.pdf'", "traceback": "", "attempts": 1}
    payload = json.dumps(error).encode() if failed else numbers.randbytes(120 + int(numbers.expovariate(1 / 80)))
    run = number * RUNS // count
    encoding = FAILURE if failed else "pickle"
    origin = Origin(FUNCTIONS[number % 4], "", encoding, b"12345678", f"run-{run}", "host", 1000 + run)
    took, saved_at = numbers.lognormvariate(-2, 1.5), start + number * 30 * 86400 / count
    return Record(numbers.randbytes(16), b"", origin, took, payload, f"doc-{number:07d}", saved_at)


if __name__ == "__main__":
    main()
