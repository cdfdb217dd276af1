"""The windows of the flights job in TypeScript, beside Python workers: same result, though a process is killed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import attrs
import pytest
from flights import operators
from flights.columns import COLUMNS
from flights.job import flights_job
from flights.reference import compute

from swimstream import Worker
from tests.attached.stage import WAIT_S, until
from tests.examples.test_flights_pipeline import make_month

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swimstream.model.job import JobSpec
    from swimstream.runtime.view import View

pytestmark = pytest.mark.timeout(240)
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "typescript-worker"
NPM_S = 120
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ECONNRESET", "ENOTCACHED", "network")
"""What npm says when there is no registry to be had."""


@pytest.fixture(scope="module")
def built() -> Path:
    """Build the example apart, once for each state of its sources; skip without Node or without a registry."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < 20:
        pytest.skip(f"the example needs Node 20.3 or newer, this is {version.strip()}")
    directory = ROOT / "build" / f"typescript-worker-{state_of_sources()}"
    if (directory / "complete").exists():
        return directory
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(EXAMPLE, directory, ignore=shutil.ignore_patterns("node_modules", "build"))
    fetch(npm, directory)
    made = subprocess.run([npm, "run", "build"], cwd=directory, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    (directory / "complete").touch()
    return directory


def state_of_sources() -> str:
    """Return a digest of all that the build is made of."""
    files = sorted(EXAMPLE.glob("*.json")) + sorted(EXAMPLE.glob("src/**/*.ts"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def fetch(npm: str, directory: Path) -> None:
    """Fetch the compiler; skip if that cannot be had."""
    command = [npm, "ci", "--no-audit", "--no-fund", "--prefer-offline"]
    try:
        fetched = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=NPM_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm could not fetch the TypeScript compiler within {NPM_S} s")
    offline = [line for line in fetched.stderr.splitlines() if any(word in line for word in OFFLINE)]
    if fetched.returncode != 0 and offline:
        pytest.skip(f"npm cannot reach a registry: {offline[0]}")
    assert fetched.returncode == 0, fetched.stderr


class Pair:
    """A peer and the Node process that is attached to it."""

    def __init__(self, name: str, built: Path, directory: Path, seed: str) -> None:
        self.name = name
        control = directory / name
        self.log = (directory / f"{name}.log").open("w")
        options = ["--name", name, "--seeds", seed, "--expect", "3", "--preset", "local", "--control", str(control)]
        self.peer = self._start([sys.executable, "-m", "swimstream", "peer", *options, "--announce"])
        assert json.loads(self._line(self.peer))["ready"]
        self.node = self._start(["node", str(built / "build" / "main.js"), "--control", str(control)])
        assert json.loads(self._line(self.node))["attached"]

    def _start(self, command: list[str]) -> subprocess.Popen[str]:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=env)

    def _line(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline()

    def close(self) -> None:
        for process in (self.node, self.peer):
            process.kill()
            process.communicate()
        self.log.close()


@pytest.fixture
def pairs(built: Path, tmp_path: Path, python: Worker) -> Iterator[list[Pair]]:
    with contextlib.ExitStack() as ending:
        made = []
        for name in ("ts-1", "ts-2"):
            pair = Pair(name, built, tmp_path, str(python.address))
            ending.callback(pair.close)
            made.append(pair)
        yield made


@pytest.fixture
def python() -> Iterator[Worker]:
    """Yield a worker that runs all but the windows."""
    made = Worker(name="py", expect=3, preset="local", stop_timeout_s=2.0, capacity=16)
    made.register("flights.replay", operators.replay)
    made.register("flights.merge", operators.merge)
    made.register("flights.sink", operators.sink)
    with made:
        yield made


def windows_of(view: View, name: str) -> list[str]:
    held = [each for each in view.plan.assignments.values() if each.run.name == name and not each.finished]
    return sorted(str(each.instance) for each in held if each.instance.operator.startswith("window-"))


def progress_of(view: View, name: str) -> int:
    """Return how far the windows of that worker have come."""
    return sum(
        status.progress
        for status in view.statuses
        if status.run.name == name and status.instance.operator.startswith("window-")
    )


def flights(data: Path, database: Path, *, guarantee: str) -> JobSpec:
    """Return the job with that guarantee for its windows."""
    job = flights_job(data=str(data), database=str(database), rate=150)
    return attrs.evolve(
        job,
        operators=[
            attrs.evolve(each, instances=guarantee) if each.kind == "flights.window" else each for each in job.operators
        ],
    )


@pytest.mark.parametrize("guarantee", ["at-least-one", "at-most-one"])
def test_a_killed_process_changes_nothing_about_the_result(
    python: Worker, pairs: list[Pair], tmp_path: Path, guarantee: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    make_month(data, Random(5))
    python.submit(flights(data, tmp_path / "db", guarantee=guarantee)).wait(WAIT_S)
    # where they go depends on the distances that were measured: whoever runs some is the victim
    until(python, lambda view: max(progress_of(view, each.name) for each in pairs) > 50)
    victim, other = sorted(pairs, key=lambda each: progress_of(python.view(), each.name), reverse=True)
    assert windows_of(python.view(), victim.name)
    victim.node.send_signal(signal.SIGKILL)
    assert victim.peer.wait(WAIT_S) == 1
    until(python, lambda view: not windows_of(view, victim.name))
    python.finished("flights").wait(WAIT_S)
    with contextlib.closing(sqlite3.connect(tmp_path / "db")) as database:
        written = list(database.execute(f"SELECT {', '.join(COLUMNS)} FROM rows ORDER BY rowid"))
    assert written == list(compute(data).rows)
    given = [each.what for each in python.view().plan.decisions if each.what.startswith("assign flights/window-")]
    again = {each for each in given if f" to {victim.name}@" not in each}
    assert len(given) > len({each.partition(" to ")[0] for each in given}), "some window was given out again"
    assert again, "what ran there was taken over"
    other.node.send_signal(signal.SIGTERM)
    assert (other.node.wait(WAIT_S), other.peer.wait(WAIT_S)) == (0, 0)
