"""Why, what if and where to: asked of a real worker by its methods, and by the commands through its control port."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import trio
from click.testing import CliRunner

from swimstream import JobSpec, OperatorSpec, UsageError, Worker
from swimstream.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from swimstream import OperatorContext

HANG_S = 60.0
JOB = JobSpec(name="job", operators=(OperatorSpec(name="op", kind="wait", parallelism=2),))
NEXT_JOB = """
name = "next"
[[operators]]
name = "op"
kind = "wait"
labels = { gpu = "yes" }
"""


async def wait(_: OperatorContext) -> None:
    await trio.sleep_forever()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    control = tmp_path_factory.mktemp("control") / "a.sock"
    made = Worker(name="a", site="edge", preset="local", control=control)
    made.register("wait", wait)
    with made:
        made.submit(JOB).wait(HANG_S)
        yield made


def ask(worker: Worker, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, [*arguments, "--control", str(worker.config.control)])
    return done.exit_code, done.output


def test_a_worker_explains_an_instance(worker: Worker) -> None:
    told = worker.explain("job/op[1]")
    assert (told.run, told.guarantee) == (worker.run, "at-least-one")
    assert told.history[0].what == "accept job job"
    with pytest.raises(UsageError, match="expected 'job/operator"):
        worker.explain("job")


def test_a_worker_tells_what_its_own_death_would_mean(worker: Worker) -> None:
    outcome = worker.what_if(kill=["a"])
    assert (outcome.moves, outcome.is_able) == ((), False)
    assert {why for _, why in outcome.pending} == {"no live worker runs kind 'wait'"}


def test_a_worker_tells_where_a_job_would_go(worker: Worker) -> None:
    more = JobSpec(name="more", operators=JOB.operators)
    assert {move.after for move in worker.dry_run(more).moves} == {worker.run}
    assert "more" not in worker.plan().jobs


def test_the_command_explains_an_instance(worker: Worker) -> None:
    status, shown = ask(worker, "explain", "job/op[0]")
    assert status == 0
    assert "job/op[0] is" in shown
    assert "why there: the job was accepted" in shown
    assert "accept job job" in shown
    assert ask(worker, "explain", "job/op[9]")[0] == 2


def test_the_command_tells_what_a_death_would_mean(worker: Worker) -> None:
    status, shown = ask(worker, "what-if", "--kill", "a")
    assert status == 0
    assert "job/op[0]          no live worker runs kind 'wait'" in shown
    assert "nobody could decide that: 0 of 1 seat would be left" in shown
    assert ask(worker, "what-if", "--site", "edge")[0] == 0
    assert ask(worker, "what-if", "--site", "moon")[0] == 2


def test_the_command_tells_where_a_job_would_go_and_submits_nothing(worker: Worker, tmp_path: Path) -> None:
    file = tmp_path / "next.toml"
    file.write_text(NEXT_JOB)
    status, shown = ask(worker, "submit", "--dry-run", "--json", str(file))
    assert status == 0
    assert json.loads(shown)["pending"] == [
        {"instance": "next/op[0]", "why": "no live worker that could run it has gpu=yes; a could be tagged so"}
    ]
    assert "next" not in worker.plan().jobs


def test_the_dry_run_of_a_job_that_was_cancelled_says_what_would_revive_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "next.toml"
    file.write_text(NEXT_JOB)
    told = {"change": "revival", "moves": [], "pending": [], "council": {"able": True}}
    monkeypatch.setattr("swimstream.cli.inspect.ask", lambda *_args, **_fields: told)
    shown = CliRunner().invoke(main, ["submit", "--dry-run", str(file), "--control", "w1.sock"]).output
    assert shown.startswith("The job was cancelled. This is what 'update' would do, which revives it")
