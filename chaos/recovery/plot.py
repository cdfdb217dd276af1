"""The figures as an SVG file. matplotlib is imported here alone, and only when a plot is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.recovery.figures import BOUNDS_S, GUARANTEES, TOLD_S_MAX, series
from chaos.recovery.others import OTHERS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from chaos.recovery.diary import Kill

COLOURS = {"at-least-one": "C0", "at-most-one": "C3"}


def draw(path: Path, kills: Sequence[Kill], *, title: str) -> None:
    """Write a row a series, every death a dot, above the documented ranges of others; raise `ImportError`."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # wanted for this alone, and slow to load

    every = series(kills)
    rows = len(every) + len(OTHERS)
    figure = Figure(figsize=(10, 1.8 + 0.24 * rows), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots()
    labels = []
    for row, each in enumerate(every):
        guarantee = GUARANTEES[each.operator]
        colour = COLOURS[guarantee]
        axes.plot(each.running_s, [row] * len(each.running_s), ".", color=colour, alpha=0.5, markersize=5)
        axes.plot([each.share(0.5)], [row], "|", color=colour, markersize=13, markeredgewidth=2.5)
        labels.append(
            f"{each.preset}, {each.way}, {'the leader' if each.was_leader else 'not the leader'}, {guarantee}"
        )
    for row, other in enumerate(OTHERS, start=len(every)):
        width = max(other.to_s - other.from_s, 0.04 * other.to_s)
        axes.barh(row, width, left=other.from_s, height=0.6, color="0.6")
        labels.append(f"{other.system}, documented default")
    for operator, (p50_s, _) in BOUNDS_S.items():
        axes.axvline(
            p50_s, color=COLOURS[GUARANTEES[operator]], linestyle="--", linewidth=1,
            label=f"target on lan, {GUARANTEES[operator]}, p50 {p50_s:g} s",
        )  # fmt: skip
    axes.axvline(
        TOLD_S_MAX, color="0.3", linestyle=":", linewidth=1, label=f"target if the peer survives, p50 {TOLD_S_MAX:g} s"
    )
    axes.set_yticks(range(rows), labels, fontsize=7)
    axes.invert_yaxis()
    axes.set_xscale("log")
    ticks = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 300]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("seconds from SIGKILL until all of the victim's instances run elsewhere; | is the median")
    axes.grid(alpha=0.3, axis="x")
    axes.legend(loc="upper right", fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg")
