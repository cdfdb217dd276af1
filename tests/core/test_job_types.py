"""Values of wrong types in a job that was made in Python are named by their field, never taken for something else."""

from __future__ import annotations

from typing import Any, cast

import pytest

from swimstream.errors import UsageError
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.job_faults import check_job


def faults(job: object) -> str:
    with pytest.raises(UsageError) as refused:
        check_job(cast("JobSpec", job))
    return str(refused.value)


@pytest.mark.parametrize(("field", "value", "wanted"), [
    ("name", 3, "text"),
    ("kind", None, "text"),
    ("prefer_site", 7, "text"),
    ("failover", [], "text"),
    ("inputs", "read", "a list of texts"),
    ("inputs", None, "a list of texts"),
    ("blocking", [1], "a list of texts"),
    ("sites", "ams", "a list of texts"),
    ("parameters", [1], "a table"),
    ("labels", "disk=ssd", "a table"),
    ("restart", "none", "a RestartStrategy"),
])  # fmt: skip
def test_a_field_of_a_wrong_type_is_named_with_what_was_expected(field: str, value: object, wanted: str) -> None:
    given: dict[str, Any] = {"name": "op", "kind": "map", field: value}
    job = JobSpec(name="job", operators=(OperatorSpec(**given),))
    assert faults(job).startswith(f"operators[0].{field}: expected {wanted}, got ")


def test_what_is_no_job_or_has_no_operators_is_named_too() -> None:
    one = OperatorSpec(name="op", kind="map")
    assert faults("job.toml") == "job: expected a JobSpec, got 'job.toml'"
    assert faults(JobSpec(name=cast("str", 3), operators=(one,))) == "name: expected text, got 3"
    for wrong, words in ((None, "operators: expected a list"), (one, "operators: expected a list")):
        assert faults(JobSpec(name="job", operators=cast("tuple[OperatorSpec, ...]", wrong))).startswith(words)
    assert faults(JobSpec(name="job", operators=cast("tuple[OperatorSpec, ...]", ["op"]))) == (
        "operators[0]: expected an OperatorSpec, got 'op'"
    )


def test_all_wrong_types_are_told_at_once() -> None:
    given: dict[str, Any] = {"sites": "ams", "inputs": "read"}
    job = JobSpec(name="job", operators=(OperatorSpec(name="op", kind="map", **given),))
    assert faults(job).splitlines() == [
        "operators[0].inputs: expected a list of texts, got 'read'",
        "operators[0].sites: expected a list of texts, got 'ams'",
    ]
