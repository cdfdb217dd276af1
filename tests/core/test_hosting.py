"""Whole nodes: at-most-one instances run only while their worker can prove that a quorum stands."""

from __future__ import annotations

import itertools
from random import Random
from typing import TYPE_CHECKING

import attrs
import pytest

from swimstream.config import LAN, NodeConfig
from swimstream.core.council.beacons import Proof
from swimstream.core.effects import RenewFence, Saved, StartInstance, StopInstance
from swimstream.core.node import Node
from swimstream.events import IsolationChanged
from swimstream.model.changes import Assign, Entry, Hold, Release, Revoke, Seat, SetAuthority
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, JobSpec, OperatorSpec
from swimstream.model.member import MemberState
from swimstream.model.plan import Assignment, Plan
from swimstream.model.report import Report
from swimstream.model.status import InstanceState
from swimstream.wire.council_messages import AuthorityReply, AuthorityRequest, Beacon, PlanEntries
from tests.core.council.peers import append
from tests.core.town import Town

if TYPE_CHECKING:
    from swimstream.core.effects import Effect
    from swimstream.model.changes import Change
    from tests.core.town import Citizen

L_S = LAN.isolation_timeout_s
ONE, MANY = InstanceId("job", "one", 0), InstanceId("job", "many", 0)
JOB = JobSpec(
    name="job",
    operators=(
        OperatorSpec(name="one", kind="map", instances=AT_MOST_ONE),
        OperatorSpec(name="many", kind="map", instances=AT_LEAST_ONE),
    ),
)


@attrs.frozen
class Deed:
    """What a node has asked for about an instance."""

    at: float
    who: str
    effect: StartInstance | StopInstance | RenewFence


class Place(Town):
    """Three workers; the job has one at-most-one instance, `one`, and one at-least-one instance, `many`.

    What the nodes ask for about instances is kept, with the time; the at-most-one copies of the `slow` do not stop
    by themselves.
    """

    def __init__(self, names: str = "abc") -> None:
        self.deeds: list[Deed] = []
        self.slow: set[str] = set()
        super().__init__(names)
        self.run_until_led()
        self.change(SetAuthority(isolation_ms=round(L_S * 1_000), drift_ppm=10_000))
        self.run_until_led()
        self.submit(names[0], JOB)
        self.run_until(lambda: self.state() is InstanceState.RUNNING)
        self.run_for(2.0)

    def change(self, *changes: Change) -> None:
        """Have the leader commit changes, whatever it would decide by itself."""
        leader = self.node(self.leader())
        leader._rooms.council.propose(changes, self.now)  # who decides that is tested elsewhere
        leader._settle()
        self.carry_out()

    def tell(self, name: str, change: Change) -> None:
        """Let one worker, whatever the others do, learn of one more entry that was committed."""
        node = self.node(name)
        entry = Entry(index=node.plan.index + 1, term=node.plan.term, change=change)
        node._rooms.council.receive_plan_entries(PlanEntries(entries=(entry,)), self.now)
        node._settle()
        self.carry_out()

    @property
    def assignment(self) -> Assignment | None:
        return self.node(self.leader() or "a").plan.assignments.get(ONE)

    @property
    def host(self) -> str:
        """Return the worker that the at-most-one instance belongs to."""
        assert self.assignment is not None
        return self.assignment.run.name

    def state(self, host: str = "") -> InstanceState | None:
        """Return what its host says of the at-most-one instance."""
        if self.assignment is None:
            return None
        for status in self.node(host or self.host).statuses():
            if status.instance == ONE:
                return status.state
        return None

    def finish(self, name: str) -> None:
        """Let a slow copy end at last."""
        epoch = self[name].running.pop(str(ONE))
        self.node(name).report(Report(instance=ONE, epoch=epoch, state=InstanceState.STOPPED), now=self.now)
        self.carry_out()

    def isolations(self, name: str) -> list[bool]:
        return [event.is_isolated for event in self[name].events if isinstance(event, IsolationChanged)]

    def fences(self, name: str, *, since: float = 0.0) -> list[tuple[float, float]]:
        """Return when a worker has set a fence, and how far."""
        told = [deed for deed in self.deeds if deed.who == name and deed.at >= since]
        started = [(deed.at, deed.effect.fence_at) for deed in told if isinstance(deed.effect, StartInstance)]
        renewed = [(deed.at, deed.effect.until) for deed in told if isinstance(deed.effect, RenewFence)]
        return sorted([(at, until) for at, until in started if until is not None] + renewed)

    def stops(self, name: str, *, since: float = 0.0) -> list[float]:
        """Return when a worker was told to stop its at-most-one instance."""
        told = [deed for deed in self.deeds if deed.who == name and deed.at >= since]
        return [deed.at for deed in told if isinstance(deed.effect, StopInstance) and deed.effect.instance == ONE]

    def starts(self, name: str) -> list[int]:
        """Return the epochs under which a worker has started it."""
        started = [deed.effect for deed in self.deeds if deed.who == name and isinstance(deed.effect, StartInstance)]
        return [effect.epoch for effect in started if effect.instance == ONE]

    def _carry_out_one(self, citizen: Citizen, effect: Effect) -> None:
        if isinstance(effect, StartInstance | StopInstance | RenewFence):
            self.deeds.append(Deed(self.now, citizen.name, effect))
        if isinstance(effect, StopInstance) and citizen.name in self.slow and effect.instance == ONE:
            return
        super()._carry_out_one(citizen, effect)


