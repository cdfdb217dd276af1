"""What the operators read: one airport's flights in time order, and its weather by the hour.

Files are taken in the order of their names, rows in the order of their lines, then the flights are sorted by
`time_hour` (a stable sort), so that row k is the same row for whoever reads the same files: offsets are positions
in that order. Times are UTC text of one fixed width and compare as text.
"""

from __future__ import annotations

import csv
import gzip
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MISSING = ("", "NA")
WEATHER_COLUMNS = ("temp", "wind_speed", "precip", "visib")


@attrs.frozen
class Flight:
    """One scheduled departure."""

    time_hour: str
    cancelled: bool
    """It has no departure time."""
    delay: int | None
    """Minutes; negative when it left early, None when it did not leave or nobody noted it."""


def read_flights(data: Path, origin: str) -> list[Flight]:
    """Return every flight of one airport, of all months found, in time order. Raise `ValueError` for bad input."""
    flights: list[Flight] = []
    for row in _rows(data, "flights"):
        if row["origin"] == origin:
            cancelled = row["dep_time"] in MISSING
            delay = None if cancelled or row["dep_delay"] in MISSING else int(row["dep_delay"].removesuffix(".0"))
            flights.append(Flight(row["time_hour"], cancelled, delay))
    flights.sort(key=lambda flight: flight.time_hour)
    return flights


def read_weather(data: Path, origin: str) -> Mapping[str, tuple[str, ...]]:
    """Return one airport's weather by hour: the text of `WEATHER_COLUMNS`. The last row of an hour wins."""
    weather: dict[str, tuple[str, ...]] = {}
    for row in _rows(data, "weather"):
        if row["origin"] == origin:
            fields = tuple("" if row[column] in MISSING else row[column] for column in WEATHER_COLUMNS)
            weather[row["time_hour"]] = fields
    return weather


def _rows(data: Path, what: str) -> Iterator[dict[str, str]]:
    paths = sorted(data.glob(f"{what}-*.csv.gz"))
    if not paths:
        raise ValueError(f"{data}: expected files named {what}-*.csv.gz, found none")
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
            yield from csv.DictReader(text)
