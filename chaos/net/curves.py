"""How netem's jitter is spread: the curves of iproute2's tables, computed, so that they need no file.

A curve is its value at evenly spaced shares of probability, in units of the jitter. `maketable` of iproute2 makes the
same numbers: they differ by less than 0.0001 except in the outermost of 4,096 (there by 0.33 at the most).
"""

from __future__ import annotations

import functools
from statistics import NormalDist

UNIFORM = "uniform"
CURVES = (UNIFORM, "normal", "pareto", "paretonormal")
POINTS = 4_096
SIGMAS_MAX = 4.0
"""A table is of 16-bit numbers, 8,192 a unit."""


@functools.cache
def curve(name: str) -> tuple[float, ...]:
    """Return the curve, rising, of mean and spread near 0 and 1 (uniform: from -1 to 1)."""
    shares = [(point + 0.5) / POINTS for point in range(POINTS)]
    if name == UNIFORM:
        return tuple(2 * share - 1 for share in shares)
    normal = [_clipped(NormalDist().inv_cdf(share)) for share in shares]
    pareto = [_clipped(((point / POINTS) ** (-1 / 3) - 1.5) * 4 / 3) for point in range(POINTS, 0, -1)]
    mixed = [0.25 * one + 0.75 * other for one, other in zip(normal, pareto, strict=True)]
    return tuple({"normal": normal, "pareto": pareto, "paretonormal": mixed}[name])


def _clipped(value: float) -> float:
    return max(-SIGMAS_MAX, min(SIGMAS_MAX, value))