def undecided(node: Node) -> Node:
    """Have a node decide nothing by itself when it leads: what is committed is what a test proposes."""
    node._leadership.decide = lambda now: now < 0  # type: ignore[method-assign]  # for the test alone
    return node


def settled(names: str = "abc") -> Place:
    """Return a place where all runs, and nothing more is decided."""
    place = Place(names)
    for name in names:
        undecided(place.node(name))
    return place


# --- running ----------------------------------------------------------------------------------------


def test_a_fence_lies_no_further_than_what_the_newest_proof_allows() -> None:
    place = Place()
    place.run_for(3 * L_S)
    fences = place.fences(place.host)
    assert len(fences) > 3
    assert all(at < until <= at + L_S for at, until in fences)


def test_a_fence_is_moved_well_before_it_comes_and_not_with_every_proof() -> None:
    place = Place()
    begun_at = place.now
    place.run_for(3 * L_S)
    moved = place.fences(place.host, since=begun_at)
    assert all(until > after + 0.4 * L_S for (_, until), (after, _) in itertools.pairwise(moved))
    assert len(moved) <= 3 * 20 + 1


def test_only_at_most_one_instances_have_a_fence() -> None:
    place = Place()
    started = [deed.effect for deed in place.deeds if isinstance(deed.effect, StartInstance)]
    assert {(effect.instance, effect.fence_at is None) for effect in started} == {(ONE, False), (MANY, True)}


@pytest.mark.parametrize(("isolation_ms", "state"), [(0, InstanceState.ISOLATED), (6_000, InstanceState.STARTING)])
def test_nothing_at_most_one_runs_before_the_plan_says_how_long_a_proof_lasts(
    isolation_ms: int, state: InstanceState
) -> None:
    run, seat = Run("a", 100), Seat("a", 100)
    plan = Plan(
        index=5,
        term=1,
        cluster_id=7,
        council=(seat,),
        jobs={"job": JOB},
        assignments={ONE: Assignment(instance=ONE, run=run, epoch=4)},
        isolation_ms=isolation_ms,
    )
    config = NodeConfig(name="a", advertise=Address("10.0.0.1", 7_000), kinds=("map",), timing=LAN)
    node = undecided(Node(config, boot=100, saved=Saved(voter=100, plan=plan), rng=Random(1), now=0.0))
    node.join(1, now=0.0)
    while not node.is_leader or node.mark.index <= plan.index:
        node.fire_timers(now=node.next_deadline())
    node.fire_timers(now=node.next_deadline())
    assert [status.state for status in node.statuses()] == [state]


