"""Maps: resume of finished items, misses through threads, and CPU work in processes; prints a table.

Every measurement is made in a process of its own, and a round makes each once. The peer is `exca.MapInfra`, which keeps
results per item of a sequence, too.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import tables

MISSES = 20_000
CPU_ITEMS = 200


def summarize(identifier):
    """Return a result of about 200 bytes."""
    return {"title": identifier, "summary": "what this module is for " * 5, "score": 0.5, "process": os.getpid()}


def nothing(identifier):
    """Return at once."""
    return identifier


def spin(identifier):
    """Use the processor for some 50 ms."""
    return sum(number * number for number in range(400_000)) + len(identifier)


def identifiers(count):
    """Yield ids."""
    return (f"library/reference/module-{number:07}" for number in range(count))


def opened(folder):
    """Return skipstone's checkpoint."""
    import skipstone

    return skipstone.open_checkpoint("maps", {"artifacts_dir": folder})


def exca_map(folder):
    """Return the same function as a `MapInfra`."""
    from collections.abc import Iterable, Iterator

    import exca
    import pydantic

    class Summaries(pydantic.BaseModel):
        infra: exca.MapInfra = exca.MapInfra()

        @infra.apply(item_uid=str)
        def summarize(self, identifiers: Iterable[str]) -> Iterator[dict]:
            for identifier in identifiers:
                yield summarize(identifier)

    return Summaries(infra={"folder": folder}).summarize


def fill(folder, count):
    """Finish all items, for the resumes."""
    opened(folder).map(summarize, identifiers(count), id="identifier", workers=1).drain()


def fill_exca(folder, count):
    """Finish all items with exca."""
    for _ in exca_map(folder)(list(identifiers(count))):
        pass


def resumed(folder, count):
    """Load every result; return items per second."""
    checkpoint = opened(folder)
    return _rate(count, lambda: checkpoint.map(summarize, identifiers(count), id="identifier"))


def counted(folder, count):
    """Make sure that all are done; return items per second."""
    checkpoint = opened(folder)
    return _rate(count, lambda: checkpoint.map(summarize, identifiers(count), id="identifier").drain())


def resumed_exca(folder, count):
    """Load every result with exca; return items per second."""
    method = exca_map(folder)
    return _rate(count, lambda: method(list(identifiers(count))))


def threads(folder, _count):
    """Return microseconds for a call that does nothing, in threads."""
    checkpoint = opened(os.path.join(folder, f"threads-{os.getpid()}"))
    return 1e6 / _rate(MISSES, lambda: checkpoint.map(nothing, identifiers(MISSES), id="identifier").drain())[0], 0


def loop(folder, _count):
    """Return microseconds for the same in a plain loop."""
    checkpoint = opened(os.path.join(folder, f"loop-{os.getpid()}"))
    calls = (checkpoint.load_or_run(nothing, each, each) for each in identifiers(MISSES))
    return 1e6 / _rate(MISSES, lambda: calls)[0], 0


def processes(folder, _count, workers=2):
    """Return seconds of CPU work in two processes."""
    checkpoint = opened(os.path.join(folder, f"processes-{os.getpid()}"))
    results = checkpoint.map(spin, identifiers(CPU_ITEMS), id="identifier", executor="processes", workers=workers)
    return CPU_ITEMS / _rate(CPU_ITEMS, results.drain)[0], 0


def process(folder, count):
    """Return seconds of the same work in one process."""
    return processes(folder, count, workers=1)


def _rate(count, begin):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    for _ in begin():
        pass
    seconds = time.perf_counter() - started
    return count / seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


MEASURED = {
    "resume, results loaded, items/s": resumed,
    "resume, results loaded, items/s: exca": resumed_exca,
    "resume, only counted, items/s": counted,
    "call that does nothing, in threads, µs": threads,
    "call that does nothing, in a plain loop, µs": loop,
    "CPU work in one process, s": process,
    "CPU work in two processes, s": processes,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--only", help="one measurement in this process, for this program's own use")
    parser.add_argument("--folder")
    options = parser.parse_args()
    if options.only:
        print(*(globals()[options.only](options.folder, options.items) or ()))
        return
    took = {}
    with tempfile.TemporaryDirectory(prefix="skipstone-benchmark-") as folder:
        _alone("fill", folder, options.items)
        _alone("fill_exca", f"{folder}/exca", options.items)
        for _ in range(options.rounds):
            for name, function in MEASURED.items():
                place = f"{folder}/exca" if "exca" in name else folder
                output = _alone(function.__name__, place, options.items)
                took.setdefault(name, []).append([float(number) for number in output.split()])
    rows = [
        [
            name,
            f"{statistics.median(value for value, _ in each):,.1f}",
            f"{max(memory for _, memory in each):,.0f}",
        ]
        for name, each in took.items()
    ]
    print(tables.table(["", f"median of {options.rounds}", "more memory, MiB"], rows))


def _alone(name, folder, items):
    command = [sys.executable, __file__, "--only", name, "--folder", folder, "--items", str(items)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return output.strip()


if __name__ == "__main__":
    main()
