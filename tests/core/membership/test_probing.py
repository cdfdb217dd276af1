"""Whom to probe next, and probes made for others (SWIM §4.1, §4.3)."""

from __future__ import annotations

from collections import Counter
from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from swimstream.core.membership.probing import RELAYS_MAX, Errand, Errands, ProbeRing, choose_relays
from swimstream.model.identity import Run
from swimstream.model.member import Member, MemberState, Profile
from tests.core.membership.views import address_of

TARGET = Run("t", 1)
ERRAND = Errand(requester=Run("r", 1), seq=5, target=TARGET, address=address_of("t"), nack_at=1.0, ends_at=2.0)


def ring_of(count: int, seed: int) -> ProbeRing:
    ring = ProbeRing(Random(seed))
    for number in range(count):
        ring.add(f"w{number}")
    return ring


@given(count=st.integers(1, 30), seed=st.integers(0, 999), warmup=st.integers(0, 60))
def test_every_member_is_probed_within_two_n_less_one_rounds(count: int, seed: int, warmup: int) -> None:
    ring = ring_of(count, seed)
    for _ in range(warmup):
        ring.next()
    assert {ring.next() for _ in range(2 * count - 1)} == {f"w{number}" for number in range(count)}


@given(count=st.integers(0, 30), seed=st.integers(0, 999), warmup=st.integers(0, 60))
def test_a_newcomer_is_probed_within_two_n_less_one_rounds(count: int, seed: int, warmup: int) -> None:
    ring = ring_of(count, seed)
    for _ in range(warmup):
        ring.next()
    ring.add("new")
    assert "new" in {ring.next() for _ in range(2 * (count + 1) - 1)}


def test_an_empty_ring_probes_nobody() -> None:
    assert ring_of(0, 1).next() is None


def walk_of(ring: ProbeRing, count: int) -> list[str | None]:
    return [ring.next() for _ in range(count)]


def test_who_is_hastened_has_the_next_turn_and_the_others_keep_their_order() -> None:
    plain, hastened = ring_of(8, 5), ring_of(8, 5)
    order = walk_of(plain, 8)
    assert walk_of(hastened, 2) == order[:2]
    last = order[7]
    assert last is not None
    hastened.hasten(last)
    assert walk_of(hastened, 6) == [last, *order[2:7]]


@given(seed=st.integers(0, 99), start=st.integers(0, 9), hasty=st.lists(st.integers(0, 19), max_size=12))
def test_to_hasten_who_is_still_to_come_keeps_the_bound(seed: int, start: int, hasty: list[int]) -> None:
    """A walk visits everybody once, in whatever order: nobody waits longer than 2n - 1 rounds."""
    ring = ring_of(10, seed)
    walk_of(ring, start)
    probed = []
    for number in range(19):
        to_come = ring._names[ring._next :]
        if number in hasty and to_come:
            ring.hasten(to_come[-1])
        probed.append(ring.next())
    assert len(set(probed)) == 10


def test_who_had_its_turn_gets_a_second_one_once_in_a_walk() -> None:
    ring = ring_of(6, 1)
    first, second, third = walk_of(ring, 3)
    assert first is not None
    assert second is not None
    ring.hasten(first)
    assert ring.next() == first
    ring.hasten(second)
    assert ring.next() not in (first, second, third)


def test_who_is_probed_right_now_is_not_probed_again_at_once() -> None:
    ring = ring_of(6, 1)
    (first,) = walk_of(ring, 1)
    assert first is not None
    ring.hasten(first)
    assert ring.next() != first


def test_a_stranger_is_not_hastened() -> None:
    ring = ring_of(3, 1)
    ring.hasten("stranger")
    assert "stranger" not in walk_of(ring, 6)


