"""`swimstream jobs` and its like, and `drain` and its like: what they show, what they ask for, what they refuse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from swimstream.cli import jobs
from swimstream.errors import UsageError
from swimstream.job_file import load_job
from swimstream.model.identity import Address, Run
from swimstream.model.member import Member, MemberState, Profile
from swimstream.runtime import control_jobs
from swimstream.runtime.control import ControlServer
from swimstream.runtime.control_client import ControlClient
from swimstream.runtime.replies import Reply
from swimstream.runtime.view import View
from tests.api.test_council_commands import run
from tests.runtime.test_control import FakeWorker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE = """
name = "job"
[[operators]]
name = "count"
kind = "k"
labels = { disk = "ssd" }
restart = { strategy = "none" }
"""
WHY = ["no", "live", "worker", "runs", "kind", "'k'"]


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker()


@pytest.fixture
def control(tmp_path: Path, worker: FakeWorker) -> Iterator[str]:
    server = ControlServer(tmp_path / "w1.sock", worker, name="w1", site="edge")
    server.start()
    yield str(tmp_path / "w1.sock")
    server.stop()


# --- jobs -----------------------------------------------------------------------------------------


def test_jobs_are_a_table_for_people(control: str) -> None:
    status, out, _ = run("jobs", "--control", control)
    assert status == 0
    assert [line.split() for line in out.splitlines()] == [
        ["JOB", "STATE", "VERSION", "INSTANCES", "WHY"],
        [
            "job",
            "pending",
            "1",
            "2",
            "pending",
            *["job/count[0]", "is", "pending:", "no", "live", "worker", "runs", "kind", "'k'"],
        ],
    ]


def test_a_job_is_shown_with_its_instances(control: str) -> None:
    status, out, _ = run("job", "job", "--control", control)
    assert status == 0
    assert [line.split() for line in out.splitlines()] == [
        ["job", "job"],
        ["state", "pending"],
        ["version", "1"],
        ["operators", "count"],
        ["instances", "2", "pending"],
        [],
        ["INSTANCE", "STATE", "WORKER", "EPOCH", "PROGRESS", "WHY"],
        ["job/count[0]", "pending", "0", *WHY],
        ["job/count[1]", "pending", "0", *WHY],
    ]


def test_one_line_of_a_job_says_what_is_kept_warm_by_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    warm = {"state": "running", "worker": "w1", "epoch": 3, "progress": 0, "why": ""}
    rows = [{"instance": f"job/op[{n}]", "standbys": runs, **warm} for n, runs in enumerate([["w2", "w3"], [], ["w1"]])]
    row = {"name": "job", "state": "running", "version": 1, "operators": ["op"], "counts": {"running": 3}}
    monkeypatch.setattr(jobs, "ask", lambda *_, **__: {"job": {**row, "instances": rows}})
    lines = run("job", "job", "--control", "w1.sock")[1].splitlines()
    assert lines[5] == "kept warm  job/op[0] by w2, w3; job/op[2] by w1"


def test_a_job_is_json_for_programs(control: str) -> None:
    job = json.loads(run("job", "job", "--control", control, "--json")[1])["job"]
    assert (job["state"], job["counts"], job["finished"]) == ("pending", {"pending": 2}, False)
    assert job["instances"][0] == {
        "instance": "job/count[0]",
        "state": "pending",
        "worker": "",
        "epoch": 0,
        "progress": 0,
        "is_outdated": False,
        "standbys": [],
        "why": "no live worker runs kind 'k'",
    }


def test_a_job_that_is_none_is_one_line_and_status_two(control: str) -> None:
    assert run("job", "x", "--control", control) == (
        2,
        "",
        "swimstream job: name: no job is named 'x' (there are: job)\n",
    )


def test_a_job_file_becomes_the_next_version(control: str, worker: FakeWorker, tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text(FILE)
    assert run("update", str(path), "--control", control)[:2] == (0, "job job is at version 1\n")
    assert run("update", str(path), "--base", "2", "--control", control)[0] == 0
    assert worker.said == [("update", load_job(path), None), ("update", load_job(path), 2)]


def test_a_job_file_with_faults_updates_nothing(control: str, worker: FakeWorker, tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text(FILE.replace('"none"', '"sometimes"'))
    status, _, err = run("update", str(path), "--control", control)
    assert (status, worker.said) == (2, [])
    assert "operators[0].restart.strategy: expected one of none, fixed-delay" in err


@pytest.mark.parametrize(
    ("arguments", "said", "words"),
    [
        (("scale", "job", "count", "4"), ("scale", "job", "count", 4), "job/count shall have 4 instances"),
        (("scale", "job", "count", "1"), ("scale", "job", "count", 1), "job/count shall have 1 instance"),
        (("cancel", "job"), ("cancel", "job"), "job job is cancelled"),
        (("restart", "job/count"), ("restart", "job/count"), "job/count is to be restarted"),
        (("pardon", "job/count[0]"), ("pardon", "job/count[0]"), "nothing is held against job/count[0] any more"),
        (("cordon", "w2"), ("cordon", "w2", ""), "w2 is given nothing new"),
        (("cordon", "w2", "--reason", "disk"), ("cordon", "w2", "disk"), "w2 is given nothing new"),
        (("uncordon", "w2"), ("uncordon", "w2", ""), "w2 is given instances again"),
        (("drain", "w2"), ("drain", "w2", ""), "w2 is to be drained"),
        (("rebalance", "3"), ("rebalance", 3), "up to 3 instances are moved at a time to who joins"),
        (("rebalance", "1"), ("rebalance", 1), "1 instance is moved at a time to who joins"),
        (("rebalance", "off"), ("rebalance", 0), "nothing is moved to who joins"),
    ],
)
def test_a_command_asks_for_what_it_says(
    control: str, worker: FakeWorker, arguments: tuple[str, ...], said: tuple[object, ...], words: str
) -> None:
    assert run(*arguments, "--control", control) == (0, words + "\n", "")
    assert worker.said == [said]
    assert json.loads(run(*arguments, "--control", control, "--json")[1])["ok"]


def test_a_wish_that_no_leader_hears_is_not_waited_for_for_ever(
    control: str, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_jobs, "COMMITTED_S", 0.01)
    monkeypatch.setattr(worker, "cancel", lambda _job: Reply())
    status, _, err = run("cancel", "job", "--control", control)
    assert (status, "no leader has committed that within 0.01 s" in err) == (2, True)


@pytest.mark.parametrize("moves", ["many", "-1", "1.5"])
def test_a_number_of_moves_is_one(control: str, worker: FakeWorker, moves: str) -> None:
    status, _, err = run("rebalance", "--control", control, "--", moves)
    words = f"moves: expected a whole number from 0 to 1024, or 'off', got {moves!r}"
    assert (status, err, worker.said) == (2, f"swimstream rebalance: {words}\n", [])


# --- where they run -------------------------------------------------------------------------------


def test_a_drain_is_waited_for(control: str, worker: FakeWorker) -> None:
    assert run("drain", "w2", "--wait", "--control", control)[:2] == (0, "w2 has nothing any more\n")
    assert worker.said == [("drain", "w2", ""), ("drained", "w2")]


def test_a_drain_that_takes_too_long_is_status_one_and_says_what_is_left(
    control: str, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "drained", lambda _name: Reply())
    monkeypatch.setattr("swimstream.runtime.view.View.assigned_to", lambda _view, _name: ("job/count[0]",))
    status, out, _ = run("drain", "w2", "--timeout", "0.01", "--control", control)
    assert (status, out) == (1, "w2 still has job/count[0]\n")


@pytest.mark.parametrize("patience_s", [0, -1, True, "5", 601])
def test_patience_has_bounds(control: str, patience_s: object) -> None:
    with ControlClient(control) as client, pytest.raises(UsageError, match="patience_s: expected a number above"):
        client.ask("drained", name="w2", patience_s=patience_s)


def test_a_time_to_wait_for_a_drain_implies_that_it_is_waited_for_and_the_help_says_so(
    control: str, worker: FakeWorker
) -> None:
    assert run("drain", "w2", "--timeout", "30", "--control", control)[:2] == (0, "w2 has nothing any more\n")
    assert worker.said == [("drain", "w2", ""), ("drained", "w2")]
    assert "implies --wait" in " ".join(run("drain", "--help")[1].split())


@pytest.fixture
def dead_w2(worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let w2 be remembered as dead."""
    sees(worker, monkeypatch, MemberState.DEAD)


