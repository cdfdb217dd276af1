"""Jobs from TOML files and JSON tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from swimstream.errors import UsageError
from swimstream.job_file import job_from_table, load_job
from swimstream.model.job import JobSpec, OperatorSpec

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
