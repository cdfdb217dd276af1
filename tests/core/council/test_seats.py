"""The first council: an odd number, spread over sites, with the founder in it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.core.council.seats import SEATS_DEFAULT, choose_council, majority
from tests.core.council.peers import seats_of
from tests.core.council.test_founding import member

if TYPE_CHECKING:
    from swimstream.model.member import Member


def at(site: str, name: str) -> Member:
    found = member(name)
    return attrs.evolve(found, profile=attrs.evolve(found.profile, site=site))


sites_of_members = st.lists(st.sampled_from(["north", "south", "west"]), min_size=1, max_size=12)


def members_at(sites: list[str]) -> list[Member]:
    return [at(site, f"w{number:02}") for number, site in enumerate(sites)]


@given(sites_of_members, st.data())
def test_the_council_is_odd_and_as_large_as_can_be_up_to_five(sites: list[str], data: st.DataObject) -> None:
    members = members_at(sites)
    council = choose_council(data.draw(st.sampled_from(members)), members)
    largest = min(SEATS_DEFAULT, len(members))
    assert len(council) == largest - 1 + largest % 2


@given(sites_of_members, st.data())
def test_the_founder_always_sits(sites: list[str], data: st.DataObject) -> None:
    members = members_at(sites)
    founder = data.draw(st.sampled_from(members))
    assert founder.run.name in {seat.name for seat in choose_council(founder, members)}


@given(sites_of_members)
def test_no_site_has_two_seats_more_than_another_that_could_take_one(sites: list[str]) -> None:
    members = members_at(sites)
    home = {each.run.name: each.profile.site for each in members}
    seated = Counter(home[seat.name] for seat in choose_council(members[0], members))
    for site, count in Counter(sites).items():
        if seated[site] < count:
            assert max(seated.values()) <= seated[site] + 1


def test_seats_go_to_one_site_after_the_other() -> None:
    members = members_at(["north"] * 5 + ["south"] * 2 + ["west"])
    home = {each.run.name: each.profile.site for each in members}
    council = choose_council(members[0], members)
    assert Counter(home[seat.name] for seat in council) == {"north": 2, "south": 2, "west": 1}


@given(sites_of_members)
def test_the_order_of_the_members_does_not_matter(sites: list[str]) -> None:
    members = members_at(sites)
    assert choose_council(members[0], members) == choose_council(members[0], members[::-1])


def test_a_seat_is_bound_to_the_memory_behind_the_vote() -> None:
    other = member("b")
    other = attrs.evolve(other, profile=attrs.evolve(other.profile, voter=77))
    council = choose_council(member("a"), [member("a"), other, member("c")])
    assert [seat.voter for seat in council if seat.name == "b"] == [77]


@pytest.mark.parametrize(("seats", "needed"), [(1, 1), (3, 2), (5, 3), (7, 4)])
def test_a_majority_is_more_than_half(seats: int, needed: int) -> None:
    assert majority(seats_of("abcdefg"[:seats])) == needed