@pytest.mark.parametrize(("share", "state"), [(0.4, InstanceState.RUNNING), (0.6, InstanceState.ISOLATED)])
def test_it_is_started_only_with_a_proof_that_is_fresh_and_until_that_one_is_over(
    share: float, state: InstanceState
) -> None:
    place = settled()
    other = next(name for name in "abc" if name != place.host)
    cut_at = place.now
    place.cut = {"a", "b", "c"}
    place.run_for(share * L_S)
    run = place.node(other).run
    place.tell(other, Assign(instance=ONE, run=run, failures=0, resume_from=b"", reason="", evidence=()))
    assert place.state(other) is state
    assert all(until <= cut_at + L_S for _, until in place.fences(other))


# --- cut off ----------------------------------------------------------------------------------------


def test_without_a_quorum_it_is_stopped_in_good_time_and_says_isolated() -> None:
    place = settled()
    host, cut_at = place.host, place.now
    place.cut = {"a", "b", "c"}
    place.run_for(L_S)
    [stopped_at] = place.stops(host)
    newest = max(until for _, until in place.fences(host))
    assert stopped_at <= cut_at + 0.8 * L_S
    assert newest - stopped_at >= 0.15 * L_S, "its runner leaves it that much time"
    assert place.state(host) is InstanceState.ISOLATED


def test_at_least_one_instances_go_on_without_a_quorum() -> None:
    place = settled()
    place.cut = {"a", "b", "c"}
    place.run_for(2 * L_S)
    running = {instance for citizen in place.citizens.values() for instance in citizen.running}
    assert running == {str(MANY)}


def test_a_quorum_that_is_back_lets_it_start_again_under_the_same_epoch() -> None:
    place = settled()
    host = place.host
    [epoch] = place.starts(host)
    place.cut = {"a", "b", "c"}
    place.run_for(L_S)
    place.cut = set()
    place.run_until(lambda: place.state(host) is InstanceState.RUNNING)
    assert place.starts(host) == [epoch, epoch]


def test_it_does_not_start_again_before_the_former_copy_has_ended() -> None:
    place = settled()
    host = place.host
    place.slow = {host}
    place.cut = {"a", "b", "c"}
    place.run_for(L_S)
    place.cut = set()
    place.run_for(L_S)
    assert len(place.starts(host)) == 1
    place.finish(host)
    assert len(place.starts(host)) == 2


def test_who_is_cut_off_is_isolated_after_that_time_and_who_is_not_goes_on() -> None:
    place = settled()
    leader = place.leader()
    [cut, other] = [name for name in "abc" if name != leader]
    place.cut = {cut}
    place.run_for(0.9 * L_S)
    assert not place.node(cut).is_isolated
    place.run_for(0.2 * L_S)
    assert place.node(cut).is_isolated
    assert place.node(cut).authority_age_s(place.now) > L_S
    assert not place.node(other).is_isolated
    assert place.node(other).authority_age_s(place.now) < L_S
    assert (place.isolations(cut), place.isolations(other)) == ([True], [])
    place.cut = set()
    place.run_until(lambda: place.isolations(cut) == [True, False])


def test_who_has_slept_past_a_fence_does_not_move_it_and_starts_again_under_the_same_epoch() -> None:
    """A worker that is the whole council has a fresh proof as soon as it wakes, but what has ended has ended."""
    place = settled("a")
    place.slow = {"a"}
    [epoch] = place.starts("a")
    place.now += 2 * L_S
    place.node("a").fire_timers(now=place.now)
    place.carry_out()
    assert place.fences("a", since=place.now) == []
    place.finish("a")
    assert place.starts("a") == [epoch, epoch]


# --- held, released, revoked ------------------------------------------------------------------------


