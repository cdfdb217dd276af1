"""The demo as a user runs it: a subprocess, on months that it has never seen, with kills, and ended in every way."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(300)
RUN_S = 240.0
"""Only what hangs takes so long: the demo itself gives up when nothing moves for a minute."""
COLUMNS = [
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
]
FLIGHT_HEADER = "time_hour,sched_dep_time,dep_time,dep_delay,arr_delay,carrier,flight,tailnum,origin,dest,distance"
WEATHER_HEADER = "time_hour,origin,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib"
END_S = 60.0
"""What has not disappeared by then is left behind; what has seen its supervisor die may first have to start."""


def make_months(directory: Path, rng: Random) -> None:
    """Make up two months, the later one in the first file: gaps, cancellations, missing weather, a blank line."""
    directory.mkdir()
    for name, month in (("flights-1.csv.gz", "2014-05"), ("flights-2.csv.gz", "2014-04")):
        flights, weather = [], []
        for hour in range(24 * 15):
            when = f"{month}-{1 + hour // 24:02}T{hour % 24:02}:00:00Z"
            for origin in ("EWR", "JFK", "LGA"):
                if rng.random() < 0.9:
                    fields = [rng.choice(["NA", "39.02", f"{rng.random() * 90:.2f}"]) for _ in range(9)]
                    weather.append(f"{when},{origin},{','.join(fields)}")
                for _ in range(rng.choice([0, 0, 1, 5, 7, 16])):
                    gone = rng.random() < 0.15
                    dep = "NA,NA" if gone else f"{rng.randint(1, 2400)},{rng.randint(-30, 400)}"
                    flights.append(f"{when},600,{dep},NA,UA,1,N1,{origin},IAH,1400")
        rng.shuffle(flights)
        write(directory / name, [FLIGHT_HEADER, *flights[:9], "", *flights[9:]])
        write(directory / name.replace("flights", "weather"), [WEATHER_HEADER, *weather])


def write(path: Path, lines: list[str]) -> None:
    with gzip.open(path, "wt", encoding="utf-8", newline="") as out:
        out.write("\n".join(lines) + "\n")


def expect(directory: Path) -> list[list[str]]:
    """Compute the result a third time, with nothing of the project."""
    hours: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    weather: dict[tuple[str, str], dict[str, str]] = {}
    for path in directory.glob("*.csv.gz"):
        with gzip.open(path, "rt", newline="") as text:
            for row in csv.DictReader(text):
                key = (row["time_hour"], row["origin"])
                if path.name.startswith("weather"):
                    weather[key] = row
                else:
                    hours[key].append(row)
    result = []
    for key, flights in sorted(hours.items()):
        delays = [int(row["dep_delay"]) for row in flights if row["dep_time"] not in ("", "NA")]
        # Tens of flights an hour: a tie in the fourth decimal is exact in binary as well, so this rounds half to even.
        spread = [f"{sum(delays) / len(delays):.3f}", str(max(delays))] if delays else ["", ""]
        values = [weather.get(key, {}).get(name, "") for name in COLUMNS[6:]]
        counts = [str(len(flights)), str(len(flights) - len(delays))]
        result.append([*key, *counts, *spread, *("" if value == "NA" else value for value in values)])
    return result


def start(*arguments: str | int | Path, temporary: Path) -> subprocess.Popen[str]:
    """Start the demo with a directory of its own for temporary files, so that what it leaves behind shows."""
    return subprocess.Popen(
        [sys.executable, "-m", "swimstream", "demo", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )


def run(*arguments: str | int | Path, temporary: Path) -> tuple[int, str, str]:
    with running(*arguments, temporary=temporary) as process:
        out, err = process.communicate(timeout=RUN_S)
    return process.returncode, out, err


@contextlib.contextmanager
def running(*arguments: str | int | Path, temporary: Path) -> Iterator[subprocess.Popen[str]]:
    process = start(*arguments, temporary=temporary)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Yield a short path: sockets go below it."""
    directory = Path(tempfile.mkdtemp(prefix="sw", dir="/tmp"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def verdict(out: str) -> dict[str, Any]:
    parsed = json.loads(out.splitlines()[-1])
    assert isinstance(parsed, dict)
    return parsed


def processes_of(temporary: Path) -> list[int]:
    """Return every process that was started with this directory for temporary files, by its environment."""
    mark = f"TMPDIR={temporary}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def read_until(process: subprocess.Popen[str], text: str) -> None:
    """Read the story until a line holds `text`."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"the demo ended before it said {text!r}")


def assert_gone(temporary: Path, *, within_s: float) -> None:
    give_up_at = time.monotonic() + within_s
    while processes_of(temporary) or any(temporary.iterdir()):
        assert time.monotonic() < give_up_at, f"left: {processes_of(temporary)}, {[*temporary.iterdir()]}"
        time.sleep(0.02)


def test_months_it_has_never_seen_come_out_right_though_two_workers_are_killed(tmp_path: Path, temporary: Path) -> None:
    make_months(tmp_path / "data", Random(11))
    status, out, err = run(
        *("--data", tmp_path / "data", "--rate", 300, "--workers", 5, "--seed", 3),
        *("--out", tmp_path / "out.csv", "--json"),
        temporary=temporary,
    )
    assert status == 0, err
    with (tmp_path / "out.csv").open(newline="") as text:
        assert [*csv.reader(text)] == [COLUMNS, *expect(tmp_path / "data")]
    said = verdict(out)
    assert said["identical"] is True
    assert said["workers"] == said["members_seen"] == 5
    assert said["rows"] == len(expect(tmp_path / "data"))
    assert (said["lost"], said["duplicates"]) == (0, 0)
    assert len(said["kills"]) == 2
    assert said["kills"][1]["was_leader"] is True
    assert said["leader_changes"] >= 1
    assert any("window-" in operator for operator in said["kills"][0]["operators"])
    for kill in said["kills"]:
        assert kill["detected_s"] > 0
        assert kill["running_again_s"] is None if not kill["operators"] else kill["running_again_s"] > 0
    assert_gone(temporary, within_s=0)


def test_three_workers_survive_both_kills_and_the_state_directory_stays(tmp_path: Path, temporary: Path) -> None:
    make_months(tmp_path / "data", Random(12))
    status, out, err = run(
        *("--data", tmp_path / "data", "--rate", 300, "--workers", 3, "--json", "--state", tmp_path / "state"),
        temporary=temporary,
    )
    assert status == 0, err
    assert len(verdict(out)["kills"]) == 2
    assert (tmp_path / "state" / "result.db").exists()
    assert not [path for path in (tmp_path / "state").rglob("*") if path.is_socket()]
    assert_gone(temporary, within_s=0)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_everything(number: signal.Signals, status: int, temporary: Path) -> None:
    with running("--workers", "3", temporary=temporary) as demo:
        read_until(demo, "is submitted")
        demo.send_signal(number)
        assert demo.wait(timeout=END_S) == status
        assert_gone(temporary, within_s=0)


def test_nothing_is_left_behind_by_a_demo_that_is_killed(temporary: Path) -> None:
    with running("--workers", "3", temporary=temporary) as demo:
        read_until(demo, "is submitted")
        demo.kill()
        demo.wait()
        assert_gone(temporary, within_s=END_S)


def test_a_janitor_that_is_killed_is_replaced(temporary: Path) -> None:
    with running("--workers", "3", temporary=temporary) as demo:
        read_until(demo, "is up at")
        janitors = [pid for pid in processes_of(temporary) if b"janitor" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(janitors) == 1
        os.kill(janitors[0], signal.SIGKILL)
        read_until(demo, "another one has taken over")
        demo.kill()
        demo.wait()
        assert_gone(temporary, within_s=END_S)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--workers", "2"), "2 is not in the range 3<=x<=64"),
        (("--kill", "all"), "is not one of 'none', 'worker', 'leader', 'both'"),
        (("--rate", "0"), "0.0 is not in the range x>0"),
        (("--data", "/nonexistent"), "expected a directory with files flights-*.csv.gz and weather-*.csv.gz"),
        (("--out", "/nonexistent/out.csv"), "--out: expected a file in a directory that exists"),
        (("--state", "/proc"), "--state: expected a new or empty directory"),
    ],
)
def test_a_bad_argument_is_answered_with_what_was_expected(
    arguments: tuple[str, ...], message: str, temporary: Path
) -> None:
    status, out, err = run(*arguments, temporary=temporary)
    assert (status, out) == (2, "")
    assert message in err


def test_unreadable_data_is_named(tmp_path: Path, temporary: Path) -> None:
    write(tmp_path / "flights-1.csv.gz", [FLIGHT_HEADER, "2014-04-01T00:00:00Z,600,1,2,NA,UA,1,N1,BOS,IAH,1400"])
    write(tmp_path / "weather-1.csv.gz", [WEATHER_HEADER])
    status, _, err = run("--data", tmp_path, temporary=temporary)
    assert status == 2
    assert "flights-1.csv.gz, line 2, column origin: expected one of EWR, JFK, LGA, got 'BOS'" in err


def test_no_flight_at_all_is_a_result_too(tmp_path: Path, temporary: Path) -> None:
    write(tmp_path / "flights-1.csv.gz", [FLIGHT_HEADER])
    write(tmp_path / "weather-1.csv.gz", [WEATHER_HEADER])
    status, out, err = run("--data", tmp_path, "--workers", 3, "--json", temporary=temporary)
    assert status == 0, err
    assert verdict(out)["rows"] == 0
