"""Rounds: each workload of each peer in a fresh process, taking turns, so that what disturbs one disturbs all."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from typing import NamedTuple

import peers

HERE = os.path.dirname(os.path.abspath(__file__))
KEPT = os.path.join(tempfile.gettempdir(), "skipstone-benchmarks")
"""Where stores of many records are kept from one run to the next."""

LONG_EVERY = 3
"""What takes long is measured in every third round only."""

_KEPT_FROM_RECORDS = 100_000
_TIMEOUT_SECONDS = 900


class Spread(NamedTuple):
    """The middle of some measurements, and the quartiles around it."""

    median: float
    low: float
    high: float


class Results:
    """What was measured: a number for each round, by workload and peer."""

    def __init__(self):
        self.times = {}
        self.memory = {}
        self.bytes_per_record = {}
        self.versions = {}
        self.lost = []
        """What did not work, in words."""

    def add(self, workload, peer, measured):
        """Note one measurement; rounds are noted in turn."""
        self.times.setdefault(workload, {}).setdefault(peer, []).append(measured["took"])
        self.memory.setdefault(workload, {}).setdefault(peer, []).append(measured["memory"])

    def spread(self, workload, peer):
        """Return median and quartiles, or None where nothing was measured."""
        return _spread(self.times.get(workload, {}).get(peer))

    def median(self, workload, peer):
        """Return the median, or None where nothing was measured."""
        spread = self.spread(workload, peer)
        return spread and spread.median

    def memory_mib(self, workload, peer):
        """Return the median of the memory, or None where nothing was measured."""
        spread = _spread(self.memory.get(workload, {}).get(peer))
        return spread and spread.median

    def ratio(self, workload, peer, other, of_other=None):
        """Return median and quartiles of the ratios to another peer, or another workload, in the same round."""
        mine = self.times.get(workload, {}).get(peer)
        theirs = self.times.get(of_other or workload, {}).get(other)
        return _spread([one / two for one, two in zip(mine, theirs, strict=False)] if mine and theirs else None)


def measure(rounds, workloads, *, only=(), clock="wall", tell=print):
    """Return the results of some rounds.

    Args:
        rounds: How many; of workloads that take long, a third of it.
        workloads: What is measured.
        only: Peers that are wanted; the floor and skipstone are always among them. None given: all.
        clock: "wall", or "cpu": the time of a processor, which others at work on the machine do not change much.
        tell: Called with each thing worth saying.
    """
    results = Results()
    folder = tempfile.mkdtemp(prefix="skipstone-benchmark-")
    try:
        chosen = [peer for peer in peers.PEERS if not only or peer in (*only, peers.FLOOR, peers.OURS)]
        chosen = [peer for peer in chosen if _prepare(results, peer, folder, workloads, tell)]
        for number in range(rounds):
            for workload in workloads:
                if workload.is_long and number % LONG_EVERY:
                    continue
                able = [peer for peer in chosen if workload.applies(peer)]
                turn = number % max(1, len(able))
                for peer in able[turn:] + able[:turn]:
                    _measure(results, workload, peer, folder, clock=clock, tell=tell)
            tell(f"round {number + 1} of {rounds} is done")
    finally:
        shutil.rmtree(folder)
    return results


def _measure(results, workload, peer, folder, *, clock, tell):
    try:
        results.add(workload.name, peer, _measure_once(workload, peer, folder, clock))
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        problem = f"{peer}, {workload.name}: {_last_line(error)}"
        tell(problem)
        results.lost.append(problem)


def _measure_once(workload, peer, folder, clock):
    if workload.store == "empty":
        with tempfile.TemporaryDirectory(dir=folder) as empty:
            return _run(workload.function, peer, empty, workload.arguments, clock)
    return _run(workload.function, peer, _store(folder, workload, peer), workload.arguments, clock)


def _prepare(results, peer, folder, workloads, tell):
    """Fill a peer's stores; tell whether that worked."""
    try:
        results.versions[peer] = [_version(package) for package in peers.PEERS[peer].distributions]
        filled = {}
        for workload in workloads:
            if workload.applies(peer) and workload.store != "empty":
                filled.setdefault(_store(folder, workload, peer), workload)
        for store, workload in filled.items():
            _fill(store, workload, peer)
            if workload.function == "in_order":
                count = min(workload.records, peers.PEERS[peer].most_records)
                results.bytes_per_record[peer] = _allocated_bytes(store) / count
        tell(f"prepared: {peer}")
    except subprocess.CalledProcessError as error:
        tell(f"left out: {peer}: {_last_line(error)}")
        results.lost.append(f"{peer}: {_last_line(error)}")
        return False
    return True


def _fill(store, workload, peer):
    if workload.store == "large":
        os.makedirs(store, mode=0o700)
        _run("fill_large", peer, store, workload.arguments)
        return
    settings = {"records": workload.records}
    if os.path.exists(f"{store}.filled") and _run("is_filled", peer, store, settings)["took"]:
        return
    shutil.rmtree(store, ignore_errors=True)
    os.makedirs(store, mode=0o700)
    _run("fill", peer, store, settings)
    for function in ("import_it", "first_hit"):  # so that everything is compiled, and in the system's memory
        _run(function, peer, store, settings)
    with open(f"{store}.filled", "w"):
        pass


def _store(folder, workload, peer):
    name = "".join(character for character in peer if character.isalnum())
    if workload.store == "large":
        return os.path.join(folder, f"{name}-{workload.name.replace(' ', '')}")
    parent = KEPT if workload.records >= _KEPT_FROM_RECORDS else folder
    return os.path.join(parent, f"{name}-{workload.records}")


def _run(function, peer, folder, settings, clock="wall"):
    settings = json.dumps(settings | {"clock": clock})
    return json.loads(_output("import sys, work; work.main(sys.argv[1:])", function, peer, folder, settings))


def _version(package):
    return f"{package} {_output('import sys, importlib.metadata as m; print(m.version(sys.argv[1]))', package)}"


def _output(program, *arguments):
    command = [sys.executable, "-c", program, *arguments]
    # Compiled modules must be found and kept, and no setting may come from outside.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith("SKIPSTONE_")
    }
    ran = subprocess.run(
        command, cwd=HERE, env=environment, check=True, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS
    )
    return ran.stdout.strip().splitlines()[-1]


def _last_line(error):
    lines = (error.stderr or "").strip().splitlines() if isinstance(error, subprocess.CalledProcessError) else []
    return lines[-1] if lines else str(error)


def _allocated_bytes(folder):
    paths = (os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return sum(os.stat(path).st_blocks * 512 for path in paths)


def _spread(values):
    if not values:
        return None
    low, median, high = statistics.quantiles(values, method="inclusive") if len(values) > 1 else values * 3
    return Spread(median, low, high)
