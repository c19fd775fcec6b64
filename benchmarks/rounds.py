"""Rounds: each workload of each peer in a fresh process, taking turns, so that what disturbs one disturbs all."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from typing import NamedTuple

import peers
import work

HERE = os.path.dirname(os.path.abspath(__file__))
KEPT = os.path.join(tempfile.gettempdir(), "skipstone-benchmarks")
"""The stores of a million records, which are kept from one run to the next."""

_IN_A_MILLION = ("open a million", "at random in a million")


class Spread(NamedTuple):
    """The middle of some measurements, and the quartiles around it."""

    median: float
    low: float
    high: float


class Results:
    """What was measured: a number for each round, by workload and peer."""

    def __init__(self):
        self.times = {}
        self.bytes_per_record = {}
        self.versions = {}

    def add(self, workload, peer, took):
        """Note one measurement; rounds are noted in turn."""
        self.times.setdefault(workload, {}).setdefault(peer, []).append(took)

    def spread(self, workload, peer):
        """Return median and quartiles, or None where nothing was measured."""
        return _spread(self.times.get(workload, {}).get(peer))

    def ratio(self, workload, peer, other):
        """Return median and quartiles of the ratios to another peer in the same round."""
        of_workload = self.times.get(workload, {})
        mine, theirs = of_workload.get(peer), of_workload.get(other)
        return _spread([one / two for one, two in zip(mine, theirs, strict=True)] if mine and theirs else None)


def measure(rounds, records, *, only=(), workloads=tuple(work.WORKLOADS), tell=print):
    """Return the results of some rounds.

    Args:
        rounds: How many.
        records: How many records a store has.
        only: Peers that are wanted; the floor and skipstone are always among them. None given: all.
        workloads: Those that are wanted.
        tell: Called with each thing worth saying.
    """
    results = Results()
    folder = tempfile.mkdtemp(prefix="skipstone-benchmark-")
    try:
        chosen = []
        for peer in peers.PEERS:
            if only and peer not in (*only, peers.FLOOR, peers.OURS):
                continue
            try:
                versions = [_version(package) for package in peers.PEERS[peer].distributions]
                _prepare(peer, folder, records, workloads)
            except subprocess.CalledProcessError as error:
                tell(f"left out: {peer}: {error.stderr.strip().splitlines()[-1]}")
                continue
            chosen.append(peer)
            results.versions[peer] = versions
            results.bytes_per_record[peer] = _allocated_bytes(_folder(folder, peer)) / _count(peer, records)
        for number in range(rounds):
            for workload in workloads:
                turn = number % len(chosen)
                for peer in chosen[turn:] + chosen[:turn]:
                    if _applies(workload, peer):
                        took = _measure_once(workload, peer, folder, records)
                        results.add(workload, peer, took)
            tell(f"round {number + 1} of {rounds} is done")
    finally:
        shutil.rmtree(folder)
    return results


def _prepare(peer, folder, records, workloads):
    os.makedirs(_folder(folder, peer))
    _run("prepare", peer, _folder(folder, peer), _count(peer, records))
    if any(workload in workloads and _applies(workload, peer) for workload in _IN_A_MILLION):
        os.makedirs(_folder(KEPT, peer), mode=0o700, exist_ok=True)
        _run("prepare a million", peer, _folder(KEPT, peer), 0)
    for workload in ("import", "first hit"):  # so that everything is compiled, and in the system's memory
        _run(workload, peer, _folder(folder, peer), 0)


def _applies(workload, peer):
    return workload not in _IN_A_MILLION or hasattr(peers.PEERS[peer], "prepare_a_million")


def _measure_once(workload, peer, folder, records):
    if workload == "save":
        with tempfile.TemporaryDirectory(dir=folder) as empty:
            return float(_run(workload, peer, empty, _count(peer, records)))
    store = _folder(KEPT if workload in _IN_A_MILLION else folder, peer)
    return float(_run(workload, peer, store, _count(peer, records)))


def _count(peer, records):
    return records // 10 if peers.PEERS[peer].slow else records


def _folder(parent, peer):
    return os.path.join(parent, "".join(character for character in peer if character.isalnum()))


def _run(workload, peer, folder, records):
    return _output("import sys, work; work.main(sys.argv[1:])", workload, peer, folder, str(records))


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
    ran = subprocess.run(command, cwd=HERE, env=environment, check=True, capture_output=True, text=True)
    return ran.stdout.strip()


def _allocated_bytes(folder):
    paths = (os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return sum(os.stat(path).st_blocks * 512 for path in paths)


def _spread(values):
    if not values:
        return None
    low, median, high = statistics.quantiles(values, method="inclusive") if len(values) > 1 else values * 3
    return Spread(median, low, high)
