"""The figures as SVG files. matplotlib is imported here alone, and only when plots are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.papers.figures import size_figures, variant_figures
from chaos.papers.swim import E_RATIO, SAMPLE_S, Protocol
from chaos.papers.variants import VARIANTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.figure import Figure

    from chaos.papers.figures import Outcomes

NAMES = [variant.name for variant in VARIANTS]


def draw(directory: Path, outcomes: Outcomes) -> list[Path]:
    """Write every plot; return their paths. Raise `ImportError` where matplotlib is missing."""
    import matplotlib as mpl  # noqa: PLC0415  # wanted for this alone, and slow to load
    from matplotlib.figure import Figure  # noqa: PLC0415  # likewise

    plots: dict[str, tuple[Callable[[Figure, Outcomes], None], float]] = {
        "swim-size": (_draw_sizes, 9.0),
        "swim-loss": (_draw_loss, 7.0),
        "lifeguard-false-positives": (_draw_false, 9.0),
        "lifeguard-latency": (_draw_latency, 9.0),
    }
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    # ids come from the content: equal figures give equal files
    with mpl.rc_context({"svg.hashsalt": "swimstream", "font.size": 9}):
        for name, (fill, width) in plots.items():
            figure = Figure(figsize=(width, 3.6), layout="constrained")
            fill(figure, outcomes)
            paths.append(directory / f"{name}.svg")
            figure.savefig(paths[-1], format="svg", metadata={"Date": None})
    return paths


def _draw_sizes(figure: Figure, outcomes: Outcomes) -> None:
    rows = size_figures(outcomes)
    nodes = [row.nodes for row in rows]
    detection, load = figure.subplots(1, 2)
    errors = [2 * row.probed_error for row in rows]
    detection.errorbar(
        nodes, [row.probed for row in rows], yerr=errors, marker="o", capsize=3, label="first probed in period"
    )
    detection.axhline(E_RATIO, color="C0", linestyle=":", label="expected, e/(e-1)")
    detection.plot(nodes, [row.first for row in rows], marker="s", color="C1", label="declared dead by the first")
    detection.plot(nodes, [row.last for row in rows], marker="^", color="C2", label="known to all")
    detection.set(title="a crash", xlabel="members", ylabel="periods since the crash", xlim=(0, None))
    top = max((row.last for row in rows), default=1.0)
    detection.set_ylim(0, 1.6 * top)
    detection.legend(loc="upper left", fontsize=8)
    load.plot(nodes, [row.messages for row in rows], marker="o")
    load.axhline(2.0, color="C0", linestyle=":")
    load.set(title="load", xlabel="members", ylabel="messages a member and period", ylim=(0, 3), xlim=(0, None))


def _draw_loss(figure: Figure, outcomes: Outcomes) -> None:
    axes = figure.subplots()
    for number, protocol in enumerate(Protocol):
        runs = [each.sizes for each in outcomes.survivals if each.protocol is protocol]
        for position, sizes in enumerate(runs):
            at = [index * SAMPLE_S for index in range(len(sizes))]
            label = protocol.value if position == 0 else None
            axes.plot(at, sizes, color=f"C{number}", alpha=0.55, linewidth=1.2, label=label)
    axes.set(xlabel="seconds", ylabel="members left, one line a group", ylim=(0, None), xlim=(0, None))
    axes.legend(loc="center right", fontsize=8)


def _draw_false(figure: Figure, outcomes: Outcomes) -> None:
    rows = list(variant_figures(outcomes).values())
    total, by_count = figure.subplots(1, 2, width_ratios=[1.3, 1.0])
    places = range(len(rows))
    for shift, (label, values) in zip(
        (-0.2, 0.2),
        {
            "FP: by anybody": [row.false for row in rows],
            "FP-: by healthy members": [row.false_by_healthy for row in rows],
        }.items(),
        strict=True,
    ):
        bars = total.bar([place + shift for place in places], values, width=0.4, label=label)
        total.bar_label(bars, labels=[f"{value:,}" for value in values], fontsize=7, rotation=90, padding=3)
    total.set_yscale("symlog", linthresh=10)
    total.set(ylabel="false positives, all experiments", ylim=(0, 3_000 * max([10, *(row.false for row in rows)])))
    total.set_xticks(list(places), [row.variant for row in rows], rotation=20)
    total.legend(fontsize=8, loc="upper left")
    counts = sorted({each.concurrent for each in outcomes.intervals})
    for number, row in enumerate(rows):
        sums = [
            sum(each.false for each in outcomes.intervals if (each.variant, each.concurrent) == (row.variant, count))
            for count in counts
        ]
        by_count.plot(counts, sums, marker="osD^v"[number], label=row.variant, clip_on=False, zorder=3 + number)
    by_count.set_yscale("symlog", linthresh=10)
    by_count.set(xlabel="members blocked at once (C)", ylabel="false positives (FP)", ylim=(0, None), xlim=(0, None))
    by_count.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1.0))


def _draw_latency(figure: Figure, outcomes: Outcomes) -> None:
    first, last = figure.subplots(1, 2, sharex=True, sharey=True)
    for number, name in enumerate(NAMES):
        thresholds = [each for each in outcomes.thresholds if each.variant == name]
        for axes, values in (
            (first, [at for each in thresholds for at in each.first_s]),
            (last, [at for each in thresholds for at in each.last_s]),
        ):
            if values:
                # thinner and thinner: where lines coincide, each is still seen
                axes.ecdf(values, color=f"C{number}", label=name, linewidth=7.0 - 1.4 * number)
    first.set(title="until the first healthy member knew", ylabel="share of blocked members")
    last.set(title="until all healthy members knew")
    for axes in (first, last):
        axes.set(xlabel="seconds since the block")
        if axes.has_data():
            axes.legend(fontsize=8, loc="lower right")
