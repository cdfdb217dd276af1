"""The figures as SVG files. matplotlib is imported here alone, and only when plots are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.authority.figures import VICTIMS
from chaos.authority.town import PACES

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.authority.figures import Outcomes


def draw(directory: Path, outcomes: Outcomes) -> None:
    """Write `age.svg`, `load.svg` and `recovery.svg`; raise `ImportError` where matplotlib is missing."""
    directory.mkdir(parents=True, exist_ok=True)
    _ages(directory / "age.svg", outcomes)
    _load(directory / "load.svg", outcomes)
    _recovery(directory / "recovery.svg", outcomes)


def _ages(path: Path, outcomes: Outcomes) -> None:
    """Draw, for each preset, the share of moments at which authority was no older."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # wanted for this alone, and slow to load

    paces = list(dict.fromkeys(each.pace for each in outcomes.fresh))
    figure = Figure(figsize=(5.5 * max(1, len(paces)), 4), layout="constrained")
    for axes, pace in zip(figure.subplots(1, max(1, len(paces)), squeeze=False)[0], paces, strict=False):
        found = sorted((each for each in outcomes.fresh if each.pace == pace), key=lambda each: each.workers)
        for each in found:
            axes.ecdf(each.ages_s, label=f"{each.workers:,} workers")
        isolation_s = found[0].isolation_s
        for share, word in ((1 / 3, "asks"), (0.8, "stops"), (1.0, "L")):
            axes.axvline(share * isolation_s, color="black", linewidth=0.8, linestyle="--")
            axes.annotate(word, (share * isolation_s, 0.02), fontsize=8, rotation=90)
        axes.set(xlabel="age of authority, s", ylabel="share of moments", title=f"{pace}, L = {isolation_s:g} s")
        axes.set_xlim(0, 1.05 * isolation_s)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, format="svg")


def _load(path: Path, outcomes: Outcomes) -> None:
    """Draw packets and bytes a second against the size of the cluster."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # as above

    figure = Figure(figsize=(11, 4), layout="constrained")
    columns = figure.subplots(1, 2)
    for axes, unit in zip(columns, ("packets", "bytes"), strict=True):
        for number, pace in enumerate(dict.fromkeys(each.pace for each in outcomes.fresh)):
            found = sorted((each for each in outcomes.fresh if each.pace == pace), key=lambda each: each.workers)
            for style, who in (("^:", "leader"), ("o-", "council"), ("s--", "others")):
                points = [(each.workers, getattr(each, who)) for each in found]
                line = [(size, rates[f"{unit}_in"] + rates[f"{unit}_out"]) for size, rates in points if rates]
                label = {"leader": "leader", "council": "another seat", "others": "no seat"}[who]
                axes.plot(*zip(*line, strict=True), style, color=f"C{number}", label=f"{pace}, {label}")
        axes.set(xscale="log", xlabel="workers", ylabel=f"{unit} a second, in and out", ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, format="svg")


def _recovery(path: Path, outcomes: Outcomes) -> None:
    """Draw, for each preset, the share of crashes after which the instance ran elsewhere by then."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # as above

    figure = Figure(figsize=(14, 4), layout="constrained")
    for axes, pace in zip(figure.subplots(1, len(PACES)), PACES, strict=True):
        for number, victim in enumerate(VICTIMS):
            found = outcomes.of(pace, victim)
            if found:
                axes.ecdf([each.at_least_one_s for each in found], color=f"C{number}", linestyle="--",
                          label=f"{victim}, at least one")  # fmt: skip
                axes.ecdf([each.at_most_one_s for each in found], color=f"C{number}", label=f"{victim}, at most one")
        axes.set(xlabel="seconds from the crash to the start elsewhere", title=pace, xlim=(0, None))
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    figure.savefig(path, format="svg")
