"""The figures as an SVG file. matplotlib is imported here alone, and only when a plot is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.soak.nemesis import COMMANDS, DRAIN, EMPTY, ENDING, LEAVE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from chaos.soak.growth import Sample
    from chaos.soak.verdict import Soak

FIGURES = {"rss_mib": "memory (MiB)", "fds": "descriptors", "threads": "threads"}
SHADES = {"killed": "C3", "stopped for a while": "C1", "drained, or left": "C0", "commanded": "C2"}
MINUTE_S = 60.0
SHORTEST_S = 0.5
"""Drawn as if it had lasted so long, to be seen."""
POINTS_MAX = 150
"""So many samples of the longest life are drawn; the rest would only make the file large."""


def draw(path: Path, soak: Soak, *, spared: Sequence[str], title: str) -> None:
    """Write memory, descriptors and threads over time, the strikes shaded; raise `ImportError` without matplotlib."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # wanted for this alone, and slow to load
    from matplotlib.patches import Patch  # noqa: PLC0415  # likewise

    figure = Figure(figsize=(11, 9), layout="constrained")
    figure.suptitle(title, fontsize=10)
    lives: dict[tuple[str, int], list[Sample]] = {}
    for sample in soak.samples:
        lives.setdefault((sample.name, sample.pid), []).append(sample)
    step = 1 + max(map(len, lives.values()), default=0) // POINTS_MAX
    all_axes = figure.subplots(len(FIGURES), sharex=True)
    for axes, (what, label) in zip(all_axes, FIGURES.items(), strict=True):
        for sort, spans in _spans(soak).items():
            height = axes.get_xaxis_transform()  # from the axis below to the one above, whatever the scale
            axes.broken_barh(spans, (0, 1), transform=height, color=SHADES[sort], alpha=0.15, linewidth=0)
        for (name, _), life in sorted(lives.items()):
            lived_on = name.removesuffix(".peer") in spared
            axes.plot(
                [each.at / MINUTE_S for each in life[::step]],
                [getattr(each, what) for each in life[::step]],
                color=("C4" if name.endswith(".peer") else "k") if lived_on else "0.6",
                linewidth=1.4 if lived_on else 0.6,
            )
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    all_axes[-1].set_xlabel("minutes")
    patches = [Patch(color=colour, alpha=0.3, label=label) for label, colour in SHADES.items()]
    patches += [
        Patch(color="k", label="workers never ended"),
        Patch(color="C4", label="their peers"),
        Patch(color="0.6", label="all others"),
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg")


def _spans(soak: Soak) -> dict[str, list[tuple[float, float]]]:
    """Return for each sort of strike when they began and how long they lasted, in minutes."""
    found: dict[str, list[tuple[float, float]]] = {}
    for strike in soak.strikes:
        lasted_s = max(strike.until - strike.at, SHORTEST_S)
        found.setdefault(_sort(strike.kind), []).append((strike.at / MINUTE_S, lasted_s / MINUTE_S))
    return found


def _sort(kind: str) -> str:
    if kind in (DRAIN, EMPTY, LEAVE):
        return "drained, or left"
    if kind in COMMANDS:
        return "commanded"
    return "killed" if kind in ENDING else "stopped for a while"
