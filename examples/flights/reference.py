"""The same result, computed plainly: one process, one pass, no stream. What the job's result is measured against.

Shares nothing with the operators but the list of columns: it has its own reader, which checks every row, and its own
sums. `python -m flights.reference --data DIR` prints the CSV.

The rules, in full: a row of the result is one hour of one airport with at least one scheduled flight. A flight without
`dep_time` (empty or NA) is cancelled and not in the delays; neither is one whose `dep_delay` is missing. Delays are
whole minutes; their mean is the exact quotient rounded to three decimals, half to even. Mean and maximum are empty
when no delay is known. Weather is the text of the last weather row of that hour and airport (a later reading corrects
an earlier one), NA and no row give empty text. Weather of other airports is ignored, flights from other airports are
an error.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import re
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path
from typing import TextIO

import attrs

from flights.columns import COLUMNS, ORIGINS

HOUR = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:00:00Z")
MINUTES = re.compile(r"-?\d{1,6}(\.0)?")
NUMBER = re.compile(r"-?\d{1,12}(\.\d{1,20})?([eE][+-]?\d{1,3})?")
FLIGHT_COLUMNS = ("time_hour", "dep_time", "dep_delay", "origin")
WEATHER_VALUES = ("temp", "wind_speed", "precip", "visib")

Row = tuple[str, ...]
"""One row of the result; the values of `COLUMNS`, in that order."""


class DataError(ValueError):
    """The input cannot be read; the message names file, line and column, and what was expected."""


@attrs.frozen
class Result:
    """What a single process makes of the input."""

    rows: tuple[Row, ...]
    flights: Mapping[str, int]
    """Origin → number of scheduled flights: the rows that its source will replay."""


@attrs.define
class _Hour:
    flights: int = 0
    cancelled: int = 0
    delays: list[int] = attrs.field(factory=list)


def compute(data: Path) -> Result:
    """Compute the whole result from every month in `data`. Raise `DataError`."""
    weather: dict[tuple[str, str], dict[str, str]] = {}
    for row in _read(data, "weather", ("time_hour", "origin", *WEATHER_VALUES)):
        weather[row["time_hour"], row["origin"]] = row
    hours: dict[tuple[str, str], _Hour] = {}
    flights = dict.fromkeys(ORIGINS, 0)
    for row in _read(data, "flights", FLIGHT_COLUMNS):
        hour = hours.setdefault((row["time_hour"], row["origin"]), _Hour())
        hour.flights += 1
        flights[row["origin"]] += 1
        if _missing(row["dep_time"]):
            hour.cancelled += 1
        elif not _missing(row["dep_delay"]):
            hour.delays.append(int(Decimal(row["dep_delay"])))
    rows = tuple((*key, *_summary(hours[key]), *_weather(weather.get(key))) for key in sorted(hours))
    return Result(rows, flights)


def write_csv(rows: Sequence[Row], out: TextIO) -> None:
    """Write header and rows, comma-separated, with plain newlines."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)


def _missing(text: str) -> bool:
    return text in ("", "NA")


def _summary(hour: _Hour) -> Row:
    mean = largest = ""
    if hour.delays:
        with localcontext() as context:
            # The quotient's first 40 digits decide a tie rightly: a tie ends after four decimals, all else is no tie.
            context.prec = 40
            quotient = Decimal(sum(hour.delays)) / len(hour.delays)
            mean = str(quotient.quantize(Decimal("0.001"), rounding=ROUND_HALF_EVEN))
        mean = mean.removeprefix("-") if Decimal(mean) == 0 else mean
        largest = str(max(hour.delays))
    return (str(hour.flights), str(hour.cancelled), mean, largest)


def _weather(row: Mapping[str, str] | None) -> Row:
    if row is None:
        return ("",) * len(WEATHER_VALUES)
    return tuple("" if _missing(row[name]) else row[name] for name in WEATHER_VALUES)


def _read(data: Path, what: str, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    if not data.is_dir():
        raise DataError(f"{data}: expected a directory with files flights-*.csv.gz and weather-*.csv.gz")
    paths = sorted(data.glob(f"{what}-*.csv.gz"))
    if not paths:
        raise DataError(f"{data}: expected files flights-*.csv.gz and weather-*.csv.gz, found no {what}-*.csv.gz")
    for path in paths:
        try:
            with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
                yield from _checked(path, csv.reader(text, strict=True), what, columns)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path}: expected a complete gzip file, but: {error}") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: expected UTF-8 text, but: {error}") from error
        except csv.Error as error:
            raise DataError(f"{path}: expected comma-separated values, but: {error}") from error
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _checked(path: Path, lines: Iterator[list[str]], what: str, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    header = next(lines, [])
    for name in columns:
        if name not in header:
            raise DataError(f"{path}: expected a column {name!r} in line 1, found: {', '.join(header) or 'nothing'}")
    for number, values in enumerate(lines, start=2):
        if not values:
            continue  # a blank line
        if len(values) != len(header):
            raise DataError(f"{path}, line {number}: expected {len(header)} columns, got {len(values)}")
        row = dict(zip(header, values, strict=True))
        _check(f"{path}, line {number}", row, what)
        yield row


def _check(where: str, row: Mapping[str, str], what: str) -> None:
    if not HOUR.fullmatch(row["time_hour"]):
        raise DataError(
            f"{where}, column time_hour: expected a full hour such as 2013-01-01T10:00:00Z, got {row['time_hour']!r}"
        )
    if what == "weather":
        for name in WEATHER_VALUES:
            if not (_missing(row[name]) or NUMBER.fullmatch(row[name])):
                raise DataError(f"{where}, column {name}: expected a number or NA, got {row[name]!r}")
        return
    if row["origin"] not in ORIGINS:
        raise DataError(f"{where}, column origin: expected one of {', '.join(ORIGINS)}, got {row['origin']!r}")
    for name in ("dep_time", "dep_delay"):
        if not (_missing(row[name]) or MINUTES.fullmatch(row[name])):
            raise DataError(f"{where}, column {name}: expected a whole number or NA, got {row[name]!r}")


def main() -> int:
    """Print the result for `--data DIR`; 2 if the data cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m flights.reference", description="Compute the result plainly.")
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data", help="where the months are")
    try:
        result = compute(parser.parse_args().data)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    write_csv(result.rows, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
