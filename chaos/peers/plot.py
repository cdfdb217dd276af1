"""The figures as SVG files. matplotlib is imported here alone, and only when a plot is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chaos.peers.figures import Runs, Spread, Summary, Way


ASIDE = 0.06
"""By so much of the way to the next size the points of one peer stand beside those of another."""


def draw(path: Path, runs: Mapping[str, Runs], *, title: str) -> None:
    """Write the plot of one size; raise `ImportError` where matplotlib is missing."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # wanted for this alone, and slow to load

    figure = Figure(figsize=(13, 7), layout="constrained")
    figure.suptitle(title, fontsize=10)
    (detection, change, goodbye), costs = figure.subplots(2, 3)
    _curves(
        detection, "seconds since kill -9", {name: [k.detection_s for k in each.kills] for name, each in runs.items()}
    )
    _curves(change, "seconds since a change", {name: [n.heard_s for n in each.changes] for name, each in runs.items()})
    _curves(
        goodbye, "seconds since a goodbye", {name: [n.heard_s for n in each.goodbyes] for name, each in runs.items()}
    )
    idles = {name: each.idles for name, each in runs.items()}
    boxes: list[tuple[str, Iterable[Sequence[float]]]] = [
        ("CPU ms per second", ([s * 1e3 for idle in each for s in idle.cpu_share] for each in idles.values())),
        ("resident MiB", ([s / 2**20 for idle in each for s in idle.rss_bytes] for each in idles.values())),
        ("bytes per second", ([rate for idle in each for rate in idle.bytes_per_s] for each in idles.values())),
    ]
    for axes, (label, values) in zip(costs, boxes, strict=True):
        found = [list(each) for each in values]
        if any(found):
            axes.boxplot(found, tick_labels=list(idles), whis=(0, 100))
        axes.set(ylabel=f"{label}, idle node", ylim=(0, None))
        _say_if_empty(axes)
    _save(figure, path)


def draw_sizes(path: Path, summaries: Mapping[int, Mapping[str, Summary]]) -> None:
    """Write the plot over all sizes; raise `ImportError` where matplotlib is missing."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # as above

    figure = Figure(figsize=(13, 7), layout="constrained")
    figure.suptitle("p50 over observers (line) and p99 (dashes); means over idle nodes", fontsize=10)
    (detection, change, goodbye), (cpu, memory, sizes) = figure.subplots(2, 3)
    places = {nodes: place for place, nodes in enumerate(sorted(summaries))}
    for number, name in enumerate(dict.fromkeys(name for each in summaries.values() for name in each)):
        found = {nodes: each[name] for nodes, each in sorted(summaries.items())}
        aside = (number - 1) * ASIDE
        ways: list[tuple[Axes, dict[int, Way]]] = [
            (detection, {nodes: each.kill for nodes, each in found.items()}),
            (change, {nodes: each.change for nodes, each in found.items()}),
            (goodbye, {nodes: each.goodbye for nodes, each in found.items()}),
        ]
        for axes, by_size in ways:
            times = {places[nodes] + aside: way.each for nodes, way in by_size.items() if way.each is not None}
            for share, style in (("p50", "o-"), ("p99", "^--")) if times else ():
                heights = [getattr(each, share) for each in times.values()]
                axes.plot(list(times), heights, style, color=f"C{number}", label=f"{name} {share}")
        costs: list[tuple[Axes, float, dict[int, Spread | None]]] = [
            (cpu, 1e3, {nodes: each.cpu_share for nodes, each in found.items()}),
            (memory, 2**-20, {nodes: each.rss_bytes for nodes, each in found.items()}),
            (sizes, 1, {nodes: each.bytes_per_s for nodes, each in found.items()}),
        ]
        for axes, scale, spreads in costs:
            means = {places[nodes] + aside: each.mean * scale for nodes, each in spreads.items() if each is not None}
            if means:
                axes.plot(list(means), list(means.values()), "s-", color=f"C{number}", label=f"{name} mean")
    labels = {
        detection: "seconds from kill -9 to its detection",
        change: "seconds from a change to its news",
        goodbye: "seconds from a goodbye to its news",
        cpu: "CPU ms per second, idle node",
        memory: "resident MiB, idle node",
        sizes: "bytes per second, idle node",
    }
    for axes, label in labels.items():
        axes.set(xlabel="nodes", ylabel=label, xlim=(-0.5, max(1, len(places)) - 0.5), ylim=(0, None))
        axes.set_xticks(list(places.values()), [str(nodes) for nodes in places])
        _say_if_empty(axes)
    _save(figure, path)


def _curves(axes: Axes, label: str, times: Mapping[str, Sequence[Sequence[float]]]) -> None:
    """Draw, for each peer, the share of all observers who know by then, and of the pieces of news that all know."""
    for number, (name, news) in enumerate(times.items()):
        known = [each for each in news if each]
        if known:
            axes.ecdf([time for each in known for time in each], color=f"C{number}", label=f"{name}: each observer")
            axes.ecdf([each[-1] for each in known], color=f"C{number}", linestyle="--", label=f"{name}: the last")
    axes.set(xlabel=label, ylabel="share", xlim=(0, None))
    _say_if_empty(axes)


def _save(figure: Figure, path: Path) -> None:
    """Write the figure with one legend below all plots: within a plot it would hide curves."""
    lines = {str(line.get_label()): line for axes in figure.axes for line in axes.lines}
    named = {label: line for label, line in lines.items() if not label.startswith("_")}
    if named:
        figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=len(named), fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg")


def _say_if_empty(axes: Axes) -> None:
    """Say that nothing was measured, in place of an axis from 0 to 1."""
    if not axes.lines:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", va="center", color="grey")
