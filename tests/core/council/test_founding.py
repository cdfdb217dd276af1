"""The founding: n lowest names agree, once, and nobody founds beside a cluster."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import attrs
import pytest

from swimstream.config import LAN
from swimstream.core.council.founding import PROMISE_HEARTBEATS, Founding
from swimstream.core.effects import Saved
from swimstream.model.changes import Found
from swimstream.model.member import Member, MemberState, Profile
from swimstream.model.plan import PlanMark
from swimstream.wire.council_messages import FoundReply, FoundRequest
from tests.core.council.peers import (
    HEARTBEAT_S,
    MEMORY,
    Peer,
    Sent,
    address_of,
    founding,
    run_of,
    saved_after,
    seats_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

PROMISE_S = PROMISE_HEARTBEATS * LAN.heartbeat_interval_s


def member(name: str, *, expect: int = 3, state: MemberState = MemberState.ALIVE) -> Member:
    profile = Profile(address=address_of(name), expect=expect, voter=MEMORY)
    return Member(run=run_of(name), incarnation=0, state=state, profile=profile, since=0.0)


class Founder(Peer):
    """A peer that waits for a founding. `view` is whom it sees."""

    def __init__(self, name: str, view: str, *, expect: int = 3, saved: Saved | None = None) -> None:
        super().__init__(name, saved or Saved(voter=MEMORY))
        self.view = [member(each, expect=expect) for each in view]
        self.founding = Founding(run_of(name), self.council, self.outbox, timing=LAN, rng=Random(name), expect=expect)
        self.founding.start(0.0)

    @property
    def has_founded(self) -> bool:
        return self.council.log.last_index > 0

    def consider(self, now: float) -> None:
        self.founding.consider(self.view, now)

    def listen(self, sender: str, message: object, now: float) -> None:
        match message:
            case FoundRequest():
                self.founding.receive_request(run_of(sender), message, self.view, now)
            case FoundReply():
                self.founding.receive_reply(run_of(sender), message, self.view, now)
            case _:
                raise AssertionError(f"no message of the founding: {message}")


class Square:
    """Founders who talk; `blocked(sender, receiver)` loses messages."""

    def __init__(self, views: dict[str, str], *, expect: int = 3) -> None:
        self.founders = {name: Founder(name, view, expect=expect) for name, view in views.items()}
        self.blocked: Callable[[str, str], bool] = lambda _sender, _receiver: False

    def __getitem__(self, name: str) -> Founder:
        return self.founders[name]

    def talk(self, now: float) -> None:
        """Let all consider and answer, until only messages of the council are left."""
        for founder in self.founders.values():
            founder.consider(now)
        while letters := [(name, sent) for name, founder in self.founders.items() for sent in founding_talk(founder)]:
            for name, sent in letters:
                if sent.to in self.founders and not self.blocked(name, sent.to):
                    self.founders[sent.to].listen(name, sent.message, now)

    def have_founded(self) -> list[str]:
        return [name for name, founder in self.founders.items() if founder.has_founded]


def founding_talk(founder: Founder) -> list[Sent]:
    return [sent for sent in founder.take() if isinstance(sent.message, FoundRequest | FoundReply)]


def test_the_lowest_name_founds_when_all_agree() -> None:
    square = Square(dict.fromkeys("abc", "abc"))
    square.talk(0.0)
    assert square.have_founded() == ["a"]
    change = square["a"].entries()[0].change
    assert isinstance(change, Found)
    assert change.council == seats_of("abc")


def test_a_founder_alone_with_expect_one_leads_at_once() -> None:
    founder = Founder("a", "a", expect=1)
    founder.consider(0.0)
    assert founder.council.is_leader
    assert founder.council.plan.cluster_id != 0


def test_two_foundings_have_different_cluster_ids() -> None:
    one, other = Founder("a", "a", expect=1), Founder("b", "b", expect=1)
    one.consider(0.0)
    other.consider(0.0)
    assert one.council.plan.cluster_id != other.council.plan.cluster_id


def test_the_founding_is_on_disk_before_anybody_is_asked_for_a_vote() -> None:
    square = Square(dict.fromkeys("abc", "abc"))
    square.talk(0.0)
    founder = square["a"]
    founder.start(1.0)
    assert founder.council.has_seat


def test_too_few_found_nothing() -> None:
    square = Square(dict.fromkeys("ab", "ab"))
    square.talk(0.0)
    assert square.have_founded() == []


def seen(**expects: int) -> list[Member]:
    return [member(name, expect=expect) for name, expect in expects.items()]


def test_nobody_founds_while_one_that_waits_for_more_is_there() -> None:
    founder = Founder("a", "abc")
    founder.view = seen(a=3, b=3, c=4)
    founder.consider(0.0)
    assert founder.said() == []


@pytest.mark.parametrize("state", [MemberState.ALIVE, MemberState.SUSPECT])
def test_one_that_waits_for_nobody_founds_nothing_beside_who_waits_for_three(state: MemberState) -> None:
    founder = Founder("a", "ab", expect=1)
    founder.view[1] = member("b", expect=3, state=state)
    founder.consider(0.0)
    assert not founder.has_founded


@pytest.mark.parametrize("state", [MemberState.DEAD, MemberState.LEFT])
def test_what_one_waited_for_that_is_gone_hinders_nobody(state: MemberState) -> None:
    founder = Founder("a", "ab", expect=1)
    founder.view[1] = member("b", expect=3, state=state)
    founder.consider(0.0)
    assert founder.has_founded


@pytest.mark.parametrize(
    ("view", "founders"),
    [(seen(a=1, b=3, c=3), "abc"), (seen(a=1, b=3, c=1, d=3, e=3), "bde"), (seen(a=2, b=1, c=3), "abc")],
)
def test_as_many_found_as_any_waits_for_those_first_that_say_so(view: list[Member], founders: str) -> None:
    square = Square(dict.fromkeys((each.run.name for each in view), ""))
    for each in view:
        name = each.run.name
        square.founders[name] = Founder(name, "", expect=each.profile.expect)
        square[name].view = view
    square.talk(0.0)
    assert square.have_founded() == [founders[0]]
    assert square[founders[0]].council.log.council == seats_of(founders)


def test_suspects_and_the_dead_do_not_count() -> None:
    for state in (MemberState.SUSPECT, MemberState.DEAD, MemberState.LEFT):
        founder = Founder("a", "abc")
        founder.view[2] = member("c", state=state)
        founder.consider(0.0)
        assert founder.said() == []


def test_of_more_workers_the_lowest_names_found() -> None:
    square = Square(dict.fromkeys("abcde", "abcde"))
    square.talk(0.0)
    assert square.have_founded() == ["a"]
    assert square["a"].council.log.council == seats_of("abc")


def test_one_refusal_is_enough_against_a_founding() -> None:
    square = Square({"a": "abc", "b": "abc", "c": "bcd"})
    for beat in range(5):
        square.talk(beat * HEARTBEAT_S)
    assert square.have_founded() == []


def test_a_silent_founder_is_waited_for() -> None:
    square = Square(dict.fromkeys("abc", "abc"))
    square.blocked = lambda sender, receiver: "c" in (sender, receiver)
    for beat in range(5):
        square.talk(beat * HEARTBEAT_S)
    assert square.have_founded() == []
    square.blocked = lambda _sender, _receiver: False
    square.talk(10 * HEARTBEAT_S)
    assert square.have_founded() == ["a"]


def test_an_agreement_that_was_taken_back_does_not_count() -> None:
    founder = Founder("a", "abc")
    founder.consider(0.0)
    runs = tuple(each.run for each in founder.view)
    founder.listen("b", FoundReply(round=1, runs=runs, agrees=True), 0.0)
    founder.listen("b", FoundReply(round=1, runs=runs, agrees=False), 0.0)
    founder.listen("c", FoundReply(round=1, runs=runs, agrees=True), 0.0)
    assert not founder.has_founded


def test_agreements_to_other_founders_do_not_count() -> None:
    founder = Founder("a", "abc")
    founder.consider(0.0)
    others = tuple(run_of(name) for name in "abd")
    for name in "bc":
        founder.listen(name, FoundReply(round=1, runs=others, agrees=True), 0.0)
    assert not founder.has_founded


def test_agreements_of_strangers_do_not_count() -> None:
    founder = Founder("a", "abc")
    founder.consider(0.0)
    runs = tuple(each.run for each in founder.view)
    for name in "bxyz":
        founder.listen(name, FoundReply(round=1, runs=runs, agrees=True), 0.0)
    assert not founder.has_founded


def test_agreements_do_not_outlive_a_change_of_the_founders() -> None:
    founder = Founder("a", "abd")
    founder.consider(0.0)
    founder.listen("b", FoundReply(round=1, runs=tuple(map(run_of, "abd")), agrees=True), 0.0)
    founder.view = [member(name) for name in "abcd"]
    founder.consider(HEARTBEAT_S)
    founder.listen("c", FoundReply(round=1, runs=tuple(map(run_of, "abc")), agrees=True), HEARTBEAT_S)
    assert not founder.has_founded


def test_a_peer_that_agreed_to_one_founder_agrees_to_no_other_for_a_while() -> None:
    voter = Founder("c", "bcd")
    voter.listen("b", FoundRequest(round=1, runs=tuple(map(run_of, "bcd"))), 0.0)
    assert [sent.message for sent in founding_talk(voter)] == [
        FoundReply(round=1, runs=tuple(map(run_of, "bcd")), agrees=True)
    ]
    voter.view = [member(name) for name in "abcd"]
    voter.listen("a", FoundRequest(round=1, runs=tuple(map(run_of, "abc"))), PROMISE_S - 0.01)
    (refusal,) = founding_talk(voter)
    assert refusal.message == FoundReply(round=1, runs=tuple(map(run_of, "abc")), agrees=False)


def test_a_peer_that_asked_for_itself_agrees_to_no_other_for_a_while() -> None:
    voter = Founder("b", "bcd")
    voter.consider(0.0)
    founding_talk(voter)
    voter.view = [member(name) for name in "abcd"]
    voter.listen("a", FoundRequest(round=1, runs=tuple(map(run_of, "abc"))), HEARTBEAT_S)
    (refusal,) = founding_talk(voter)
    assert refusal.message == FoundReply(round=1, runs=tuple(map(run_of, "abc")), agrees=False)


def test_only_the_lowest_name_of_the_list_is_agreed_to() -> None:
    voter = Founder("c", "abc")
    voter.listen("b", FoundRequest(round=1, runs=tuple(map(run_of, "abc"))), 0.0)
    assert [sent.message for sent in founding_talk(voter)] == [
        FoundReply(round=1, runs=tuple(map(run_of, "abc")), agrees=False)
    ]


def test_a_list_that_differs_in_anybody_is_not_agreed_to() -> None:
    voter = Founder("c", "acd")
    voter.listen("a", FoundRequest(round=1, runs=tuple(map(run_of, "abc"))), 0.0)
    assert [sent.message for sent in founding_talk(voter)] == [
        FoundReply(round=1, runs=tuple(map(run_of, "abc")), agrees=False)
    ]


def test_an_earlier_run_of_a_founder_is_not_agreed_to() -> None:
    voter = Founder("c", "abc")
    voter.view[0] = attrs.evolve(voter.view[0], run=attrs.evolve(run_of("a"), boot=2))
    voter.listen("a", FoundRequest(round=1, runs=tuple(map(run_of, "abc"))), 0.0)
    assert not any(isinstance(sent.message, FoundReply) and sent.message.agrees for sent in founding_talk(voter))


@pytest.mark.parametrize("seed", range(40))
def test_two_founders_never_both_win(seed: int) -> None:
    """Views of four workers that come about in any order, and links that lose; two sets of three overlap."""
    rng = Random(seed)
    square = Square({name: name for name in "abcd"})
    square.blocked = lambda _sender, _receiver: rng.random() < 0.3
    for beat in range(2 * PROMISE_HEARTBEATS):
        for founder in square.founders.values():
            seen = {each.run.name for each in founder.view} | {rng.choice("abcd")}
            founder.view = [member(name) for name in sorted(seen)]
        square.talk(beat * HEARTBEAT_S)
    assert len(square.have_founded()) <= 1


# --- not beside a cluster -------------------------------------------------------------------------


def with_log(name: str) -> Founder:
    return Founder(name, "abc", saved=saved_after([founding("abc")]))


def with_cluster_met(name: str) -> Founder:
    founder = Founder(name, "abc")
    founder.founding.meet_cluster(0.0)
    return founder


def with_leader_known(name: str) -> Founder:
    founder = Founder(name, "abc")
    founder.council.hear_mark(run_of("z"), PlanMark(term=1, leader="z", index=0), 0.0)
    return founder


@pytest.mark.parametrize("made", [with_log, with_cluster_met, with_leader_known])
def test_who_knows_of_a_cluster_neither_founds_nor_agrees(made: Callable[[str], Founder]) -> None:
    founder = made("a")
    founder.consider(0.0)
    assert not founding_talk(founder)
    voter = made("b")
    voter.listen("a", FoundRequest(round=1, runs=tuple(map(run_of, "abc"))), 0.0)
    assert [sent.message for sent in founding_talk(voter)] == [
        FoundReply(round=1, runs=tuple(map(run_of, "abc")), agrees=False)
    ]


def test_an_agreement_that_comes_after_a_cluster_was_met_founds_nothing() -> None:
    founder = Founder("a", "abc")
    founder.consider(0.0)
    founder.founding.meet_cluster(0.0)
    for name in "bc":
        founder.listen(name, FoundReply(round=1, runs=tuple(map(run_of, "abc")), agrees=True), 0.0)
    assert not founder.has_founded


def test_a_cluster_that_is_heard_of_no_more_hinders_no_founding() -> None:
    """One stray packet must not keep a cluster from ever beginning."""
    founder = with_cluster_met("a")
    founder.consider(PROMISE_S)
    assert founding_talk(founder)


@pytest.mark.parametrize("made", [with_log, with_leader_known])
def test_who_has_a_cluster_of_its_own_looks_for_founders_no_more(made: Callable[[str], Founder]) -> None:
    assert made("a").founding.next_deadline() == float("inf")


def test_nobody_is_asked_before_the_grace_has_passed() -> None:
    founder = Founder("a", "abc")
    founder.founding.start(5.0)
    founder.consider(4.9)
    assert founder.said() == []
    founder.consider(5.0)
    assert founder.said() != []
