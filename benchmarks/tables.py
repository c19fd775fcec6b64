"""Results as Markdown."""

import work
from peers import FLOOR, OURS


def report(results, *, rounds, records, machine):
    """Return a page: all medians in one table, then each workload with its spread and ratios."""
    method = (
        f"Medians of {rounds} interleaved rounds, each measurement in a fresh process; {records:,} records of about "
        f"200 bytes. {machine}. Take ratios, not times: they are those of the same round."
    )
    parts = ["# Benchmarks", method, _summary(results)]
    for workload, (_, unit, meaning) in work.WORKLOADS.items():
        if workload in results.times:
            parts += [f"## {workload.capitalize()}", f"In {unit}: {meaning}.", _details(results, workload)]
    versions = sorted({version for of_peer in results.versions.values() for version in of_peer})
    parts += ["## Versions", f"{', '.join(versions)}."]
    return "\n\n".join(parts) + "\n"


def _summary(results):
    workloads = [workload for workload in work.WORKLOADS if workload in results.times]
    head = [
        "",
        *(f"{workload}, {work.WORKLOADS[workload][1]}" for workload in workloads),
        "bytes on disk per record",
    ]
    rows = []
    for peer, size in results.bytes_per_record.items():
        medians = [results.spread(workload, peer) for workload in workloads]
        rows.append([_bold(peer), *(number(spread and spread.median) for spread in medians), number(size)])
    return table(head, rows)


def _details(results, workload):
    head = ["", "median", "quartiles", f"x {FLOOR}", f"x {OURS}"]
    rows = []
    for peer in results.times[workload]:
        spread = results.spread(workload, peer)
        ratios = [results.ratio(workload, peer, other) for other in (FLOOR, OURS)]
        quartiles = f"{number(spread.low)} to {number(spread.high)}"
        rows.append(
            [_bold(peer), number(spread.median), quartiles, *(number(ratio and ratio.median) for ratio in ratios)]
        )
    return table(head, rows)


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bold(peer):
    return f"**{peer}**" if peer == OURS else peer


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
