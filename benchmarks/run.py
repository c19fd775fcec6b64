"""Measure skipstone side by side with its peers, and print a page of Markdown."""

import argparse
import datetime as dt
import os
import platform
import sys

import peers
import rounds
import tables
import work

PAGE = os.path.join(os.path.dirname(rounds.HERE), "docs", "benchmarks", "README.md")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="how often everything is measured (default: 15)")
    parser.add_argument("--records", type=int, default=10_000, help="records in a store (default: 10,000)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="PEER", choices=list(peers.PEERS), help="may be repeated"
    )
    parser.add_argument(
        "--workload",
        action="append",
        default=[],
        metavar="NAME",
        choices=list(work.WORKLOADS),
        help="may be repeated",
    )
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/README.md instead of printing")
    options = parser.parse_args()
    results = rounds.measure(
        options.rounds,
        options.records,
        only=options.only,
        workloads=[name for name in work.WORKLOADS if not options.workload or name in options.workload],
        tell=lambda text: print(text, file=sys.stderr),
    )
    page = tables.report(results, rounds=options.rounds, records=options.records, machine=_machine())
    if options.write:
        os.makedirs(os.path.dirname(PAGE), exist_ok=True)
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(page)
    else:
        print(page, end="")


def _machine():
    python = f"{platform.python_implementation()} {platform.python_version()}"
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return f"{python} on {system}, {dt.datetime.now(tz=dt.UTC):%B %Y}"


if __name__ == "__main__":
    main()
