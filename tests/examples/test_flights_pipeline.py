"""The whole job in one loop, over real sockets, while operators are stopped and resume from stale checkpoints."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
from flights import operators
from flights.columns import COLUMNS
from flights.job import flights_job
from flights.reference import compute

from swimstream.job_file import load_job
from swimstream.model.identity import InstanceId
from swimstream.model.job import JobSpec
from tests.examples.flights_stage import Context, Operator, Stage, write_gz

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: Mapping[str, Operator] = {
    "flights.replay": operators.replay,
    "flights.window": operators.window,
    "flights.merge": operators.merge,
    "flights.sink": operators.sink,
}


def make_month(directory: Path, rng: Random) -> None:
    """Make up hours with gaps, cancellations and weather that is missing now and then; LGA has no flight at all."""
    flights, weather = [], []
    for hour in range(24 * 12):
        when = f"2014-03-{1 + hour // 24:02}T{hour % 24:02}:00:00Z"
        for origin in ("EWR", "JFK"):
            weather.append(f"{when},{origin},{rng.choice(['NA', '39.02'])},{rng.random() * 20},0,10")
            for _ in range(rng.choice([0, 0, 1, 3, 8])):
                gone = rng.random() < 0.2
                flights.append(f"{when},{'NA' if gone else 1200},{'NA' if gone else rng.randint(-20, 200)},{origin}")
    rng.shuffle(flights)
    half = len(flights) // 2
    write_gz(directory / "flights-a.csv.gz", ["time_hour,dep_time,dep_delay,origin", *flights[:half]])
    write_gz(directory / "flights-b.csv.gz", ["time_hour,dep_time,dep_delay,origin", *flights[half:]])
    write_gz(directory / "weather-a.csv.gz", ["time_hour,origin,temp,wind_speed,precip,visib", *weather])


@attrs.define
class Cluster:
    """Runs each operator, again after each death, and hands it any checkpoint that was ever reported, or none."""

    job: JobSpec
    rng: Random
    stage: Stage = attrs.field(factory=Stage)
    epoch: int = 0
    known: dict[str, list[bytes]] = attrs.field(factory=dict)
    scopes: dict[str, trio.CancelScope] = attrs.field(factory=dict)
    finished: set[str] = attrs.field(factory=set)
    deaths: int = 0

    async def run(self, *, deaths: int) -> None:
        async with trio.open_nursery() as nursery:
            for spec in self.job.operators:
                nursery.start_soon(self._supervise, spec.name)
            while self.deaths < deaths and not self.finished:
                await trio.sleep(self.rng.uniform(0.05, 0.3))
                self.deaths += 1
                for victim in self.rng.sample(sorted(self.scopes), self.rng.choice([1, 1, 2, 8])):
                    self.scopes[victim].cancel()

    async def _supervise(self, name: str) -> None:
        while name not in self.finished:
            self.epoch += 1
            context = self._context(name, self.epoch)
            with trio.CancelScope() as self.scopes[name]:
                await KINDS[self.job.operator(name).kind](context)
                self.finished.add(name)
                self.stage.places.pop(context.instance, None)
            self.known.setdefault(name, []).extend(context.checkpoints)
            await trio.sleep(self.rng.uniform(0, 0.1))

    def _context(self, name: str, epoch: int) -> Context:
        spec = self.job.operator(name)
        return Context(
            stage=self.stage,
            instance=InstanceId(self.job.name, name, 0),
            epoch=epoch,
            parameters=spec.parameters,
            inputs=tuple(InstanceId(self.job.name, each, 0) for each in spec.inputs),
            resume_from=self.rng.choice([b"", *self.known.get(name, [])[-5:]]),
        )


@pytest.mark.parametrize("seed", range(4))
def test_no_crash_and_no_stale_checkpoint_changes_the_result(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    make_month(tmp_path, rng)
    cluster = Cluster(flights_job(data=str(tmp_path), database=str(tmp_path / "db"), rate=400), rng)

    async def run() -> None:
        with trio.fail_after(240):
            await cluster.run(deaths=12)

    trio.run(run)
    assert cluster.deaths > 3
    with sqlite3.connect(tmp_path / "db") as database:
        written = list(database.execute(f"SELECT {', '.join(COLUMNS)} FROM rows ORDER BY rowid"))
    assert written == list(compute(tmp_path).rows)


def test_the_job_file_and_the_job_in_python_are_the_same() -> None:
    assert load_job(Path(operators.__file__).parent / "job.toml") == flights_job()
