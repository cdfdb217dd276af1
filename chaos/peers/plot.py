"""The figures as an SVG file. matplotlib is imported here alone, and only when a plot is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from chaos.peers.scenarios import Idle, Kill


def draw(path: Path, *, kills: Mapping[str, Sequence[Kill]], idles: Mapping[str, Sequence[Idle]], title: str) -> None:
    """Write the plot; raise `ImportError` where matplotlib is missing."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # wanted for this alone, and slow to load

    figure = Figure(figsize=(11, 4), layout="constrained")
    detection, cpu, memory = figure.subplots(1, 3, width_ratios=[2, 1, 1])
    figure.suptitle(title, fontsize=10)
    for number, (name, runs) in enumerate(kills.items()):
        colour = f"C{number}"
        declared = [kill.detection_s for kill in runs if kill.detection_s]
        if not declared:
            continue
        detection.ecdf([times[0] for times in declared], color=colour, linestyle="--", label=f"{name}: first to know")
        detection.ecdf([times[-1] for times in declared], color=colour, label=f"{name}: last to know")
    detection.set(xlabel="seconds since kill -9", ylabel="share of kills", xlim=(0, None))
    if detection.has_data():
        detection.legend(fontsize=8)
    names = list(idles)
    boxes = {
        cpu: ("CPU ms per second, idle node", [[s * 1e3 for run in idles[n] for s in run.cpu_share] for n in names]),
        memory: ("resident MiB, idle node", [[s / 2**20 for run in idles[n] for s in run.rss_bytes] for n in names]),
    }
    for axes, (label, values) in boxes.items():
        if names:
            axes.boxplot(values, tick_labels=names, whis=(0, 100))
        axes.set(ylabel=label, ylim=(0, None))
        axes.tick_params(axis="x", rotation=30)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg")
