"""The figures as an SVG file. matplotlib is imported here alone, and only when a plot is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from chaos.worlds.outcome import Outcome


def draw(path: Path, outcomes: Sequence[Outcome], *, title: str) -> None:
    """Write the plot: for each story how long it took, as a share of the bound. Raise `ImportError` without matplotlib.

    A share, since the bounds grow with the cluster and the worlds are of different sizes; 1 would be a breach.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  # wanted for this alone, and slow to load

    kept = [outcome for outcome in outcomes if outcome.broken is None]
    stories = list(dict.fromkeys(outcome.story for outcome in kept))
    figure = Figure(figsize=(13, 2 + 0.28 * len(stories)), layout="constrained")
    figure.suptitle(title, fontsize=10)
    columns = figure.subplots(1, 3, sharey=True)
    shares = {
        "death seen by a live worker (P1)": [
            [time / each.detection_s_max for each in kept if each.story == story for time in each.detection_s]
            for story in stories
        ],
        "views of the members right (P3)": [
            [each.members_settled_s / each.members_settling_s_max for each in kept if each.story == story]
            for story in stories
        ],
        "everything right (P3)": [
            [each.settled_s / each.settling_s_max for each in kept if each.story == story] for story in stories
        ],
    }
    for axes, (label, values) in zip(columns, shares.items(), strict=True):
        axes.boxplot([found or [0.0] for found in values], vert=False, whis=(0, 99), flierprops={"markersize": 2})
        axes.axvline(1.0, color="C3")
        axes.set(xlabel="share of the bound", title=label, xlim=(0, 1.05))
        axes.grid(axis="x", alpha=0.3)
    columns[0].set_yticks(range(1, len(stories) + 1), stories)
    columns[0].invert_yaxis()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg")
