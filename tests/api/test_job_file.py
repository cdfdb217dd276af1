"""Jobs from TOML files and JSON tables."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import attrs
import pytest

from swimstream.errors import UsageError
from swimstream.job_file import job_from_table, load_job
from swimstream.model.changes import SubmitJob
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.wire.codec import encode_message
from swimstream.wire.council_messages import Propose

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
name = "flights"

[[operators]]
name = "positions"
kind = "source"
parallelism = 2
prefer_site = "edge"

[[operators]]
name = "delays"
kind = "window"
inputs = ["positions"]
[operators.parameters]
minutes = 5
airports = ["FRA", "MUC"]
"""


def test_a_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text(GOOD)
    assert load_job(path) == JobSpec(
        name="flights",
        operators=(
            OperatorSpec(name="positions", kind="source", parallelism=2, prefer_site="edge"),
            OperatorSpec(
                name="delays",
                kind="window",
                inputs=("positions",),
                parameters={"minutes": 5, "airports": ["FRA", "MUC"]},
            ),
        ),
    )


def test_a_guarantee_is_read_and_a_whole_number_of_seconds_is_one_of_seconds(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text('name = "j"\n[[operators]]\nname = "o"\nkind = "k"\ninstances = "at-most-one"\nhold_for_s = 30\n')
    (spec,) = load_job(path).operators
    assert (spec.instances, spec.hold_for_s, type(spec.hold_for_s)) == ("at-most-one", 30.0, float)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (
            'instances = "exactly-once"',
            "operators[0].instances: expected one of at-least-one, at-most-one, pinned",
        ),
        ("instances = 1", "operators[0].instances: expected text, got 1"),
        ("hold_for_s = -1", "operators[0].hold_for_s: expected 0 to 604800 s, got -1"),
        ("hold_for_s = 604_801", "operators[0].hold_for_s: expected 0 to 604800 s, got 604801"),
        (f"hold_for_s = 1{'0' * 400}", "operators[0].hold_for_s: expected 0 to 604800 s, got 1000"),
        ("hold_for_s = inf", "operators[0].hold_for_s: expected 0 to 604800 s, got inf"),
        ("hold_for_s = nan", "operators[0].hold_for_s: expected 0 to 604800 s, got nan"),
        ("hold_for_s = true", "operators[0].hold_for_s: expected a number, got true"),
        ('hold_for_s = "30"', 'operators[0].hold_for_s: expected a number, got "30"'),
        ('instances = "pinned"\nhold_for_s = 1', "operators[0].hold_for_s: expected nothing for a pinned operator"),
    ],
)
def test_a_guarantee_that_is_none_is_refused_by_its_field(tmp_path: Path, line: str, fault: str) -> None:
    path = tmp_path / "job.toml"
    path.write_text(f'name = "j"\n[[operators]]\nname = "o"\nkind = "k"\n{line}\n')
    with pytest.raises(UsageError) as caught:
        load_job(path)
    assert str(caught.value).startswith(f"{path}: {fault}")


def test_equal_jobs_have_equal_bytes_whatever_their_author_wrote_for_a_number() -> None:
    jobs = [
        JobSpec(name="j", operators=(OperatorSpec(name="o", kind="k", instances="at-most-one", hold_for_s=hold_for_s),))
        for hold_for_s in (0, 0.0, -0.0)
    ]
    assert jobs[0] == jobs[1] == jobs[2]
    assert len({encode_message(Propose(request=1, change=SubmitJob(job=job))) for job in jobs}) == 1


