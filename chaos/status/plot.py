"""The figures as one SVG file. matplotlib is imported here alone, and only when a plot is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from chaos.status.storm import Outcome


def draw(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Draw how soon all agree and what is sent meanwhile; raise `ImportError` where matplotlib is missing."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # wanted for this alone, and slow to load

    path.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    shares, sizes = figure.subplots(1, 2)
    styles = ((":", "run again"), ("--", "known to run"), ("-", "workers that know all"))
    for style, what in styles:
        shares.plot([], [], style, color="black", label=what)
    for number, each in enumerate(outcomes):
        name, color = f"{each.workers:,} workers", f"C{number}"
        shares.plot([], [], "s", color=color, label=name)
        for (style, _), times in zip(styles, (each.runs_s, each.pairs_s, each.knows_s), strict=True):
            ended = [at for at in times if at < float("inf")]
            height = [(index + 1) / len(times) for index in range(len(ended))]
            shares.step(ended, height, style, where="post", color=color)
        at = [rate.at_s for rate in each.rates]
        sizes.plot(at, [(rate.datagrams + rate.streams) / 1_000 for rate in each.rates], color=color, label=name)
        sizes.plot(at, [rate.datagrams / 1_000 for rate in each.rates], ":", color=color, label=f"{name}: datagrams")
    shares.set(xlabel="seconds since a tenth of the workers died", ylabel="share", ylim=(0, 1.02), xlim=(0, None))
    sizes.set(
        xlabel="seconds since a tenth of the workers died", ylabel="kB a second and worker, in and out", xlim=(0, None)
    )
    for axes in (shares, sizes):
        axes.grid(alpha=0.3)
    shares.legend(fontsize=7, loc="upper left")
    sizes.legend(fontsize=7)
    figure.savefig(path, format="svg")