def test_a_held_run_goes_on_with_the_proof_it_has_and_with_no_newer_one() -> None:
    place = settled()
    host = place.host
    place.change(Hold(run=place.node(host).run, reason="", evidence=()))
    held_at = place.now
    place.run_for(2 * L_S)
    assert all(until <= held_at + L_S for _, until in place.fences(host))
    [stopped_at] = place.stops(host)
    assert held_at + L_S / 2 < stopped_at <= held_at + 0.8 * L_S
    assert place.state(host) is InstanceState.ISOLATED
    assert len(place.starts(host)) == 1


def test_a_released_run_starts_again_under_the_same_epoch() -> None:
    place = settled()
    run = place.node(place.host).run
    place.change(Hold(run=run, reason="", evidence=()))
    place.run_for(2 * L_S)
    place.change(Release(run=run, reason=""))
    place.run_until(lambda: place.state() is InstanceState.RUNNING)
    assert len(set(place.starts(place.host))) == 1


def test_what_is_revoked_is_stopped_for_good_and_its_fence_moves_no_more() -> None:
    place = settled()
    host, assigned = place.host, place.assignment
    assert assigned is not None
    place.slow = {host}
    place.change(Revoke(instance=ONE, epoch=assigned.epoch, reason=""))
    revoked_at = place.now
    place.run_for(2 * L_S)
    assert all(until <= revoked_at + L_S for _, until in place.fences(host))
    place.finish(host)
    assert place.state(host) is InstanceState.STOPPED
    place.run_for(L_S)
    assert len(place.starts(host)) == 1


def test_a_worker_that_learns_late_that_an_instance_was_taken_renews_it_with_nothing_newer() -> None:
    """A proof may wait here for the very plan that shows that the instance was taken: the plan is followed first."""
    place = settled()
    host, assigned = place.host, place.assignment
    assert assigned is not None
    node, told_at = place.node(host), place.now
    place.cut = {"a", "b", "c"}
    place.run_for(L_S / 2)
    proof = Proof(term=node.plan.term, index=node.plan.index + 1, issued=place.now)
    node._rooms.council.authority.learn(proof)
    place.tell(host, Revoke(instance=ONE, epoch=assigned.epoch, reason=""))
    assert place.stops(host) == [place.now]
    assert max(until for _, until in place.fences(host)) <= told_at + L_S


# --- asking -----------------------------------------------------------------------------------------


def test_a_worker_that_needs_a_newer_proof_asks_for_it() -> None:
    place = settled()
    host = place.host
    place.cut = {"a", "b", "c"}
    place.run_for(L_S)
    before = place.node(host).counters().get("authority_asked", 0)
    assert before >= 4, "from a third of the time on, at a pace of a twelfth"


def asked(place: Town, name: str) -> int:
    return place.node(name).counters().get("authority_asked", 0)


def test_a_worker_whose_proof_is_fresh_asks_nobody() -> None:
    place = settled()
    before = asked(place, place.host)
    place.run_for(3 * L_S)
    assert asked(place, place.host) == before


def test_who_does_not_know_how_long_a_proof_lasts_asks_for_none() -> None:
    town = Town("ab", expect=9)
    town.run_for(3 * L_S)
    assert len(town.node("a").members()) == 2
    assert (asked(town, "a"), asked(town, "b")) == (0, 0)


def test_who_was_given_something_that_it_may_not_start_yet_asks_sooner_than_an_idle_worker() -> None:
    place = settled()
    one = next(name for name in "abc" if name not in (place.leader(), place.host))
    place.cut = {"a", "b", "c"}
    place.run_for(0.52 * L_S)
    before = asked(place, one)
    run = place.node(one).run
    place.tell(one, Assign(instance=ONE, run=run, failures=0, resume_from=b"", reason="", evidence=()))
    assert place.state(one) is InstanceState.ISOLATED
    place.run_for(0.05 * L_S)
    assert asked(place, one) == before + 1


