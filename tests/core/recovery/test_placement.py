"""Where an instance goes: filters, then scores, the same for the same input."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from swimstream.core.recovery import placement
from swimstream.model.identity import Run
from swimstream.model.job import OperatorSpec
from swimstream.model.member import Member, MemberState
from swimstream.model.plan import Plan
from tests.core.recovery.situations import member

if TYPE_CHECKING:
    from swimstream.core.recovery.placement import Placement

SPEC = OperatorSpec(name="op", kind="map")
place = partial(placement.place, plan=Plan())


def loads(**held: int) -> Counter[Run]:
    return Counter({Run(name, 1): count for name, count in held.items()})


def chosen(made: Placement) -> str:
    assert made.run is not None
    return made.run.name


@pytest.mark.parametrize("state", [MemberState.SUSPECT, MemberState.DEAD, MemberState.LEFT])
def test_only_alive_workers_are_chosen(state: MemberState) -> None:
    assert chosen(place(SPEC, [member("a", state=state), member("b")], loads(b=60))) == "b"


def test_only_workers_that_run_the_kind_are_chosen() -> None:
    assert chosen(place(SPEC, [member("a", kinds=("filter",)), member("b")], loads(b=60))) == "b"


def test_a_full_worker_is_not_chosen() -> None:
    assert chosen(place(SPEC, [member("a", capacity=2), member("b")], loads(a=2, b=50))) == "b"


def test_a_worker_without_capacity_is_never_chosen() -> None:
    assert place(SPEC, [member("a", capacity=0)], loads()).run is None


def test_the_preferred_site_goes_before_the_load() -> None:
    spec = OperatorSpec(name="op", kind="map", prefer_site="north")
    assert chosen(place(spec, [member("a", site="south"), member("b", site="north")], loads(b=60))) == "b"


def test_a_preferred_site_without_room_is_only_a_wish() -> None:
    spec = OperatorSpec(name="op", kind="map", prefer_site="north")
    assert chosen(place(spec, [member("a", site="south"), member("b", site="north", capacity=0)], loads())) == "a"


def test_the_least_loaded_is_chosen() -> None:
    assert chosen(place(SPEC, [member("a"), member("b"), member("c")], loads(a=3, b=1, c=2))) == "b"


def test_of_equals_the_lower_name_is_chosen_whatever_the_order() -> None:
    for order in permutations([member("a"), member("b"), member("c")]):
        assert chosen(place(SPEC, order, loads())) == "a"


def test_the_load_of_an_earlier_run_does_not_count() -> None:
    assert chosen(place(SPEC, [member("a", boot=2, capacity=1)], loads(a=1))) == "a"


def test_the_one_to_avoid_is_taken_only_when_nobody_else_is_left() -> None:
    avoid = Run("a", 1)
    both: list[Member] = [member("a"), member("b")]
    assert chosen(place(SPEC, both, loads(b=9), avoid=avoid)) == "b"
    assert chosen(place(SPEC, both[:1], loads(), avoid=avoid)) == "a"


def test_the_choice_says_why() -> None:
    spec = OperatorSpec(name="op", kind="map", prefer_site="north")
    assert place(spec, [member("a", site="north")], loads(a=3)).why == "in its preferred site, 3 of 64 instances held"
    assert "site default" in place(SPEC, [member("a")], loads()).why


def test_no_choice_says_why_not() -> None:
    assert place(SPEC, [member("a", kinds=())], loads()).why == "no live worker runs kind 'map'"
    assert place(SPEC, [member("a", capacity=1)], loads(a=1)).why == "all 1 live workers that run kind 'map' are full"
