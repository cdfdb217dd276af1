"""Delays against their curves, as an SVG file. matplotlib is imported here alone, and only when a plot is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.net.curves import CURVES, curve

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from chaos.conformance.flight import Flight


def draw(path: Path, flights: Mapping[str, Flight], *, base_ms: float, title: str) -> None:
    """Write the share of packets that took at most so long, for each flight. Raise `ImportError` without matplotlib."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # wanted for this alone, and slow to load

    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots()
    for number, (case, flight) in enumerate(flights.items()):
        delays = sorted(delay - base_ms for delay in flight.delays_ms())
        shares = [(rank + 1) / len(delays) for rank in range(len(delays))]
        axes.step(delays, shares, color=f"C{number}", label=case, linewidth=1.5)
        wanted = next(name for name in reversed(CURVES) if case.endswith(name))
        values = [50 + 10 * unit for unit in curve(wanted)]
        points = [(rank + 0.5) / len(values) for rank in range(len(values))]
        axes.plot(values, points, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlabel="one-way delay (ms)", ylabel="share of the packets", title=f"{title}; dotted: what was asked for")
    axes.legend(loc="lower right", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg")
