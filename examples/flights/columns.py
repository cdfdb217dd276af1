"""The shape of the result: all that the operators and the reference computation have in common."""

from __future__ import annotations

COLUMNS = (
    "time_hour",
    "origin",
    "flights",
    "cancelled",
    "mean_dep_delay",
    "max_dep_delay",
    "temp",
    "wind_speed",
    "precip",
    "visib",
)
"""Of the CSV and of the sink's table. Sorted by the first two; every value is text."""

ORIGINS = ("EWR", "JFK", "LGA")
"""The airports that the job has a source for."""
