"""The figures as an SVG file. matplotlib is imported here alone, and only when a plot is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from chaos.council.cluster import Kill


def draw(path: Path, kills: Sequence[Kill], *, bound_s: float, title: str) -> None:
    """Write the shares of kills that were over by then; raise `ImportError` where matplotlib is missing."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # wanted for this alone, and slow to load

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots()
    curves = {
        "held for dead by the first of the others": [kill.detected_s[0] for kill in kills],
        "a later leader leads": [kill.led_s for kill in kills],
        "next decision committed": [kill.decided_s for kill in kills],
        "job submitted at the kill answered, first": [kill.answered_s[0] for kill in kills],
    }
    for label, times in curves.items():
        axes.ecdf(times, label=label)
    axes.axvline(bound_s, color="C3", linestyle="--", label="bound of the medians")
    axes.set(xlabel="seconds since the kill", ylabel="share of kills", xlim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg")
