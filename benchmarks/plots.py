"""Results as pictures."""

import matplotlib as mpl
import matplotlib.pyplot as plt

from peers import OURS

mpl.use("svg")
# The same results make the same file, and texts stay texts.
mpl.rcParams.update({"svg.hashsalt": "skipstone", "svg.fonttype": "none", "font.size": 9})
_OURS_COLOUR, _THEIR_COLOUR = "#1f6f8b", "#b8c4cc"


def draw(results, workloads, folder):
    """Write the pictures into a folder; return the name, title and group of each."""
    plots = []
    by_group = {}
    for workload in workloads:
        if workload.name in results.times:
            by_group.setdefault(workload.group, []).append(workload)
    for group in ("Hits", "Saves", "The start"):
        if group in by_group:
            title = f"{group}, {by_group[group][0].unit} (logarithmic)"
            plots.append((f"{_file(group)}.svg", title, group))
            _bars(results, by_group[group], f"{folder}/{_file(group)}.svg")
    if len({workload.records for workload in by_group.get("Growth", ())}) > 1:
        plots.append(("growth.svg", "Growth: µs for a hit, ms for opening, by number of records", "Growth"))
        _lines(results, by_group["Growth"], f"{folder}/growth.svg")
    return plots


def _file(group):
    return group.lower().replace(" ", "-")


def _bars(results, workloads, path):
    figure, all_axes = plt.subplots(1, len(workloads), figsize=(3.6 * len(workloads), 4.2), layout="constrained")
    for axes, workload in zip(all_axes, workloads, strict=True):
        peers = sorted(results.times[workload.name], key=lambda peer: -results.median(workload.name, peer))
        spreads = [results.spread(workload.name, peer) for peer in peers]
        medians = [spread.median for spread in spreads]
        errors = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
        colours = [_OURS_COLOUR if peer == OURS else _THEIR_COLOUR for peer in peers]
        axes.barh(peers, medians, xerr=errors, color=colours, ecolor="#555555", capsize=2)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        axes.set_title(f"{workload.name}, {workload.unit}")
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _lines(results, workloads, path):
    ways = list(dict.fromkeys(workload.name.rpartition(", ")[0].split(",")[0] for workload in workloads))
    figure, all_axes = plt.subplots(1, len(ways), figsize=(3.6 * len(ways), 3.4), layout="constrained")
    for axes, way in zip(all_axes, ways, strict=True):
        of_way = [workload for workload in workloads if workload.name.startswith(f"{way},")]
        for peer in results.versions:
            points = [(each.records, results.median(each.name, peer)) for each in of_way]
            points = [point for point in points if point[1] is not None]
            if len(points) > 1:
                axes.plot(*zip(*points, strict=True), marker="o", label=peer, linewidth=2 if peer == OURS else 1)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(f"{way}, {of_way[0].unit}")
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[-1].legend(fontsize=7)
    _save(figure, path)


def _save(figure, path):
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
