"""Faults for hours, if you like: kills, crashes at each write, lost power, damage, a full disk, a race; then a table.

    python tools/torture.py [--kills 300] [--damage 600] [--peer-kills 60] [--peer-damage 100] [--seed 0]

skipstone stands beside those peers that are installed (joblib.Memory, diskcache, one pickle file per record).
Exit status 1 if skipstone lost a record, returned a wrong value, raised, hung, ran a call twice, or did not open.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "faults"))

import harness
import power
import sequence
import tracing
import trials

NOT_DONE = "–"
BAD = ("lost", "wrong", "errors", "not opened", "hung", "died")


def main():
    """Cause the faults, print the figures, and return the exit status."""
    options = _options()
    kinds = [kind for kind in harness.importable() if not options.only or kind in options.only]
    began = time.monotonic()
    with harness.Server() as one, harness.Server() as other:
        columns = {harness.ADAPTERS[kind].name: _figures(kind, (one, other), options) for kind in kinds}
    rows = list(columns[next(iter(columns))])
    print(f"\nseed {options.seed}, {time.monotonic() - began:.0f} s, {os.uname().sysname} {os.uname().release}\n")
    print(f"| | {' | '.join(columns)} |")
    print(f"| --- |{' ---: |' * len(columns)}")
    for row in rows:
        print(f"| {row} | {' | '.join(str(column.get(row, NOT_DONE)) for column in columns.values())} |")
    return 1 if _complaints else 0


_complaints: list[str] = []


def _options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--damage", type=int, default=600)
    parser.add_argument("--peer-kills", type=int, default=60)
    parser.add_argument("--peer-damage", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=list(harness.ADAPTERS), help="these stores; by default all")
    return parser.parse_args()


def _figures(kind, servers, options):
    ours = kind == "skipstone"
    figures = {}
    _say(kind, "kills")
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        tally = trials.kill(
            servers, kind, folder, options.kills if ours else options.peer_kills, seed=options.seed
        )
    figures["kill -9"] = tally["kills"]
    figures["… records acknowledged"] = f"{tally['acknowledged']:,}"
    figures["… of them lost"] = tally["lost"]
    figures["… wrong values"] = tally["wrong"]
    figures["… exceptions"] = tally["errors"] + tally["not opened"]
    figures["… hung or died"] = tally["hung"] + tally["died"]
    _complain(ours, "kill", tally.told_of(*BAD))

    _say(kind, "damage")
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        count = options.damage if ours else options.peer_damage
        tally = trials.damage(servers, kind, folder, count, seed=options.seed)
    figures["damaged files: trials of 50 records"] = tally["trials"]
    figures["… wrong values, of those asked for twice"] = tally["wrong"]
    figures["… exceptions, and stores that do not open"] = tally["errors"] + tally["not opened"]
    figures["… hung or died "] = tally["hung"] + tally["died"]
    figures["… computed again"] = f"{tally['computed again']:,}"
    figures["… trials without a word of it"] = tally["silent"]
    _complain(ours, "damage", tally.told_of(*BAD, "not kept afterwards"))

    _say(kind, "race")
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        figures["race of 8 processes: executions"] = trials.race(kind, folder)
    _complain(ours and figures["race of 8 processes: executions"] != 1, "race", "more than one execution")
    with _small_disk() as folder:
        if folder is not None:
            _say(kind, "full disk")
            lost = trials.full_disk(kind, folder)
            figures["disk full: results lost, of 60"] = len(lost["full"])
            figures["… and when there is room again"] = len(lost["afterwards"])
            _complain(ours, "full disk", "\n".join(lost["full"] + lost["afterwards"]))
    if ours and tracing.is_there():
        _system_calls(figures, servers)
    return figures


def _system_calls(figures, servers):
    stopped = bad = states = badly = 0
    for durability in ("process", "power"):
        _say("skipstone", f"crash points, durability={durability}")

        def check(server, left, acknowledged, durability=durability):
            seen = server.run("look", folder=left, durability=durability)
            return sequence.violations(seen, len(acknowledged))

        with tempfile.TemporaryDirectory(prefix="torture-") as folder:
            tally = trials.crash_points(servers, "perform", folder, check, durability=durability)
        stopped, bad = stopped + tally["killed"], bad + tally["violations"] + tally["hung"] + tally["died"]
        _complain(True, "crash points", tally.told_of("violations", "hung", "died"))
        _say("skipstone", f"lost power, durability={durability}")
        with tempfile.TemporaryDirectory(prefix="torture-") as folder:
            count, wrong = power.lose_power(servers, folder, durability, variants=4)
        states, badly = states + count, badly + len(wrong)
        _complain(True, "lost power", "\n".join(wrong[:10]))
    figures["stopped at a system call"] = stopped
    figures["… promises broken"] = bad
    figures["states of the disk after lost power"] = states
    figures["… promises broken "] = badly


@contextmanager
def _small_disk():
    if os.geteuid() != 0:
        print("not root: no full disk", file=sys.stderr)
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def _say(kind, what):
    print(f"{time.strftime('%H:%M:%S')} {kind}: {what}", file=sys.stderr, flush=True)


def _complain(ours, what, text):
    if ours and text:
        _complaints.append(what)
        print(f"{what}:\n{text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
