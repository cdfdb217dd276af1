"""Jobs from TOML files and JSON tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def test_a_table_that_is_no_table_is_refused() -> None:
    with pytest.raises(UsageError, match=r'^job: expected a table, got "x"$'):
        job_from_table("x", where="job")