def test_members_are_answered_with_an_age_of_that_moment_and_strangers_are_not() -> None:
    place = Place()
    leader = place.node(place.leader())
    rooms = leader._rooms
    sent: list[object] = []
    rooms.outbox.send = lambda _, message, **__: sent.append(message)  # type: ignore[method-assign]
    reception = leader._reception
    reception._now = place.now
    for sender in (Run("stranger", 1), next(each.run for each in leader.members() if each.run != leader.run)):
        reception._receive_for_council(sender, AuthorityRequest(nonce=9))
    [reply] = sent
    assert isinstance(reply, AuthorityReply)
    assert (reply.nonce, reply.mark) == (9, leader.mark)
    assert reply.beacon is not None
    assert reply.beacon.age_ms <= 1_000 * LAN.heartbeat_interval_s * 2
    assert leader.counters()["authority_requests_ignored"] == 1


def test_who_knows_no_cluster_yet_takes_and_passes_on_no_proof() -> None:
    """It may have met two clusters. The one must not take for its own what the leader of the other has proved."""
    town = Town("a", expect=9)
    newcomer = town.node("a")
    beacon = Beacon(term=1, index=1, age_ms=0)
    newcomer._rooms.detector._beacon_heard(beacon, town.now)
    authority = newcomer._rooms.council.authority
    heartbeat = attrs.evolve(append(1), echo=authority.token(town.now), beacon=beacon)
    newcomer._rooms.council.receive_append(Run("x", 1), heartbeat, town.now)
    assert authority.beacon(town.now) is None
    authority.review(Plan(cluster_id=7, index=9), newcomer.run)
    assert authority.usable_at == float("-inf")


# --- leaving ----------------------------------------------------------------------------------------


def seen(place: Place, name: str) -> MemberState:
    """Return what another worker holds of `name`."""
    other = next(each for each in place.citizens if each != name)
    return next(member.state for member in place.node(other).members() if member.run.name == name)


def test_who_leaves_says_goodbye_only_when_its_at_most_one_instances_have_ended_and_that_is_told() -> None:
    place = settled()
    host = place.host
    place.slow = {host}
    place.node(host).leave(9, now=place.now)
    place.carry_out()
    place.run_for(1.0)
    assert (len(place.stops(host)), seen(place, host)) == (1, MemberState.ALIVE)
    place.finish(host)
    place.run_until(lambda: 9 in place[host].answers)
    assert seen(place, host) is MemberState.LEFT
    other = next(name for name in "abc" if name != host)
    assert place.state(other) is InstanceState.STOPPED


def test_who_leaves_waits_no_longer_than_its_fence() -> None:
    place = settled()
    host = place.host
    place.slow = {host}
    place.node(host).leave(9, now=place.now)
    left_at = place.now
    place.run_until(lambda: 9 in place[host].answers)
    assert place.now <= left_at + L_S + 1.0
    assert seen(place, host) is MemberState.LEFT


def test_who_is_leaving_starts_nothing_at_most_one_any_more() -> None:
    place = settled()
    host = place.host
    place.slow = {host}
    place.node(host).leave(9, now=place.now)
    place.node(host).leave(10, now=place.now)
    place.finish(host)
    place.run_until(lambda: {9, 10} <= place[host].answers.keys())
    assert len(place.starts(host)) == 1
    assert place[host].answers[10] == ""


def test_who_has_left_runs_nothing_any_more() -> None:
    place = settled()
    host = next(name for name in "abc" if str(MANY) in place[name].running)
    place.node(host).leave(9, now=place.now)
    place.run_until(lambda: 9 in place[host].answers)
    assert place[host].running == {}


def test_who_leaves_while_it_is_cut_off_stops_at_once_and_is_soon_gone() -> None:
    place = settled()
    host = place.host
    place.cut = {host}
    place.node(host).leave(9, now=place.now)
    place.carry_out()
    assert place.stops(host) == [place.now]
    place.run_until(lambda: 9 in place[host].answers, limit_s=2 * LAN.election_timeout_s_min)
