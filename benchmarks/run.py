"""Measure skipstone side by side with its peers, and write docs/benchmarks/."""

import argparse
import datetime as dt
import os
import platform
import shutil
import sqlite3
import sys
import time

import peers
import rounds
import tables
import workloads

GROUPS = list(dict.fromkeys(each.group for each in workloads.workloads(workloads.FULL)))
PAGES = os.path.join(os.path.dirname(rounds.HERE), "docs", "benchmarks")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, help="how often everything is measured (default: 9; quick: 3)")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, and fewer rounds")
    parser.add_argument(
        "--only", action="append", default=[], metavar="PEER", choices=list(peers.PEERS), help="may be repeated"
    )
    parser.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default="wall",
        help="cpu: processor time, for a machine that others use, too (default: wall)",
    )
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        choices=GROUPS,
        metavar="NAME",
        help=f"of {', '.join(GROUPS)}; may be repeated",
    )
    parser.add_argument(
        "--print", action="store_true", help="print the page instead of writing it, without pictures"
    )
    parser.add_argument("--drop", action="store_true", help=f"delete the stores that are kept in {rounds.KEPT}")
    options = parser.parse_args()
    if options.drop:
        shutil.rmtree(rounds.KEPT, ignore_errors=True)
        return
    began = time.monotonic()
    sizes = workloads.QUICK if options.quick else workloads.FULL
    wanted = [each for each in workloads.workloads(sizes) if not options.group or each.group in options.group]
    count = options.rounds or (3 if options.quick else 9)
    loads = [os.getloadavg()[0]]

    def tell(text):
        loads.append(os.getloadavg()[0])
        print(f"{time.monotonic() - began:5.0f} s: {text}", file=sys.stderr)

    results = rounds.measure(count, wanted, only=options.only, clock=options.clock, tell=tell)
    plots = []
    if not options.print:
        import plots as pictures

        os.makedirs(PAGES, exist_ok=True)
        plots = pictures.draw(results, wanted, PAGES)
    page = tables.report(
        results,
        count=count,
        workloads=wanted,
        records=sizes.records,
        machine=_machine(loads, options.clock),
        plots=plots,
    )
    if options.print:
        print(page, end="")
        return
    with open(os.path.join(PAGES, "README.md"), "w", encoding="utf-8") as file:
        file.write(page)


def _machine(loads, clock):
    python = f"{platform.python_implementation()} {platform.python_version()} with SQLite {sqlite3.sqlite_version}"
    system = f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} cores"
    text = f"{python} on {system}, {dt.datetime.now(tz=dt.UTC):%B %Y}; the load average was {min(loads):.0f} to {max(loads):.0f}"
    if max(loads) > 2:
        text += ", because others were at work on the machine"
    if clock == "cpu":
        text += (
            ". Times are therefore those of a processor, user and system, of all threads of a process. They leave out "
            "waiting for a disk or for one's turn, except those of processes at once and of work in processes"
        )
    return f"{text}."


if __name__ == "__main__":
    main()
