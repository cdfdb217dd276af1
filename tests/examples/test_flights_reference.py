"""The reference computation on tiny data with every odd case, and the operators' own arithmetic against it."""

from __future__ import annotations

import gzip
import io
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from flights.operators import _Hour, _thousandths
from flights.records import Flight, read_flights, read_weather
from flights.reference import DataError, compute, write_csv
from hypothesis import given
from hypothesis import strategies as st

from tests.examples.flights_stage import write_gz

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HEADER = "time_hour,sched_dep_time,dep_time,dep_delay,arr_delay,carrier,flight,tailnum,origin,dest,distance"
WEATHER = "time_hour,origin,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib"


def flight(hour: str, origin: str, departed: str, delay: str) -> str:
    return f"{hour},515,{departed},{delay},11,UA,1545,N14228,{origin},IAH,1400"


def write_month(directory: Path, month: str, flights: Sequence[str], weather: Sequence[str]) -> None:
    write_gz(directory / f"flights-{month}.csv.gz", [HEADER, *flights])
    write_gz(directory / f"weather-{month}.csv.gz", [WEATHER, *weather])


def csv_of(directory: Path) -> str:
    out = io.StringIO()
    write_csv(compute(directory).rows, out)
    return out.getvalue()


def test_the_result_of_two_months_with_every_odd_case(tmp_path: Path) -> None:
    write_month(  # named to come first, though it is the later month
        tmp_path,
        "a",
        [flight("2013-02-01T05:00:00Z", "JFK", "1", "-3"), "", flight("2013-02-01T05:00:00Z", "JFK", "", "")],
        ["2013-02-01T05:00:00Z,JFK,9,9,9,9,9,9,9,9,9", "2013-02-01T05:00:00Z,JFK,1.50,0,0,0,NA,NA,,0,10"],
    )
    write_month(
        tmp_path,
        "b",
        [
            flight("2013-02-01T05:00:00Z", "JFK", "2", "1.0"),
            flight("2013-01-31T23:00:00Z", "EWR", "NA", "NA"),
            flight("2013-01-30T23:00:00Z", "EWR", "5", "NA"),
            *(flight("2013-01-29T23:00:00Z", "EWR", "5", delay) for delay in ["1", *["0"] * 15]),
        ],
        ["2013-01-31T23:00:00Z,BOS,1,0,0,0,NA,NA,,0,10"],
    )
    assert csv_of(tmp_path).splitlines() == [
        "time_hour,origin,flights,cancelled,mean_dep_delay,max_dep_delay,temp,wind_speed,precip,visib",
        "2013-01-29T23:00:00Z,EWR,16,0,0.062,1,,,,",  # 1/16 = 0.0625 is a tie: to even
        "2013-01-30T23:00:00Z,EWR,1,0,,,,,,",
        "2013-01-31T23:00:00Z,EWR,1,1,,,,,,",
        "2013-02-01T05:00:00Z,JFK,3,1,-1.000,1,1.50,,,10",
    ]
    assert compute(tmp_path).flights == {"EWR": 18, "JFK": 3, "LGA": 0}


def test_the_operators_read_flights_in_time_order_across_files(tmp_path: Path) -> None:
    write_month(tmp_path, "a", [flight("2013-02-01T05:00:00Z", "JFK", "1", "-3"), ""], [])
    write_month(
        tmp_path, "b", [flight("2013-01-31T05:00:00Z", "JFK", "NA", "NA")], ["2013-01-31T05:00:00Z,JFK,NA,,,,1,,0,,"]
    )
    assert read_flights(tmp_path, "JFK") == [
        Flight("2013-01-31T05:00:00Z", True, None),
        Flight("2013-02-01T05:00:00Z", False, -3),
    ]
    assert read_flights(tmp_path, "LGA") == []
    assert read_weather(tmp_path, "JFK") == {"2013-01-31T05:00:00Z": ("", "1", "0", "")}


