"""Adds to the report of pytest-benchmark what its readers look for first: whether all went well, and us a packet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

TARGET_US = 60.0


class Stats(Protocol):
    """Seconds of a round."""

    min: float
    median: float


class Measured(Protocol):
    """One benchmark of pytest-benchmark, which comes without types."""

    name: str
    has_error: bool
    extra_info: dict[str, int]
    stats: Stats


def pytest_benchmark_update_json(
    config: pytest.Config, benchmarks: Sequence[Measured], output_json: dict[str, object]
) -> None:
    """Write `ok` (all were measured; time is no gate) and the figures, microseconds of CPU a packet."""
    output_json["ok"] = bool(benchmarks) and not any(each.has_error for each in benchmarks)
    output_json["target_us"] = TARGET_US
    output_json["load_average"] = os.getloadavg()
    output_json["us_a_packet"] = {
        each.name: {
            "min": round(each.stats.min / each.extra_info["packets"] * 1e6, 2),
            "median": round(each.stats.median / each.extra_info["packets"] * 1e6, 2),
        }
        for each in benchmarks
    }
