"""Results as Markdown."""

from collections import Counter

import goals
import peers
import rounds
from peers import FLOOR, OURS

_NOTES = {
    "Hits": "In order and at random, there is one call per record. Together, one call asks for all records: `map` of "
    "skipstone, and the one call that exca is made for; compare these two. exca is not meant for one call per item, so it "
    "gets a tenth of the calls there, as do cachier and dbos. By hand, exca and diskcache-rs have read their records or their "
    "index when the clock starts, and skipstone reads its records while it runs; what an index costs is under Resume and Growth.",
    "Saves": "Times without the function itself. Together is `map` of skipstone, one call of exca, and one transaction by hand "
    "and of diskcache, whose results are not safe before the transaction ends.",
    "Resume": "From opening to the last result. The benchmark drops results as they come; memory is what the process grew by. "
    "exca takes a list of all items, which is included.",
    "Growth": "Opening and first hit, and hits from the middle of the store on, or at random. The stores were just filled, so "
    "the system may hold them in memory.",
    "Large results": "By hand is a bare `write` of the same bytes, and a copy of them from memory to memory, which checks "
    "nothing. Nothing is synced, so a save goes into the memory of the system.",
    "Processes at once": "Each process saves and hits by turns, in one store. A figure is the total time divided by the calls "
    "of all.",
    "Work in processes": "By hand is a bare `ProcessPoolExecutor`. Figures are ms per call; a call only computes, for some "
    "milliseconds.",
    "Digests": "The digest of one argument, when no id is given. By hand is a digest of a pickle, which may differ between "
    "processes for equal values.",
}


def report(results, *, count, workloads, records, machine, plots):
    """Return a page: goals, what each peer lacks, and for each group of workloads its medians, ratios and spread."""
    method = (
        f"Figures are medians of {count} interleaved rounds ({-(-count // rounds.LONG_EVERY)} for what takes long). Each "
        f"measurement runs in a fresh process, with {records:,} records of about 200 bytes unless a table says otherwise. "
        f"{machine} Compare ratios rather than times: a ratio is that of two measurements of the same round. `make bench` "
        f"makes this page; [notes](NOTES.md) say what was tried."
    )
    parts = ["# Benchmarks", method, "## Goals", _goals(results), "## What each one lacks", _lacks(results)]
    for group in dict.fromkeys(workload.group for workload in workloads):
        measured = [each for each in workloads if each.group == group and each.name in results.times]
        if measured:
            parts += [f"## {group}", _NOTES.get(group, ""), *_pictures(group, plots), _summary(results, measured)]
            parts += [_folded("Spread and ratios", "\n\n".join(_details(results, each) for each in measured))]
    parts += ["## Bytes on disk per record", _bytes(results)]
    if results.lost:
        problems = Counter(results.lost).items()
        parts += ["## What did not work", "\n".join(f"- {problem} ({count} times)" for problem, count in problems)]
    versions = sorted({version for of_peer in results.versions.values() for version in of_peer})
    parts += ["## Versions", f"{', '.join(versions)}."]
    return "\n\n".join(part for part in parts if part) + "\n"


def _goals(results):
    rows = []
    for goal in goals.GOALS:
        found = goal.measured(results, OURS)
        if found is None:
            continue
        sign = "at most" if goal.is_ceiling else "at least"
        is_met = "yes" if goal.is_met(found) else "**no**"
        floor = number(goal.measured(results, FLOOR))
        rows.append([goal.text, f"{sign} {number(goal.limit)}", number(found), is_met, floor])
    return table(["", "goal", "skipstone", "met", FLOOR], rows) + (
        "\n\nThe last column is the floor: the same work written by hand, with the checksum and nothing else that a library "
        "is for. If the floor does not reach a goal, no library in Python over SQLite does."
    )


def _lacks(results):
    rows = [[peer, peers.PEERS[peer].lacks] for peer in results.versions if peers.PEERS[peer].lacks]
    return table(["", "lacks"], rows) + (
        "\n\nOnce: of all who ask for the same call at the same time, one runs it. Crash safety: a killed process leaves no "
        "half-written record ([reliability](../reliability.md) shows which libraries leave one). Checksums: what was "
        "damaged is not returned as a result."
    )


def _pictures(group, plots):
    return [f"![{title}]({name})" for name, title, of_group in plots if of_group == group]


def _summary(results, workloads):
    head = [""]
    for each in workloads:
        head += [f"{each.name}, {each.unit}"] + [f"{each.name}, MiB"] * each.has_memory
    rows = []
    for peer in results.versions:
        cells = []
        for each in workloads:
            cells += [number(results.median(each.name, peer))]
            cells += [number(results.memory_mib(each.name, peer))] * each.has_memory
        if any(cell != "-" for cell in cells):
            rows.append([_bold(peer), *cells])
    return table(head, rows)


def _details(results, workload):
    head = [f"{workload.name}, {workload.unit}", "median", "quartiles", f"x {FLOOR}", f"x {OURS}"]
    rows = []
    for peer in results.times[workload.name]:
        spread = results.spread(workload.name, peer)
        ratios = [results.ratio(workload.name, peer, other) for other in (FLOOR, OURS)]
        quartiles = f"{number(spread.low)} to {number(spread.high)}"
        rows.append(
            [_bold(peer), number(spread.median), quartiles, *(number(ratio and ratio.median) for ratio in ratios)]
        )
    return f"{workload.meaning}.\n\n{table(head, rows)}"


def _bytes(results):
    rows = [[_bold(peer), number(size)] for peer, size in results.bytes_per_record.items()]
    return table(["", "bytes"], rows) + f"\n\nA result is {goals.RESULT_BYTES} bytes as a pickle."


def _folded(title, text):
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bold(peer):
    return f"**{peer}**" if peer == OURS else peer


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.3g}"
