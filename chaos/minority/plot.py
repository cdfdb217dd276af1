"""The beats as an SVG file: who ran what when. matplotlib is imported here alone, and only when a plot is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from chaos.minority.verdict import Beat, Trial


def draw(path: Path, trial: Trial, beats: Sequence[Beat]) -> None:
    """Write one trial's plot: a line an instance, coloured by worker. Raise `ImportError` without matplotlib."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # wanted for this alone, and slow to load

    rows = sorted({(beat.operator, beat.index) for beat in beats}, reverse=True)
    workers = sorted({beat.worker for beat in beats})
    figure = Figure(figsize=(12, 1.5 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for number, worker in enumerate(workers):
        seen = [beat for beat in beats if beat.worker == worker and beat.at > trial.cut_at - 3]
        times = [beat.at - trial.cut_at for beat in seen]
        heights = [rows.index((beat.operator, beat.index)) + 0.1 * (number - len(workers) / 2) for beat in seen]
        label = f"{worker}, cut off" if worker in trial.minority else worker
        axes.plot(times, heights, "|", markersize=3, color=f"C{number}", label=label)
    for at, label in ((0.0, "cut"), (trial.isolation_s, "L"), (trial.healed_at - trial.cut_at, "healed")):
        axes.axvline(at, color="black", linewidth=0.8, linestyle="--")
        axes.annotate(label, (at, len(rows) - 0.4), fontsize=8)
    axes.set_yticks(range(len(rows)), [f"{operator} {index}" for operator, index in rows])
    axes.set(xlabel="seconds since the cut")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg")
