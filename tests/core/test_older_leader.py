"""What an older worker could not read is refused where it is asked for: an older leader would only be silent."""

from __future__ import annotations

import attrs
import pytest

from swimstream.model.job import JobSpec, OperatorSpec
from tests.core.town import Town


def town_with_an_older_worker() -> Town:
    """Return a town in which `b` holds `a` for older than the guarantees, as if `a` led and could not read of them."""
    town = Town("ab")
    town.run_until_led()
    table = town.node("b")._rooms.membership.table
    held = table.get("a")
    assert held is not None
    table.put(attrs.evolve(held, profile=attrs.evolve(held.profile, speaks=2)))
    return town


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (OperatorSpec(name="op", kind="map", instances="at-most-one"), "instances"),
        (OperatorSpec(name="op", kind="map", hold_for_s=1.0), "hold_for_s"),
    ],
)
def test_a_job_with_a_guarantee_is_refused_by_the_worker_that_is_asked(wanted: OperatorSpec, field: str) -> None:
    town = town_with_an_older_worker()
    town.submit("b", JobSpec(name="job", operators=(wanted,)), request=7)
    assert f"operators[0].{field}: " in town["b"].answers[7]
    assert "while a of an older version is alive" in town["b"].answers[7]


def test_another_size_of_the_council_is_refused_by_the_worker_that_is_asked() -> None:
    town = town_with_an_older_worker()
    town.node("b").resize_council(7, 3, now=town.now)
    town.carry_out()
    assert town["b"].answers[7] == "seats: a cannot read changes of the council yet: an older version"