def test_every_wrong_type_and_unknown_key_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text('name = "j"\ncolour = 1\n[[operators]]\nname = 3\nparallelism = "2"\nsize = 4\n')
    with pytest.raises(UsageError) as caught:
        load_job(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    told = sorted(line.removeprefix(f"{path}: ").partition(";")[0] for line in lines)
    assert told == [
        "colour: unknown key",
        "operators[0].kind: expected a value, got none",
        "operators[0].name: expected text, got 3",
        'operators[0].parallelism: expected an integer, got "2"',
        "operators[0].size: unknown key",
    ]


def test_every_fault_of_the_dataflow_is_told_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text(GOOD.replace('inputs = ["positions"]', 'inputs = ["delays", "nowhere"]'))
    with pytest.raises(UsageError) as caught:
        load_job(path)
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{path}: operators[1].inputs: no operator of this job is named 'nowhere'")
    assert second.startswith(f"{path}: operators: inputs must not form a cycle")


TEN = """
name = "two words"
colour = 1
[[operators]]
name = "o"
kind = 3
parallelism = 0
slots = "two"
[operators.restart]
strategy = "sometimes"
delay_s = -1
attempts = "x"
[[operators]]
kind = "k"
inputs = ["nowhere"]
"""


def test_a_file_with_ten_faults_has_ten_lines_whether_it_cannot_be_read_or_makes_no_sense(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text(TEN)
    with pytest.raises(UsageError) as caught:
        load_job(path)
    lines = [line.removeprefix(f"{path}: ") for line in str(caught.value).splitlines()]
    assert sorted(line.partition(":")[0] for line in lines) == [
        "colour",
        "name",
        "operators[0].kind",
        "operators[0].parallelism",
        "operators[0].restart.attempts",
        "operators[0].restart.delay_s",
        "operators[0].restart.strategy",
        "operators[0].slots",
        "operators[1].inputs",
        "operators[1].name",
    ]


@pytest.mark.parametrize(
    ("table", "fields"),
    [
        ({}, ["name", "operators"]),
        ({"name": 3, "operators": "x"}, ["name", "operators"]),
        ({"name": "j", "operators": [7]}, ["operators[0]"]),
        (
            {"name": "j", "operators": [{"name": "o", "kind": "k", "inputs": [1], "blocking": ["x"]}]},
            ["operators[0].inputs[0]"],
        ),
        (
            {"name": "j", "operators": [{"name": "o", "kind": "k", "instances": 1, "failover": "x", "restart": 5}]},
            ["operators[0].failover", "operators[0].instances", "operators[0].restart"],
        ),
    ],
)
def test_what_cannot_be_read_makes_no_faults_of_its_own(table: dict[str, object], fields: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        job_from_table(table)
    assert sorted(line.partition(":")[0] for line in str(caught.value).splitlines()) == fields


EVERY_FIELD = """
name = "j"
[[operators]]
name = "read"
kind = "k"
on_conflict = "furthest-progress"
[[operators]]
name = "sort"
kind = "k"
parallelism = 2
inputs = ["read"]
blocking = ["read"]
instances = "at-most-one"
hold_for_s = 5
failover = "region"
prefer_site = "x"
sites = ["x", "y"]
labels = { disk = "ssd" }
anti_affinity = "site"
slots = 2
stall_after_s = 30
standby = 1
parameters = { minutes = 5 }
[operators.restart]
strategy = "failure-rate"
attempts = 3
delay_s = 1
delay_max_s = 60
multiplier = 3
jitter = 0.5
reset_after_s = 0
interval_s = 10
in_place = 1
"""


NEVER_TWO = "on_conflict: expected 'keep-replacement' for an operator that is {}, of which there are never two copies"


def test_every_field_of_an_operator_is_read(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text(EVERY_FIELD)
    usual = OperatorSpec(name="usual", kind="usual")
    first, spec = load_job(path).operators
    told, untold = attrs.asdict(spec), attrs.asdict(usual)
    assert [name for name in told if told[name] == untold[name]] == ["on_conflict"]  # not with this guarantee
    assert first.on_conflict == "furthest-progress"
    assert [name for name in told["restart"] if told["restart"][name] == untold["restart"][name]] == []


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ('blocking = ["o"]', "blocking: expected one of its inputs (), got 'o'"),
        ('failover = "all"', "failover: expected one of 'instance', 'region', 'job', got 'all'"),
        ('anti_affinity = "rack"', "anti_affinity: expected one of '', 'worker', 'site', got 'rack'"),
        ("slots = 0", "slots: expected an integer from 1 to 1024, got 0"),
        ("standby = 8", "standby: expected an integer from 0 to 7, got 8"),
        ("stall_after_s = 604801", "stall_after_s: expected 0.2 to 604800 s, or 0 for never, got 604801"),
        ('sites = ["x", "x"]', "sites: expected at most 64 sites, each once, got x, x"),
        ('labels = { "a b" = "x" }', "labels: expected names of tags, got 'a b'"),
        ("labels = { disk = 1 }", "labels.disk: expected text of at most 128 bytes, got 1"),
        ('sites = ["x"]\nprefer_site = "y"', "prefer_site: expected one of its sites (x), got 'y'"),
        (
            'sites = ["x", "y"]\nanti_affinity = "site"\nparallelism = 3',
            "anti_affinity: 3 instances cannot each have a site of their own in 2 (x, y)",
        ),
        (
            'on_conflict = "newest"',
            "on_conflict: expected one of 'keep-replacement', 'furthest-progress', got 'newest'",
        ),
        (
            'instances = "at-most-one"\non_conflict = "furthest-progress"',
            NEVER_TWO.format("at-most-one"),
        ),
        (
            'instances = "pinned"\non_conflict = "furthest-progress"',
            NEVER_TWO.format("pinned"),
        ),
        ('instances = "pinned"\nstandby = 1', "standby: expected 0 for a pinned operator, which never moves"),
        (
            'restart = { strategy = "none", attempts = 2 }',
            "restart.attempts: expected 0 with none, whose first failure is its last, got 2",
        ),
        (
            'restart = { strategy = "failure-rate" }',
            "restart.attempts: expected at least 1 with failure-rate: so many failures in each interval_s",
        ),
        ("restart = { delay_s = 40 }", "restart.delay_max_s: expected at least delay_s (40), got 30"),
        ("restart = { multiplier = 0.5 }", "restart.multiplier: expected a number from 1 to 100, got 0.5"),
        ("restart = { in_place = -1 }", "restart.in_place: expected an integer from 0 to 1000000, got -1"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused_with_its_field_and_reason(lines: str, fault: str) -> None:
    text = f'name = "j"\n[[operators]]\nname = "o"\nkind = "k"\n{lines}\n'
    with pytest.raises(UsageError) as caught:
        job_from_table(tomllib.loads(text))
    assert str(caught.value).splitlines() == [f"operators[0].{fault}"]


def test_a_table_that_is_no_table_is_refused() -> None:
    with pytest.raises(UsageError, match=r'^job: expected a table, got "x"$'):
        job_from_table("x", where="job")
