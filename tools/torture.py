"""Faults for hours, if you like: kills, crashes at each write, lost power, damage, a full disk, a race; then a table.

    python tools/torture.py [--kills 300] [--damage 600] [--peer-kills 60] [--peer-damage 100] [--busy 120] [--seed 0]

skipstone stands beside those peers of benchmarks/requirements.txt that are installed, and one pickle file per record.
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
import migration
import power
import sequence
import tracing
import trials

NOT_DONE = "–"
RACES = 5
BROKEN = ("violations", "hung", "died")
BAD = ("lost", "wrong", "errors", "not opened", "hung", "died")


def main():
    """Cause the faults, print the figures, and return the exit status."""
    options = _options()
    kinds = [kind for kind in harness.importable() if not options.only or kind in options.only]
    began = time.monotonic()
    with harness.Server() as one, harness.Server() as other:
        columns = {harness.ADAPTERS[kind].name: _figures(kind, (one, other), options) for kind in kinds}
    system = os.uname()
    print(f"\n{time.strftime('%Y-%m-%d')}, seed {options.seed}, {time.monotonic() - began:.0f} s;", end=" ")
    print(f"{system.sysname} {system.release}, {os.cpu_count()} cores, Python {sys.version.split()[0]}\n")
    first, *others = columns.values()
    shared = [row for row in first if any(row in column for column in others)]
    _print_table(columns, shared)
    _print_table({next(iter(columns)): first}, [row for row in first if row not in shared])
    return 1 if _complaints else 0


def _print_table(columns, rows):
    if rows:
        print(f"| | {' | '.join(columns)} |")
        print(f"| --- |{' ---: |' * len(columns)}")
    for row in rows:
        cells = (str(column.get(row, NOT_DONE)) for column in columns.values())
        print(f"| {row.strip()} | {' | '.join(cells)} |")
    print()


_complaints: list[str] = []


def _options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--damage", type=int, default=600)
    parser.add_argument("--peer-kills", type=int, default=60)
    parser.add_argument("--peer-damage", type=int, default=100)
    parser.add_argument("--busy", type=int, default=120, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=list(harness.ADAPTERS), help="these stores; by default all")
    return parser.parse_args()


def _figures(kind, servers, options):
    ours = kind == "skipstone"
    figures = {}
    with _section(kind, "kills"), _folder() as folder:
        count = options.kills if ours else options.peer_kills
        tally = trials.kill(servers, kind, folder, count, seed=options.seed)
        figures["kill -9"] = tally["kills"]
        figures["… records acknowledged"] = f"{tally['acknowledged']:,}"
        figures["… of them lost"] = tally["lost"]
        figures["… wrong values"] = tally["wrong"]
        figures["… exceptions"] = tally["errors"] + tally["not opened"]
        figures["… hung or died"] = tally["hung"] + tally["died"]
        _complain(ours, "kill", tally.told_of(*BAD))
    with _section(kind, "damage"), _folder() as folder:
        count = options.damage if ours else options.peer_damage
        tally = trials.damage(servers, kind, folder, count, seed=options.seed)
        figures["damaged files: trials, each with 50 records read twice"] = tally["trials"]
        figures["… wrong values "] = tally["wrong"]
        figures["… exceptions, and stores that do not open"] = tally["errors"] + tally["not opened"]
        figures["… hung or died "] = tally["hung"] + tally["died"]
        figures["… computed again"] = f"{tally['computed again']:,}"
        figures["… trials with records computed again and no warning (logs do not count)"] = tally["silent"]
        _complain(ours, "damage", tally.told_of(*BAD, "not kept afterwards"))
    with _section(kind, "race"), _folder() as folder:
        runs = sum(trials.race(kind, os.path.join(folder, str(number))) for number in range(RACES))
        figures[f"{RACES} races of 8 processes: executions"] = runs
        _complain(ours and runs != RACES, "race", "more than one execution")
    with _small_disk() as disk, _section(kind, "full disk"):
        if disk is not None:
            lost = trials.full_disk(kind, disk)
            figures["disk full: results lost, of 60"] = len(lost["full"])
            figures["… and when there is room again"] = len(lost["afterwards"])
            _complain(ours, "full disk", "\n".join(lost["full"] + lost["afterwards"]))
    if ours:
        _busy(figures, servers[0], options.busy)
    if ours and tracing.is_there():
        _system_calls(figures, servers)
    return figures


@contextmanager
def _section(kind, what):
    """Tell what is done now. A peer that does not get through it has no figures of it."""
    print(f"{time.strftime('%H:%M:%S')} {kind}: {what}", file=sys.stderr, flush=True)
    try:
        yield
    except (harness.Died, harness.Hung, AssertionError, subprocess.TimeoutExpired) as error:
        if kind == "skipstone":
            raise
        print(f"{kind}: {what}: {error}", file=sys.stderr, flush=True)


def _busy(figures, server, seconds):
    with _section("skipstone", "full speed"), _folder() as folder:
        tally = trials.full_speed(server, folder, seconds, 6)
    figures[f"7 processes at full speed for {seconds} s: records saved"] = f"{tally['saved']:,}"
    figures["… cleared meanwhile"] = f"{tally['cleared']:,}"
    figures["… lost, errors, warnings"] = tally["lost"] + tally["errors"] + tally["warnings"]
    _complain(True, "full speed", tally.told_of("lost", "errors", "warnings"))


def _system_calls(figures, servers):
    stopped = bad = states = badly = 0
    for durability in ("process", "power"):

        def check(server, left, acknowledged, durability=durability):
            seen = server.run("look", folder=left, durability=durability)
            return sequence.violations(seen, len(acknowledged))

        with _section("skipstone", f"crash points, durability={durability}"), _folder() as folder:
            tally = trials.crash_points(servers, "perform", folder, check, durability=durability)
            stopped, bad = stopped + tally["killed"], bad + sum(tally[each] for each in BROKEN)
            _complain(True, "crash points", tally.told_of(*BROKEN))
        with _section("skipstone", f"lost power, durability={durability}"), _folder() as folder:
            count, wrong = power.lose_power(servers, folder, durability, variants=4)
            states, badly = states + count, badly + len(wrong)
            _complain(True, "lost power", "\n".join(wrong[:10]))
    with _section("skipstone", "crash points of a migration"), _folder() as folder, _folder() as old:
        servers[0].run("ask_present", folder=old, ids=migration.IDS)
        tally, _ = trials.migrations(servers, old, folder)
        figures["migration stopped at a system call"] = tally["killed"]
        figures["… neither old nor new, or records lost"] = sum(tally[each] for each in BROKEN)
        _complain(True, "migration", tally.told_of(*BROKEN))
    figures["stopped at a system call"] = stopped
    figures["… promises broken"] = bad
    figures["states of the disk after lost power"] = f"{states:,}"
    figures["… promises broken "] = badly


def _folder():
    return tempfile.TemporaryDirectory(prefix="torture-", ignore_cleanup_errors=True)


@contextmanager
def _small_disk():
    if os.geteuid() != 0:
        print("not root: no full disk", file=sys.stderr)
        yield None
        return
    with _folder() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def _complain(ours, what, text):
    if ours and text:
        _complaints.append(what)
        print(f"{what}:\n{text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