@given(st.lists(st.integers(-500, 2_000), min_size=1, max_size=200))
def test_window_and_reference_round_every_mean_alike(delays: list[int]) -> None:
    from flights import reference  # noqa: PLC0415 - its private sum is what is compared

    hour = _Hour("2013-01-01T00:00:00Z")
    for delay in delays:
        hour.add(Flight("2013-01-01T00:00:00Z", False, delay))
    assert tuple(hour.row("EWR")[2:]) == reference._summary(reference._Hour(len(delays), 0, delays))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(1, 16), "0.062"),
        (Fraction(3, 16), "0.188"),
        (Fraction(-1, 16), "-0.062"),
        (Fraction(-1, 5000), "0.000"),
    ],
)
def test_a_mean_is_rounded_half_to_even(value: Fraction, text: str) -> None:
    assert _thousandths(value) == text


def bad(tmp_path: Path, flights: Sequence[str], weather: Sequence[str] = ()) -> str:
    write_month(tmp_path, "2013-01", flights, weather)
    with pytest.raises(DataError) as error:
        compute(tmp_path)
    return str(error.value)


def test_a_bad_number_is_named_by_file_line_and_column(tmp_path: Path) -> None:
    message = bad(tmp_path, ["", flight("2013-01-01T05:00:00Z", "JFK", "1", "soon")])
    assert message.endswith(
        "flights-2013-01.csv.gz, line 3, column dep_delay: expected a whole number or NA, got 'soon'"
    )


def test_bad_weather_is_named_by_file_line_and_column(tmp_path: Path) -> None:
    message = bad(tmp_path, [], ["2013-01-31T05:00:00Z,JFK,hot,,,,1,,0,,"])
    assert "weather-2013-01.csv.gz, line 2, column temp: expected a number or NA, got 'hot'" in message


def test_another_airport_is_an_error_that_names_the_three(tmp_path: Path) -> None:
    message = bad(tmp_path, [flight("2013-01-01T05:00:00Z", "BOS", "1", "2")])
    assert "column origin: expected one of EWR, JFK, LGA, got 'BOS'" in message


def test_a_time_that_is_no_full_hour_is_an_error(tmp_path: Path) -> None:
    assert "column time_hour: expected a full hour" in bad(tmp_path, [flight("2013-01-01 05:00", "JFK", "1", "2")])


def test_a_short_line_is_an_error(tmp_path: Path) -> None:
    assert "line 2: expected 11 columns, got 2" in bad(tmp_path, ["2013-01-01T05:00:00Z,515"])


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    write_month(tmp_path, "2013-01", [], [])
    write_gz(tmp_path / "flights-2013-02.csv.gz", ["time_hour,dep_time,origin"])
    with pytest.raises(DataError, match=r"flights-2013-02.csv.gz: expected a column 'dep_delay' in line 1"):
        compute(tmp_path)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    write_month(tmp_path, "2013-01", [flight("2013-01-01T05:00:00Z", "JFK", "1", str(n)) for n in range(500)], [])
    path = tmp_path / "flights-2013-01.csv.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"flights-2013-01.csv.gz: expected a complete gzip file"):
        compute(tmp_path)


def test_a_file_that_is_no_gzip_is_named(tmp_path: Path) -> None:
    write_month(tmp_path, "2013-01", [], [])
    (tmp_path / "flights-2013-02.csv.gz").write_text("time_hour")
    with pytest.raises(DataError, match=r"flights-2013-02.csv.gz: expected a complete gzip file"):
        compute(tmp_path)


def test_corrupt_compressed_data_is_named(tmp_path: Path) -> None:
    write_month(tmp_path, "2013-01", [flight("2013-01-01T05:00:00Z", "JFK", "1", str(n)) for n in range(500)], [])
    path = tmp_path / "flights-2013-01.csv.gz"
    content = bytearray(gzip.compress(b"x" * 10) + path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"flights-2013-01.csv.gz"):
        compute(tmp_path)


def test_a_directory_without_files_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected files flights-\*.csv.gz and weather-\*.csv.gz, found no "):
        compute(tmp_path)