def sees(worker: FakeWorker, monkeypatch: pytest.MonkeyPatch, state: MemberState) -> None:
    member = Member(run=Run("w2", 1), incarnation=0, state=state, profile=Profile(address=Address("h", 1)), since=0.0)
    monkeypatch.setattr(worker, "view", lambda: View(run=Run("w1", 5), members=(member,)))


def test_nobody_is_warned_of_the_death_of_a_worker_that_there_is_not(control: str, worker: FakeWorker) -> None:
    status, _, err = run("assert-dead", "nobody", "--control", control, typed="nobody\n")
    words = "name: no worker of the name 'nobody' is known, and nothing is assigned to it"
    assert (status, err, worker.said) == (2, f"swimstream assert-dead: {words}\n", [])


@pytest.mark.usefixtures("dead_w2")
@pytest.mark.parametrize("typed", ["", "\n", "yes\n", "w3\n"])
def test_nobody_is_declared_dead_unless_the_name_is_typed(control: str, worker: FakeWorker, typed: str) -> None:
    status, out, err = run("assert-dead", "w2", "--control", control, typed=typed)
    assert (status, out, worker.said) == (2, "", [])
    assert "these run in two places, and both may write" in err
    assert "At most once, and assigned to w2: nothing." in err


def test_nobody_is_asked_to_type_the_name_of_a_worker_that_lives(
    control: str, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sees(worker, monkeypatch, MemberState.SUSPECT)
    status, _, err = run("assert-dead", "w2", "--control", control, typed="w2\n")
    assert (status, err) == (2, "swimstream assert-dead: name: w2 is suspect; nobody may declare it dead\n")
    assert worker.said == []


@pytest.mark.usefixtures("dead_w2")
def test_a_worker_is_declared_dead_once_its_name_is_typed(control: str, worker: FakeWorker) -> None:
    assert run("assert-dead", "w2", "--control", control, typed="w2\n")[0] == 0
    assert run("assert-dead", "w2", "--confirm", "w2", "--control", control)[:2] == (0, "w2 is dead, on your word\n")
    assert run("assert-dead", "w2", "--confirm", "w3", "--control", control)[0] == 2
    assert worker.said == [("declare_dead", "w2")] * 2


@pytest.mark.parametrize(
    ("verb", "field"),
    [
        ("job", "name"),
        ("scale", "job"),
        ("cancel", "job"),
        ("restart", "target"),
        ("pardon", "instance"),
        ("drain", "name"),
        ("drained", "name"),
        ("assert-dead", "name"),
    ],
)
def test_a_verb_without_its_field_is_refused(control: str, verb: str, field: str) -> None:
    with ControlClient(control) as client, pytest.raises(UsageError, match=f"{field}: expected text, got None"):
        client.ask(verb)