class RingAgainstModel(RuleBasedStateMachine):
    """Nobody who is gone is probed, and everybody within 2n - 1 rounds, however the members came and went before.

    Where some were hastened it is two rounds more at the very worst.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ring = ProbeRing(Random(1))
        self.members: set[str] = set()
        self.probed: list[str] = []
        """Since the members changed last."""
        self.grace = 0

    @rule(name=st.sampled_from("abcdefgh"))
    def add(self, name: str) -> None:
        self.ring.add(name)
        self.members.add(name)
        self.probed.clear()

    @rule(name=st.sampled_from("abcdefgh"))
    def remove(self, name: str) -> None:
        self.ring.remove(name)
        self.members.discard(name)
        self.probed.clear()

    @rule(name=st.sampled_from("abcdefgh"))
    def hasten(self, name: str) -> None:
        self.ring.hasten(name)
        self.grace = 2

    @rule(rounds=st.integers(1, 20))
    def probe(self, rounds: int) -> None:
        for _ in range(rounds):
            name = self.ring.next()
            if name is None:
                assert not self.members
                return
            self.probed.append(name)
            assert name in self.members
            bound = 2 * len(self.members) - 1 + self.grace
            assert len(self.probed) < bound or set(self.probed[-bound:]) == self.members

    @invariant()
    def holds_the_same_names(self) -> None:
        assert sorted(self.ring._names) == sorted(self.members)
        assert 0 <= self.ring._next <= len(self.members)


TestRingAgainstModel = RingAgainstModel.TestCase
TestRingAgainstModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


# --- errands -------------------------------------------------------------------------------------------


def errands(*entries: tuple[int, Errand]) -> Errands:
    table = Errands(Counter())
    for seq, errand in entries:
        assert table.add(seq, errand)
    return table


def test_no_nack_is_owed_before_its_time() -> None:
    assert errands((1, ERRAND)).due(0.999) == []


def test_a_nack_is_owed_once() -> None:
    table = errands((1, ERRAND))
    assert [len(table.due(now)) for now in (1.0, 1.5)] == [1, 0]


def test_an_ack_after_the_nack_still_finds_its_errand() -> None:
    table = errands((1, ERRAND))
    table.due(1.0)
    found = table.finish(1, TARGET)
    assert found is not None
    assert found.seq == 5


def test_an_ack_after_the_end_finds_nothing() -> None:
    table = errands((1, ERRAND))
    table.due(2.0)
    assert table.finish(1, TARGET) is None


def test_a_refusal_owes_the_nack_of_that_address_at_once_and_once() -> None:
    table = errands((1, ERRAND), (2, attrs.evolve(ERRAND, address=address_of("u"))))
    assert [errand.address for errand in table.refused(address_of("t"))] == [address_of("t")]
    assert table.refused(address_of("t")) == []
    assert [errand.address for errand in table.due(1.0)] == [address_of("u")]


def test_an_ack_in_time_spares_the_nack() -> None:
    table = errands((1, ERRAND))
    table.finish(1, TARGET)
    assert table.due(1.0) == []


@pytest.mark.parametrize("stranger", [Run("u", 1), Run("t", 2)])
def test_only_the_target_itself_ends_an_errand(stranger: Run) -> None:
    table = errands((1, ERRAND))
    assert table.finish(1, stranger) is None
    assert table.finish(1, TARGET) is not None


def test_the_next_deadline_is_first_the_nack_and_then_the_end() -> None:
    table = errands((1, ERRAND), (2, attrs.evolve(ERRAND, nack_at=1.5, ends_at=2.5)))
    seen = []
    while (deadline := table.next_deadline()) < float("inf"):
        seen.append(deadline)
        table.due(deadline)
    assert seen == [1.0, 1.5, 2.0, 2.5]


def test_errands_beyond_the_bound_are_refused_and_counted() -> None:
    counters: Counter[str] = Counter()
    table = Errands(counters)
    accepted = [table.add(seq, ERRAND) for seq in range(RELAYS_MAX + 1)]
    assert accepted == [True] * RELAYS_MAX + [False]
    assert counters["relays_refused"] == 1


# --- relays --------------------------------------------------------------------------------------------


def members(*states: MemberState) -> list[Member]:
    return [
        Member(run=Run(name, 1), incarnation=0, state=state, profile=Profile(address=address_of(name)), since=0.0)
        for name, state in zip("tuvwxyz", states, strict=False)
    ]


@given(states=st.lists(st.sampled_from(MemberState), max_size=7), count=st.integers(0, 5), seed=st.integers(0, 99))
def test_relays_are_different_alive_members_other_than_the_target(
    states: list[MemberState], count: int, seed: int
) -> None:
    group = members(*states)
    relays = choose_relays(group, target=at_site(TARGET.name, "x"), prober_site="x", count=count, rng=Random(seed))
    able = [member.run.name for member in group if member.state is MemberState.ALIVE and member.run != TARGET]
    names = [relay.run.name for relay in relays]
    assert len(set(names)) == len(names) == min(count, len(able))
    assert set(names) <= set(able)


def at_site(name: str, site: str) -> Member:
    profile = Profile(address=address_of(name), site=site)
    return Member(run=Run(name, 1), incarnation=0, state=MemberState.ALIVE, profile=profile, since=0.0)


@given(seed=st.integers(0, 99))
def test_one_relay_is_near_the_target_and_the_others_away_from_the_prober(seed: int) -> None:
    """One bad link between the prober's site and the target's must accuse nobody."""
    here = [at_site(name, "here") for name in "abcdef"]
    there = [at_site(name, "there") for name in "ghi"]
    far = [at_site(name, "far") for name in "jkl"]
    group = [*here, *there, *far]
    relays = choose_relays(group, target=there[0], prober_site="here", count=3, rng=Random(seed))
    assert relays[0] in there[1:]
    assert not set(relays[1:]) & set(here)


def test_the_probers_own_site_helps_when_there_is_no_other() -> None:
    here = [at_site(name, "here") for name in "abcd"]
    relays = choose_relays(here, target=here[0], prober_site="here", count=3, rng=Random(1))
    assert {relay.run.name for relay in relays} == set("bcd")
